"""`python -m scripts.reference` writes the pages."""

from __future__ import annotations

from typing import Any, get_args

import dsir_core
from dsir_core.runtime.events import Event
from scripts.reference import REFERENCE
from scripts.reference.commands import commands_page
from scripts.reference.files import files_page, schema_page
from scripts.reference.settings import settings_page
from tasks.metrics_page import METRICS

WRITTEN_BY = "<!-- Written by `python -m scripts.reference`: do not edit. -->\n"


def pages() -> dict[str, str]:
    """Text of each page of the reference by its file name."""
    made = {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "files.md": files_page(),
        "report-json.md": schema_page("report", "reports of real runs"),
        "compare-json.md": schema_page("compare", "comparisons by real runs"),
        "events.md": events_page(),
        "api.md": api_page(),
    }
    return {name: text.replace("\n", f"\n\n{WRITTEN_BY}", 1) for name, text in made.items()}


def events_page() -> str:
    """What a run tells: JSON lines, events in Python, metrics."""
    events = "\n".join(f"::: {event.__module__}.{event.__name__}\n" for event in get_args(Event))
    rows = "\n".join(f"| `dsir_{name}` | {text} |" for name, text in METRICS.items())
    return f"""\
# Events and metrics

The JSON lines of `--log-format json` are described in [Watch a run](../watching.md#as-json-lines).

## Metrics

A Dask scheduler that works for a run serves these at `/metrics`, for Prometheus. All are gauges with the labels `run`
(id of the flow run) and `stage`.

| metric | meaning |
|---|---|
{rows}

## Events in Python

`dsir_core.select(..., observe=function)` calls `function` with each of these, in order, in the process of the caller.

{events}"""


def api_page() -> str:
    """The public names of the package, whose docstrings the site shows."""
    functions = [name for name in dsir_core.__all__ if name.islower()]
    errors = [name for name in dsir_core.__all__ if name.endswith("Error")]
    settings = [
        name for name in dsir_core.__all__ if name.endswith(("Settings", "Config")) or name in ("Chunking", "RawPrior")
    ]
    results = [name for name in dsir_core.__all__ if name not in (*functions, *errors, *settings)]
    lines = [
        "# Python API\n",
        "`import dsir_core`. Names that are not listed here are internal. Examples: [From Python](../python.md).\n",
    ]
    for title, names in {"Functions": functions, "Classes": results, "Errors": errors}.items():
        lines.append(f"## {title}\n")
        lines += [f"::: {getattr(dsir_core, name).__module__}.{name}\n" for name in names]
    lines += ["## Settings\n", "Fields and their meaning: [Settings](settings.md).\n"]
    lines += [f"- `{name}`: {_summary(getattr(dsir_core, name))}" for name in settings]
    return "\n".join(lines) + "\n"


def _summary(documented: Any) -> str:
    return str(documented.__doc__).partition("\n")[0]


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
