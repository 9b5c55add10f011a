"""Programs that marked tests run against, from the system's packages.

`python -m tests.programs` makes sure that they are there: with apt-get, where that needs no question, or else by one
line for each that says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo")
POSTGRES_PROGRAMS = ("initdb", "postgres", "pg_isready", "createdb", "psql")
POSTGRES = Path("/usr/lib/postgresql")
"""Where Debian has a folder for each version of PostgreSQL."""


def browser() -> str:
    """Path of the browser: what CHROMIUM names, else the first of the usual names.

    Raises:
        RuntimeError: there is none.
    """
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise RuntimeError(f"no browser: install Chromium, or name one by CHROMIUM (looked for {named or BROWSERS})")
    return found


def slurm() -> None:
    """Check that Slurm's programs are there.

    Raises:
        RuntimeError: one is missing.
    """
    missing = [program for program in SLURM if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"no Slurm: {', '.join(missing)} missing")


def postgres() -> Path:
    """Folder of PostgreSQL's server and its client's programs.

    Raises:
        RuntimeError: there is none.
    """
    folders = [*map(Path, os.get_exec_path()), *sorted(POSTGRES.glob("*/bin"), reverse=True)]
    found = [folder for folder in folders if all((folder / program).exists() for program in POSTGRES_PROGRAMS)]
    if not found:
        raise RuntimeError(f"no PostgreSQL: looked for {', '.join(POSTGRES_PROGRAMS)} in one folder")
    return found[0]


PACKAGES: dict[Callable[[], object], tuple[str, ...]] = {
    browser: ("chromium",),
    slurm: ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge"),
    postgres: ("postgresql",),
}
"""Debian's packages of each."""


def install() -> list[str]:
    """Install what is missing, where that needs no question; what is missing still, a line for each."""
    missing = _missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = [package for check in missing for package in PACKAGES[check]]
        _run("apt-get", "update", "--quiet")
        _run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages)
        missing = _missing()
    return [f"{problem}: apt-get install {' '.join(PACKAGES[check])}" for check, problem in missing.items()]


def _missing() -> dict[Callable[[], object], str]:
    found = {}
    for check in PACKAGES:
        try:
            check()
        except RuntimeError as problem:
            found[check] = str(problem)
    return found


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    if done.returncode:
        print(f"{' '.join(command[:2])} failed:\n{done.stdout}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit("\n".join(install()) or None)
