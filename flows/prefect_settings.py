"""Prefect's settings for a run: silent, nothing sent outside. Set before Prefect is imported."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dsir_core.errors import RunFailedError

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""Always set: Prefect reports its use to its maker by default."""

CLIENT = {
    # With no server Prefect would start one of its own, slowly.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "dsir_core",
    # dsir_core also logs outside of a flow run; such records only go to the terminal.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
"""What the process of a flow run needs, unless the user has set it."""

QUIET = {
    # The run's log in the API keeps everything; only the terminal is spared.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
}

EMBEDDED_CLIENT = {
    # The server is of this very installation, and serves nobody else.
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
    # A dead embedded server does not come back: two retries take 6 s, Prefect's five more than a minute.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
}
"""For the flow's process when the server is embedded."""

EMBEDDED_SERVER = {
    # Registering block types imports every Prefect integration; a later `prefect server start` does it.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}
"""For the embedded server's process."""

NOT_FOR_EMBEDDED_SERVER = (
    "PREFECT_API_URL",
    "PREFECT_SERVER_API_BASE_PATH",
    "PREFECT_API_DATABASE_CONNECTION_URL",
)
"""Settings of a server that stays, which would hide the embedded one from its only client, or point it to a database
that is not its own."""


@contextmanager
def quiet_prefect(verbose: bool) -> Iterator[None]:
    """Set `os.environ` for a flow run; enter before Prefect is imported, what was there comes back on exit.

    Without `verbose` the terminal shows warnings of `dsir_core` and nothing of Prefect's; the run's
    log in Prefect's API has both.

    Args:
        verbose: leave Prefect's own log on the terminal.
    """
    wanted = CLIENT if verbose else CLIENT | QUIET
    unset = {name: value for name, value in wanted.items() if name not in os.environ}
    logger = logging.getLogger("dsir_core")
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    # Prefect's console handler hangs on the root logger: a warning would show twice.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        with environment(unset | NO_TELEMETRY):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def prefect_home() -> Path:
    """Where Prefect keeps its database and profiles."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def own_folder() -> Path:
    """The folder of this project in Prefect's home, for this user alone.

    Raises:
        RunFailedError: it cannot be made.
    """
    folder = prefect_home() / "dsir"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise RunFailedError(
            f"{folder} cannot be used ({error.strerror}); set PREFECT_HOME to a directory "
            "that can be written, or use --inline to run without Prefect"
        ) from error
    return folder


def may_be_configured() -> bool:
    """Whether the environment or a file that Prefect reads may name a server.

    Prefect itself must say which one (profiles, `prefect.toml`, `pyproject.toml` and `.env` have an order of
    precedence), but asking costs its import; this is the cheap sign that it need not be asked.
    """
    if os.environ.get("PREFECT_API_URL"):
        return True
    if os.environ.get("PREFECT_PROFILES_PATH"):
        return True
    signs = {
        prefect_home() / "profiles.toml": "prefect_api_url",
        Path("~/.prefect/profiles.toml").expanduser(): "prefect_api_url",
        Path("prefect.toml"): "",
        Path("pyproject.toml"): "tool.prefect",
        Path(".env"): "prefect_",
    }
    return any(path.is_file() and sign in path.read_text(errors="replace").lower() for path, sign in signs.items())
