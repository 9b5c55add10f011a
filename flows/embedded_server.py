"""Prefect's API server for the length of one run: a program, started by `flows.prefect_embedded`.

    python -P embedded_server.py LISTENING_FD LOCK_FILE

It serves on a socket that its parent bound, writes a line to standard output once it answers, and
ends when standard input closes: it cannot outlive its parent, however that one dies. Signals that
systemd or Slurm send to all processes of a run do not end it: its parent has to record the end first.
"""

from __future__ import annotations

import gc
import signal

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)

# Imports make half a million objects that all stay; looking for garbage among them costs a quarter
# of the start.
gc.disable()

import asyncio  # noqa: E402
import fcntl  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
from types import FrameType  # noqa: E402

import uvicorn  # noqa: E402

from flows.prefect_private import embedded_app  # noqa: E402


class Server(uvicorn.Server):
    """A server that no signal ends."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn."""


async def serve(listening: socket.socket, lock_file: str, ready: int) -> int:
    """Serve until standard input closes; 1 when the server could not start."""
    config = uvicorn.Config(
        embedded_app(),
        log_level="error",
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    with open(lock_file, "a") as lock:
        # Servers of other runs may start on the same database, and each would create its tables.
        fcntl.flock(lock, fcntl.LOCK_EX)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not (server.started or serving.done()):
            await asyncio.sleep(0.01)
    if serving.done():
        return 1
    gc.freeze()
    gc.enable()
    os.write(ready, b"ready\n")
    threading.Thread(target=stop_with_parent, args=(server,), daemon=True).start()
    await serving
    return 0


def stop_with_parent(server: uvicorn.Server) -> None:
    """Ask the server to end when standard input does."""
    sys.stdin.buffer.read()
    server.should_exit = True


def main() -> int:
    """Serve as the command line says; standard output is for the one line, whatever else prints."""
    ready = os.dup(1)
    os.dup2(2, 1)
    return asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], ready))


if __name__ == "__main__":
    status = main()
    # Leaving by way of the interpreter's own end takes a while, for which the run waits.
    os._exit(status)
