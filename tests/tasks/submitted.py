"""A cluster whose workers are processes that know nothing of ours, as the jobs of a batch system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from distributed import Scheduler, SpecCluster
from distributed.deploy.spec import ProcessInterface

# As dask_jobqueue does; it fails in any other thread than the main one.
signal.signal(signal.SIGINT, lambda *_: sys.exit())

ROOT = Path(__file__).parents[2]


class Job(ProcessInterface):
    """`dask worker` with the environment of a login shell."""

    def __init__(self, scheduler: str, name: int, folder: str) -> None:
        self.address, self.name, self.folder = scheduler, str(name), Path(folder)
        super().__init__()

    async def start(self) -> None:
        options = [self.address, "--name", self.name, "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
        with (self.folder / f"log-{self.name}").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=inherited | {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)},
                # A batch system starts a job with no signal blocked.
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, []),
            )
        (self.folder / f"pid-{self.name}").write_text(str(self.process.pid))
        await super().start()

    async def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        await super().close()


class JobCluster(SpecCluster):
    """Its workers are jobs."""

    def __init__(self, folder: str, n_workers: int = 0, **options: Any) -> None:
        scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}}
        job = {"cls": Job, "options": {"folder": folder}}
        super().__init__(
            workers=dict.fromkeys(range(n_workers), job), scheduler=scheduler, worker=job, silence_logs=False, **options
        )
