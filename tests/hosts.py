"""Dask schedulers and workers as processes of their own: each with a directory and an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 60.0
ROOT = Path(__file__).parents[1]
NO_PREFECT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flows", "deployments", "prefect"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
"""A `sitecustomize.py` for a host that has `dsir_core` and `tasks`, and no Prefect."""


@dataclass
class Host:
    """One process: a scheduler or a worker."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")

    def pause(self) -> None:
        """Cut it off: nothing of it answers any more, and nobody is told."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Bring it back."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to it and all that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        try:
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Hosts:
    """The hosts of one test; see `hosts`."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root, self._stack = root, stack
        self._n = 0
        self.scheduler_file = root / "scheduler.json"
        self.address = ""

    def scheduler(self, *words: str, **environment: str) -> Host:
        """Start a scheduler, and wait until it can be reached."""
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        options += ["--scheduler-file", str(self.scheduler_file)]
        host = self.start("distributed.cli.dask_scheduler", [*options, *words], environment)
        self.address = _wait_for(host, "Scheduler at:").split("Scheduler at:")[1].split()[0]
        return host

    def worker(self, *words: str, wait: bool = True, **environment: str) -> Host:
        """Start a single-threaded worker with its nanny, and wait until it has joined."""
        options = [self.address, "--host", "127.0.0.1", "--nthreads", "1", "--memory-limit", "2GB", "--no-dashboard"]
        host = self.start("distributed.cli.dask_worker", [*options, *words], environment)
        if wait:
            _wait_for(host, "Registered to:")
        return host

    def start(self, module: str, words: Sequence[str], environment: Mapping[str, str]) -> Host:
        """Start a module as a process in a directory of its own."""
        self._n += 1
        folder = self._root / f"host-{self._n}"
        (folder / "path").mkdir(parents=True)
        (folder / "path" / "sitecustomize.py").write_text(NO_PREFECT)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DASK_"))}
        paths = os.pathsep.join([*filter(None, [environment.get("PYTHONPATH")]), str(ROOT), str(folder / "path")])
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=folder,
                env=inherited | {"TMPDIR": str(folder)} | dict(environment) | {"PYTHONPATH": paths},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        host = Host(process, folder)
        self._stack.callback(host.end)
        return host


@contextmanager
def hosts(root: Path) -> Iterator[Hosts]:
    """Hosts below a directory; all are gone when the block ends."""
    with ExitStack() as stack:
        yield Hosts(root, stack)


def _wait_for(host: Host, words: str) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while words not in (log := host.log):
        assert host.process.poll() is None, f"it ended with {host.process.returncode}:\n{log}"
        assert time.monotonic() < deadline, f"never said {words!r}:\n{log}"
        time.sleep(0.05)
    return log.partition(words)[1] + log.partition(words)[2]
