"""A Prefect API for a flow run started in a plain terminal: the user's server, or an embedded one.

A server is used if the environment or Prefect's profile names it, or if `make serve` of this user keeps it running.
What else answers at Prefect's default address may be of another version, or another user's: parameters and logs would
go there.
"""

from __future__ import annotations

import contextlib
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dsir_core.errors import RunFailedError
from flows.prefect_embedded import DRAIN_SECONDS, EmbeddedServer, embedded_server, local_json
from flows.prefect_private import drain_client, refresh_settings
from flows.prefect_settings import EMBEDDED_CLIENT, environment, may_be_configured
from flows.served import served_api

DEFAULT_URL = "http://127.0.0.1:4200/api"
"""Where `prefect server start` listens by default."""


class PrefectApi:
    """The API a flow run reports to; see `prefect_api`."""

    def __init__(self, stack: ExitStack, *, verbose: bool) -> None:
        self._stack, self._verbose = stack, verbose
        self._is_ready = False
        self.embedded: EmbeddedServer | None = None
        self.url: str | None = None
        """None until it is known which server it is: Prefect itself must say which one is configured."""
        if "prefect.context" in sys.modules:
            self._begin(_configured())
        elif not may_be_configured():
            self._begin(None)

    def wait(self) -> None:
        """Import Prefect, point it at this API and return once the API answers; then run the flow.

        Call it in the thread that runs the flow: the settings belong to its context.

        Raises:
            RunFailedError: the server does not start, or the one that was configured does not answer.
        """
        if self._is_ready:
            return
        import_prefect()
        if self.url is None:
            self._begin(_configured())
        _refresh_settings()
        from prefect.settings import (
            PREFECT_API_URL,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            temporary_settings,
        )

        updates: dict[Any, Any] = {PREFECT_API_URL: self.url}
        if self.embedded:
            self.embedded.wait_until_ready()
            # Nobody watches the heartbeat of an embedded server, and its thread delays the end by a second.
            updates[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
        self._stack.enter_context(temporary_settings(updates))
        self._is_ready = True

    def _begin(self, configured: dict[str, str] | None) -> None:
        """Settle which server it is; an embedded one begins to start."""
        found = configured or _served()
        if not found:
            self.embedded = self._stack.enter_context(embedded_server(verbose=self._verbose))
            client = {"PREFECT_API_URL": self.embedded.url, "PREFECT_API_AUTH_STRING": self.embedded.auth}
            found = EMBEDDED_CLIENT | client
        self._stack.enter_context(environment(found))
        self.url = found["PREFECT_API_URL"]


@contextmanager
def prefect_api(*, verbose: bool = False) -> Iterator[PrefectApi]:
    """The API for the flow runs inside the block: configured, that of `make serve`, or embedded.

    Returns at once: an embedded server starts in the background until `PrefectApi.wait`, and ends with this block or
    with this process; a configured one is looked for by `PrefectApi.wait`, unless Prefect is imported. Enter
    `quiet_prefect` first, and import Prefect only inside.

    Args:
        verbose: let the embedded server write its log to the terminal.
    """
    with ExitStack() as stack:
        stack.callback(_refresh_settings)
        api = PrefectApi(stack, verbose=verbose)
        yield api
        if api.embedded is None and "prefect.flows" in sys.modules:
            drain_client(DRAIN_SECONDS)


def _configured() -> dict[str, str] | None:
    """What the environment needs to reach the server that the user's settings name, if they name one."""
    url = configured_url()
    if url is None:
        return None
    check_configured(url)
    return {"PREFECT_API_URL": url}


def _served() -> dict[str, str] | None:
    """What the environment needs to reach the server of `make serve`; says why a server that answers is not used."""
    version = metadata.version("prefect")
    if (found := served_api()) and is_prefect_server(found.url, found.auth):
        if found.version == version:
            return {"PREFECT_API_URL": found.url} | ({"PREFECT_API_AUTH_STRING": found.auth} if found.auth else {})
        said = f"the server of make serve is of Prefect {found.version}, this is {version}"
    elif is_prefect_server(DEFAULT_URL):
        said = f"no setting names the Prefect server at {DEFAULT_URL} (export PREFECT_API_URL to use it)"
    else:
        return None
    print(f"note: {said}; this run has a server of its own", file=sys.stderr)
    return None


def _refresh_settings() -> None:
    """Let Prefect, if it is imported, see the environment as it is now: its threads use what it read last."""
    if "prefect.context" in sys.modules:
        refresh_settings()


def configured_url() -> str | None:
    """The API that the environment or Prefect's active profile names, or None."""
    _refresh_settings()
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def check_configured(url: str) -> None:
    """Return when the server at `url` answers with the configured credentials.

    Raises:
        RunFailedError: it does not, with what to do about it.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        client = get_client(httpx_settings={"timeout": 10.0}, sync_client=True)
        error = client.api_healthcheck()
    if error is None:
        return
    raise RunFailedError(
        f"the configured Prefect server {without_credentials(url)} does not answer ({_first_line(error)}); "
        "start it with `prefect server start`, or unset PREFECT_API_URL (or switch profile) for an embedded "
        "one, or use --inline to run without Prefect"
    )


def is_prefect_server(url: str, auth: str | None = None) -> bool:
    """Whether a Prefect server that asks for no credentials, or takes `auth`, answers at `url`."""
    return local_json(f"{url}/health") is True and isinstance(local_json(f"{url}/admin/version", auth=auth), str)


def without_credentials(url: str) -> str:
    """`url` with neither user information nor query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def import_prefect() -> None:
    """Import Prefect, a quarter faster than by `import prefect`: without looking for garbage meanwhile."""
    if "prefect.flows" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import prefect.flows
        import prefect.tasks  # noqa: F401

        # Prefect imports it when the first flow run begins; here an embedded server is still starting.
        with contextlib.suppress(ImportError):
            import fastapi.encoders  # noqa: F401
    finally:
        if was_enabled:
            gc.enable()


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"//[^/@\s]*@", "//", line)
