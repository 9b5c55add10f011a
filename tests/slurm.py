"""A Slurm controller with one node on this machine, for the length of a block."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests import programs

READY_SECONDS = 60.0
PARTITION = "cpu"

CONFIG = """
ClusterName=dsir
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmUser=root
SlurmdUser=root
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Environment variables that Slurm's commands need to reach it.

    Args:
        folder: for its files; its path must be short, as that of a socket.
    """
    programs.slurm()
    assert os.geteuid() == 0, "Slurm's node runs jobs as root here: run this test as root"
    for name in ("state", "spool"):
        (folder / name).mkdir()
    config, key = folder / "slurm.conf", folder / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(os.urandom(1024))
    config.write_text(
        CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            controller=_free_port(),
            node=_free_port(),
            folder=folder,
            partition=PARTITION,
        )
    )
    environment = {**os.environ, "SLURM_CONF": str(config)}
    with ExitStack() as stack:

        def start(*command: str) -> None:
            with (folder / f"{command[0]}.log").open("wb") as log:
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        files = {"socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.out", "seed-file": "munge.seed"}
        options = [f"--{name}={folder / file}" for name, file in files.items()]
        start("munged", "--force", "--foreground", f"--key-file={key}", *options)
        start("slurmctld", "-D")
        start("slurmd", "-D", "-N", "node")
        _wait_for_node(environment, folder)
        yield {"SLURM_CONF": str(config)}


def _wait_for_node(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        answer = subprocess.run(
            ["sinfo", "--noheader", "--format=%t"], env=environment, capture_output=True, text=True, check=False
        )
        if answer.stdout.strip() == "idle":
            return
        logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
        assert time.monotonic() < deadline, f"{answer.stdout}{answer.stderr}\n{logs}"
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
