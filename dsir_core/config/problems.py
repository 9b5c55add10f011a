"""What is wrong with a request, in one line for the user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from dsir_core.config.described import choices_of, did_you_mean, kinds_of, takes
from dsir_core.urls import without_credentials

Called = Callable[[str], str]
"""How a message names a setting: by its key, its flag, or the line of a file that gives it."""

KINDS = {"int": "must be a whole number", "float": "must be a number", "bool": "must be true or false"}
"""By the beginning of pydantic's name of a problem, such as `int_parsing`."""

MISMATCHES = ("_type", "_parsing", "_from_float", "literal_error", "missing")
"""How pydantic's names of problems end that say no more than that a value is of another kind."""


def describe(config: type[BaseModel], error: ValidationError, called: Called) -> str:
    """All that is wrong, each setting once."""
    by_setting: dict[str, list[Any]] = {}
    for problem in error.errors():
        by_setting.setdefault(str(problem["loc"][0]) if problem["loc"] else "", []).append(problem)
    return "; ".join(_of_setting(config, name, problems, called) for name, problems in by_setting.items())


def _of_setting(config: type[BaseModel], name: str, problems: Sequence[Any], called: Called) -> str:
    first = problems[0]
    if not name:
        return "; ".join(_words(problem) for problem in problems)
    if name not in config.model_fields:
        return f"{called(name)}: no such setting{did_you_mean(name, config.model_fields)}"
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{called(name)}: required, and not given"
    field = config.model_fields[name]
    choices = choices_of(field)
    specific = [problem for problem in problems if not problem["type"].endswith(MISMATCHES)]
    if not specific and (len(problems) > 1 or choices):
        return f"{called(name)}: must be {takes(name, field)}{_got(first, choices)}"
    said = specific[0] if specific else first
    inner = "" if len(kinds_of(field.annotation)) > 1 else "".join(f".{part}" for part in said["loc"][1:])
    return f"{called(name)}{inner}: {_words(said)}{_got(said, choices)}"


def _words(problem: Any) -> str:
    kind = problem["type"].partition("_")[0] if problem["type"].endswith(MISMATCHES) else ""
    message: str = problem["msg"].removeprefix("Value error, ")
    return KINDS.get(kind, message.replace("Input should be", "must be"))


def _got(problem: Any, known: Sequence[str] = ()) -> str:
    given = problem["input"]
    meant = did_you_mean(given, known) if isinstance(given, str) else ""
    return f" (got {without_credentials(repr(given)):.80}){meant}"
