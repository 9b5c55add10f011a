"""One selection by the pipeline itself, judged by the labels."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.quality.pools import Pool, load
from dsir_core.config.request import parse_config
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run

SHARES = "shares"
"""As a setting's value: the share of each kind in the target's documents."""

REFERENCE = {"preset": "reference", "hash": "xxh3"}
"""The reference's settings with the faster hash, which selects as well."""


@dataclass(frozen=True)
class Ask:
    """What is asked of a pool."""

    pool: str
    documents: tuple[tuple[str, int], ...]
    """Kinds, and how many target documents of each; 0 for all."""


@dataclass(frozen=True)
class Trial:
    """One selection."""

    ask: Ask
    settings: str
    """JSON of the keys of a configuration."""
    draw: int
    """Which documents the target holds, when it does not hold all; and the seed."""


def judge(trial: Trial, folder: Path) -> dict[str, Any]:
    """Run a trial. All trials of a pool have one workdir, so what they share is done once.

    Returns:
        `figures` of the selection.
    """
    pool = load(trial.ask.pool, folder)
    return figures(*select_of(pool, request_of(trial, pool, folder)))


def select_of(pool: Pool, request: Mapping[str, Any]) -> tuple[dict[str, Any], Counter[str]]:
    """The report of a selection, and its documents by kind.

    Args:
        request: without an output.
    """
    with tempfile.TemporaryDirectory() as output:
        report = select(Run(parse_config({**request, "output": f"{output}/selection"}), InlineExecutor()))
        chosen = pq.read_table(f"{output}/selection/selected.parquet", columns=["file", "position"]).to_pydict()
    places = zip(chosen["file"], chosen["position"], strict=True)
    return report, Counter(pool.documents[place].kind for place in places)


def request_of(trial: Trial, pool: Pool, folder: Path) -> dict[str, Any]:
    """The request of a trial, without an output."""
    work = folder / "work" / pool.name
    work.mkdir(parents=True, exist_ok=True)
    targets = {kind: _target(pool, kind, n, trial.draw, work) for kind, n in trial.ask.documents}
    counts = {kind: sum(1 for _ in path.open("rb")) for kind, path in targets.items()}
    shares = {kind: n / sum(counts.values()) for kind, n in counts.items()}
    settings: dict[str, Any] = {
        key: shares if value == SHARES else value for key, value in json.loads(trial.settings).items()
    }
    return {
        "raw": str(pool.raw),
        "target": {kind: str(path) for kind, path in targets.items()},
        "workdir": str(work / "checkpoints"),
        "count": size(pool, shares, settings.get("chunk", {}).get("words")),
        "seed": trial.draw,
        **settings,
    }


def figures(report: Mapping[str, Any], chosen: Counter[str]) -> dict[str, Any]:
    """What is said of a selection.

    Args:
        report: the content of report.json; its targets have the names of kinds.
        chosen: selected documents by kind.

    Returns:
        `precision`: share of the selection that is of a kind asked for; `shares` of the selection by kind; `by_target`:
        documents that each has chosen; `target_ngrams` for each bucket, about; `length`: mean tokens of a selected
        document, to that of a target document; `kl_reduction` in nats; `ess`: effective sample size; `overlap` with
        top-k; `temperatures` that were used; `selected` and `eligible` documents; `smoothing` that was used; held-out
        `recovery` and `auc` by who selects, `judged` where recovery is that of the selection's size and no upper bound.
    """
    targets, config, n = report["targets"], report["config"], chosen.total()
    tokens, documents = (sum(found[what] for found in targets.values()) for what in ("tokens", "documents"))
    return {
        "precision": sum(chosen[kind] for kind in targets) / n,
        "shares": {kind: found / n for kind, found in chosen.most_common()},
        "by_target": {name: found["selected"] for name, found in targets.items()},
        "target_ngrams": config["ngrams"] * tokens / config["buckets"],
        "length": (report["tokens"]["selected"] / n) / (tokens / documents),
        "kl_reduction": report["kl_reduction"],
        "ess": report["weights"]["effective_sample_size"],
        "overlap": report["weights"]["top_k_overlap"],
        "temperatures": report["weights"]["temperatures"],
        "selected": n,
        "eligible": report["documents"]["eligible"],
        "smoothing": report["fit"]["smoothing"],
        "recovery": {name: found["recovered"] for name, found in report["recovery"].items()},
        "auc": {name: found["auc"] for name, found in report["recovery"].items()},
        "judged": all(found["share"] >= found["resolution"] for found in report["recovery"].values()),
    }


def size(pool: Pool, shares: Mapping[str, float], words: int | None = None) -> int:
    """The k of precision at k: for one kind, as many documents as raw holds of it.

    For several, half the largest selection that could hold each in its share, so that another mixture is possible, too.

    Args:
        words: of a chunk, where documents are cut into chunks; whole chunks are counted then.
    """
    held: Counter[str] = Counter()
    for document in pool.documents.values():
        held[document.kind] += document.words // words if words else 1
    largest = int(min(held[kind] / share for kind, share in shares.items()) + 1e-9)
    return largest if len(shares) == 1 else largest // 2


def _target(pool: Pool, kind: str, n: int, draw: int, work: Path) -> Path:
    if not n:
        return pool.targets[kind]
    path = work / f"{kind}-{n}-{draw}.jsonl"
    if not path.exists():
        lines = pool.targets[kind].read_bytes().splitlines(keepends=True)
        with tempfile.NamedTemporaryFile(dir=work, delete=False) as partial:
            partial.writelines(random.Random(f"{draw} {kind}").sample(lines, n))
        Path(partial.name).rename(path)
    return path


def forget(folder: Path) -> None:
    """Remove checkpoints and drawn targets, so that every figure is made by the code as it is."""
    shutil.rmtree(folder / "work", ignore_errors=True)
