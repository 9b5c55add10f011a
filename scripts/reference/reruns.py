"""Measure which stages run again when one setting changes: `python -m scripts.reference.reruns` writes reruns.json.

For each setting a run fills a workdir, and a second run with another value tells which stages found no checkpoints.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import dsir_core

ROOT = Path(__file__).parents[2]
MEASURED = Path(__file__).with_name("reruns.json")
STAGES = ("count", "classify", "recover", "join", "score", "mark", "resample", "write")
"""Those that keep checkpoints of shards. The others always run: they take seconds."""

CHUNKS = {"chunk": {"words": 50}, "min_tokens": 10}
TWO_TARGETS = {
    "separate": True,
    "count": 40,
    "temperature": 100.0,
    "target": {"news": "target-1.jsonl", "code": "target-2.jsonl"},
}
SIZED = ("count", "tokens", "fraction")

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "raw": ({}, {"raw": ["raw", "more.jsonl"]}),
    "target": ({}, {"target": {"speeches": "target-2.jsonl"}}),
    "preset": ({}, {"preset": "reference"}),
    "workdir": ({}, {"workdir": "another"}),
    "output": ({}, {}),
    "count": ({}, {"count": 9}),
    "tokens": ({"tokens": 3000}, {"tokens": 5000}),
    "fraction": ({"fraction": 0.1}, {"fraction": 0.2}),
    "seed": ({}, {"seed": 1}),
    "method": ({}, {"method": "random"}),
    "method=heuristic": ({}, {"method": "heuristic"}),
    "temperature": ({}, {"temperature": 100.0}),
    "target_ess": ({"target_ess": 0.1}, {"target_ess": 0.2}),
    "length_normalise": ({}, {"length_normalise": "none"}),
    "min_tokens": ({}, {"min_tokens": 200}),
    "dedup": ({}, {"dedup": "exact"}),
    "exclude_target_copies": ({}, {"exclude_target_copies": True}),
    "quotas": ({"strata": "kind", "quotas": {"0": 1, "1": 1}}, {"quotas": {"0": 1, "1": 3}}),
    "strata": ({}, {"strata": "kind"}),
    "ngrams": ({}, {"ngrams": 1}),
    "tokenizer": ({}, {"tokenizer": "wordpunct"}),
    "buckets": ({}, {"buckets": 1000}),
    "hash": ({}, {"hash": "sha256"}),
    "fit_ngrams": ({}, {"fit_ngrams": 90000}),
    "refit": ({}, {"refit": "auto"}),
    "smoothing": ({}, {"smoothing": 1}),
    "separate": ({**TWO_TARGETS, "separate": False}, {"separate": True}),
    "match": (TWO_TARGETS, {"separate": False, "match": True}),
    "proportions": ({**TWO_TARGETS, "proportions": {"news": 1, "code": 1}}, {"proportions": {"news": 3, "code": 1}}),
    "weights": ({}, {"weights": {"column": "score"}}),
    "text_field": ({}, {"text_field": ["title"]}),
    "max_record_bytes": ({}, {"max_record_bytes": 10_000_000}),
    "include": ({}, {"include": "score >= 5"}),
    "exclude": ({}, {"exclude": "score >= 5"}),
    "chunk": (CHUNKS, {"chunk": {"words": 60}}),
    "compression": ({}, {"compression": "gzip"}),
    "whole_documents": (CHUNKS, {"whole_documents": True}),
    "example_fields": ({}, {"example_fields": ["kind"]}),
    "overwrite": ({}, {"overwrite": True}),
    "max_bad_fraction": ({}, {"max_bad_fraction": 0.5}),
    "max_bad_shards": ({}, {"max_bad_shards": 1}),
    "shard_bytes": ({}, {"shard_bytes": 100_000}),
    "keep_bytes": ({}, {"keep_bytes": 0}),
    **{name: ({}, {name: value}) for name, value in {"s3_endpoint": "http://127.0.0.1:1", "s3_profile": "p"}.items()},
    **{name: ({}, {name: value}) for name, value in {"s3_region": "eu-central-1", "s3_anonymous": True}.items()},
}
"""Setting, or one value of it -> settings of the first run that differ from the usual ones, what the second changes."""

WITHOUT_EFFECT = {"workers": {"workers": 1}, "inline": {"inline": True}}
"""Settings of the command alone: a run in this process does not look at them."""


def measure() -> dict[str, str]:
    """By setting, the stages that run again, in words."""
    with tempfile.TemporaryDirectory() as folder:
        _write_corpus(Path(folder))
        return {name: _measure(Path(folder), name) for name in sorted(CHANGES)} | dict.fromkeys(WITHOUT_EFFECT, "")


def _write_corpus(folder: Path) -> None:
    """180 documents that raw is read from in four shards, and two targets."""
    lines = (ROOT / "demo" / "raw" / "pool-1.jsonl").read_text(encoding="utf-8").splitlines()
    records = [
        {"text": text, "title": text[:2000], "kind": str(i % 2), "score": i % 10}
        for i, text in enumerate(json.loads(line)["text"] for line in lines)
    ]
    (folder / "raw").mkdir()
    for name, some in {
        "raw/a.jsonl": records[:90],
        "raw/b.jsonl": records[90:180],
        "more.jsonl": records[180:200],
        "target-1.jsonl": records[200:220],
        "target-2.jsonl": records[220:],
    }.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in some), encoding="utf-8")


def _measure(folder: Path, name: str) -> str:
    base, change = CHANGES[name]
    usual = {
        "raw": ["raw"],
        "target": {"speeches": "target-1.jsonl"},
        "count": 8,
        "shard_bytes": 200_000,
        "min_tokens": 50,
        "workdir": f"work-{name}",
    }
    first = {**{key: value for key, value in usual.items() if key != "count" or not {*base} & {*SIZED}}, **base}
    before = _select(folder, f"first-{name}", first)
    after = _select(folder, f"second-{name}", {**first, **change})
    assert all(stage["reused"] == 0 for stage in before.values())
    return ", ".join(_words(stage, after[stage], before.get(stage)) for stage in STAGES if _runs(after.get(stage)))


def _select(folder: Path, output: str, settings: dict[str, Any]) -> dict[str, Any]:
    def inside(value: Any) -> Any:
        return (
            {key: str(folder / item) for key, item in value.items()} if isinstance(value, dict) else str(folder / value)
        )

    paths = {"raw": [inside(one) for one in settings["raw"]], "target": inside(settings["target"])}
    paths["workdir"] = inside(settings["workdir"])
    selection = dsir_core.select(**{**settings, **paths, "output": folder / output})
    stages: dict[str, Any] = selection.figures["stages"]
    return stages


def _runs(stage: dict[str, Any] | None) -> bool:
    return stage is not None and stage["reused"] < stage["shards"]


def _words(name: str, after: dict[str, Any], before: dict[str, Any] | None) -> str:
    """A stage that runs again, with what of it where that is not all."""
    if name != "count" or before is None or not after["reused"]:
        return name
    return "count (targets)" if after["shards"] - after["reused"] == 1 else "count (raw)"


def main() -> None:
    """Write what is measured beside this file."""
    MEASURED.write_text(json.dumps(measure(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
