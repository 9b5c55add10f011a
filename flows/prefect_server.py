"""A Prefect API for a flow run started in a plain terminal: the user's server, or an embedded one."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dsir_core.errors import RunFailedError
from flows.prefect_embedded import EmbeddedServer, drain_client, embedded_server, local_json
from flows.prefect_settings import EMBEDDED_CLIENT, environment, may_be_configured

DEFAULT_URL = "http://127.0.0.1:4200/api"
"""Where `prefect server start` listens unless told otherwise."""


@dataclass
class PrefectApi:
    """The API a flow run reports to; see `prefect_api`."""

    url: str
    embedded: EmbeddedServer | None
    _stack: ExitStack = field(repr=False)
    _is_ready: bool = False

    def wait(self) -> None:
        """Import Prefect, point it at this API and return once the API answers; then run the flow.

        Call it in the thread that runs the flow: the settings belong to its context.

        Raises:
            RunFailedError: the server does not start, or the one that was configured does not answer.
        """
        if self._is_ready:
            return
        import_prefect()
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


@contextmanager
def prefect_api(*, verbose: bool = False) -> Iterator[PrefectApi]:
    """The API for the flow runs inside the block: configured, found at the default address, or embedded.

    Returns at once in the last case; the server starts in the background until `PrefectApi.wait`.
    An embedded server keeps its database where Prefect keeps it anyway, so `prefect server start` shows
    the run later, and it ends with this block or with this process. Enter `quiet_prefect` first, and
    import Prefect only inside.

    Args:
        verbose: let the embedded server write its log to the terminal.

    Raises:
        RunFailedError: a server is configured and does not answer.
    """
    configured = configured_url()
    if configured:
        check_configured(configured)
    url = configured or (DEFAULT_URL if is_prefect_server(DEFAULT_URL) else None)
    with ExitStack() as stack:
        stack.callback(_refresh_settings)
        if url:
            stack.enter_context(environment({"PREFECT_API_URL": url}))
            yield PrefectApi(url, None, stack)
            if "prefect.flows" in sys.modules:
                drain_client()
            return
        server = stack.enter_context(embedded_server(verbose=verbose))
        stack.enter_context(environment(EMBEDDED_CLIENT | {"PREFECT_API_URL": server.url}))
        yield PrefectApi(server.url, server, stack)


def _refresh_settings() -> None:
    """Let Prefect, if it is imported, see the environment as it is now: its threads use what it read last."""
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def configured_url() -> str | None:
    """The API that the environment or Prefect's active profile names, or None."""
    if not may_be_configured() and "prefect.context" not in sys.modules:
        return None
    import_prefect()
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


def is_prefect_server(url: str) -> bool:
    """Whether a Prefect server that asks for no credentials answers at `url`."""
    return local_json(f"{url}/health") is True and isinstance(local_json(f"{url}/admin/version"), str)


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
    finally:
        if was_enabled:
            gc.enable()


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"//[^/@\s]*@", "//", line)
