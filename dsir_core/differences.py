"""Two selections side by side: which documents they share, their figures, and what differs in their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from dsir_core.checkpoints.store import Store
from dsir_core.finished import finished_report
from dsir_core.report.formatting import counted
from dsir_core.shards.shared_documents import Parts, Shared, shared_by_key, shared_by_place
from dsir_core.urls import without_credentials

Report: TypeAlias = Mapping[str, Any]
Pair: TypeAlias = tuple[Any, Any]
"""A figure or setting of the first selection and of the second; None where one has none."""

OF_THE_RUN = ("output", "workdir", "overwrite", "workers", "inline")
"""Settings that say where and by whom a selection was made, and not what."""


@dataclass(frozen=True)
class Difference:
    """How two selections differ."""

    outputs: tuple[str, str]
    """Redacted."""
    ended: tuple[str | None, str | None]
    """When each was made."""
    key: str | None
    """Field by which documents are identified; None for the place in raw."""
    shared: Shared
    figures: Mapping[str, Pair]
    """By name, as in report.json with dots."""
    strata: Mapping[str, Pair]
    """Selected documents by stratum; empty where neither run had strata."""
    settings: Mapping[str, Pair]
    """Settings that differ."""
    notes: tuple[str, ...]
    """What to know when the figures are read."""

    @property
    def is_same(self) -> bool:
        """Whether both selected the same documents."""
        return self.shared.only == (0, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; pairs are lists, the first selection first."""
        return asdict(self) | {"is_same": self.is_same}


def difference(outputs: tuple[str, str], key: str | None = None) -> Difference:
    """Compare two finished selections, in bounded memory.

    Args:
        outputs: directories or URLs.
        key: field of the written records that names a document; default: file and position in raw.

    Raises:
        RequestError: one is no finished selection, or its records have no such field.
        DamagedFileError: a part of the output cannot be read.
    """
    first, second = (finished_report(output) for output in outputs)
    if key is None:
        shared = shared_by_place((Store(outputs[0]), Store(outputs[1])))
    else:
        shared = shared_by_key((_parts(outputs[0], first), _parts(outputs[1], second)), key)
    return Difference(
        (without_credentials(outputs[0]), without_credentials(outputs[1])),
        (_ended(first), _ended(second)),
        key,
        shared,
        _pairs(dict(_figures(first)), dict(_figures(second))),
        _pairs(_strata(first), _strata(second), 0),
        {name: pair for name, pair in _pairs(_settings(first), _settings(second)).items() if pair[0] != pair[1]},
        tuple(_notes(first, second, key)),
    )


def _parts(output: str, report: Report) -> Parts:
    names = [part["name"] for part in report["parts"]]
    return Parts(output, names, sum(part["documents"] for part in report["parts"]))


def _ended(report: Report) -> str | None:
    ended: str | None = report.get("time", {}).get("ended")
    return ended


def _figures(report: Report) -> Iterator[tuple[str, Any]]:
    """Figures by name; None for one that the report of an older version lacks."""
    for name in ("raw", "eligible", "selected"):
        yield f"documents.{name}", _at(report, "documents", name)
    yield "tokens.selected", _at(report, "tokens", "selected")
    for target, found in report.get("recovery", {}).items():
        yield f"recovery.{target}.recovered", found.get("recovered")
    for target, found in report.get("targets", {}).items():
        yield f"targets.{target}.kl_reduction", found.get("kl_reduction")
    for name in ("effective_sample_size", "top_k_overlap"):
        yield f"weights.{name}", _at(report, "weights", name)
    if "copies" in report:
        yield "copies.copies", _at(report, "copies", "copies")


def _at(report: Report, *names: str) -> Any:
    found: Any = report
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _strata(report: Report) -> dict[str, int]:
    return {name: found["selected"] for name, found in report.get("strata", {}).items()}


def _settings(report: Report) -> dict[str, Any]:
    return {name: value for name, value in report.get("config", {}).items() if name not in OF_THE_RUN}


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any], missing: Any = None) -> dict[str, Pair]:
    return {name: (first.get(name, missing), second.get(name, missing)) for name in {**first, **second}}


def _notes(first: Report, second: Report, key: str | None) -> Iterator[str]:
    a, b = (_at(report, "corpus", "raw") for report in (first, second))
    if a is None or b is None:
        yield "an older report does not say where raw lies: places mean the same only if the files are the same"
    elif a["root"] != b["root"]:
        advice = "" if key else ": places mean the same only if the files have the same names; else use --key"
        yield f"raw lies in {a['root']} and in {b['root']}{advice}"
    elif a["bytes"] != b["bytes"]:
        sizes = [f"{counted(one['files'], 'file')} of {one['bytes']:,} bytes" for one in (a, b)]
        yield f"raw has changed: {sizes[0]}, then {sizes[1]}"
    for name in ("tokenizer", "dsir-pipeline"):
        versions = [_at(report, "versions", name) for report in (first, second)]
        if versions[0] != versions[1]:
            yield f"made by {name} {versions[0]} and {versions[1]}"
    if _at(first, "documents", "selected") != _at(second, "documents", "selected"):
        yield "KL reductions, and recovery, of selections of different sizes do not say which settings are better"
    models = [report.get("model_digest") for report in (first, second)]
    if models[0] is not None and models[0] == models[1]:
        yield "both used the same model: their log weights are the same"
