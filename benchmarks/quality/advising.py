"""Whether following each piece of advice of the program helps, or at least does no harm, on the labelled demo corpus.

    python -m benchmarks.quality.advising [--only NAME,...]

Takes about a minute on two cores; needs nothing but the demo.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.quality.experiments import KINDS, of_kind
from benchmarks.quality.pools import DEMO, Document, Pool, load, rows
from benchmarks.quality.recommending import recommended
from benchmarks.quality.trial import Trial, request_of, select_of
from dsir_core.config.request import parse_config
from dsir_core.forecasting.forecast import forecast
from dsir_core.report.advice import ADVICE, Advice, advise
from dsir_core.report.recovery import all_advice, likely_documents, positive_documents
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run

SPEECHES = Trial(of_kind("demo", "speeches"), "{}", 0)
HELD = 70
"""Speeches in raw."""

Request = Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What became of two users in the same situation."""

    said: tuple[str, ...]
    """What the program says to the one who ignores the advice."""
    ignored: float
    """A figure of the selection; more is better."""
    followed: float

    def gives(self, name: str) -> bool:
        """Whether a piece of advice is among what is said."""
        parts = (re.escape(text) + (".*" if field is not None else "")
                 for text, field, _, _ in string.Formatter().parse(ADVICE[name].text))  # fmt: skip
        return any(re.fullmatch("".join(parts), text) for text in self.said)


@dataclass(frozen=True)
class Selected:
    """A selection, and what its run says of it."""

    report: Mapping[str, Any]
    kinds: Counter[str]

    @property
    def said(self) -> tuple[str, ...]:
        """Notes and advice."""
        return (*self.report["notes"], *all_advice(dict(self.report)))

    def share(self, *kinds: str) -> float:
        """Of the selection, of some kinds."""
        return sum(self.kinds[kind] for kind in kinds) / max(1, self.kinds.total())


def smoothing(folder: Path) -> Outcome:
    """Ten target documents of each kind, unsmoothed and with `auto`."""
    return _over_kinds(folder, (10, {"smoothing": 0.0}), (10, {"smoothing": "auto"}))


def target_size(folder: Path) -> Outcome:
    """Ten target documents of each kind, and sixty."""
    return _over_kinds(folder, (10, {}), (0, {}))


def tokenizer(folder: Path) -> Outcome:
    """Chinese poems with both tokenizers."""
    ask = of_kind("demo", "tang_poetry")
    plain, split = (
        _select(load("demo", folder), Trial(ask, json.dumps({"tokenizer": name}), 0), folder)
        for name in ("wordpunct", "unicode")
    )
    return Outcome(plain.said, plain.share("tang_poetry"), split.share("tang_poetry"))


def min_tokens(folder: Path) -> Outcome:
    """Speeches among documents of which few are long enough, and with the default."""
    pool = load("demo", folder)
    limited, free = (_select(pool, SPEECHES, folder, **settings) for settings in ({"min_tokens": MANY_TOKENS}, {}))
    request = request_of(SPEECHES, pool, folder) | {"min_tokens": MANY_TOKENS, "output": str(folder / "planned")}
    said = forecast(Run(parse_config(request), InlineExecutor())).warnings
    return Outcome(tuple(said), limited.kinds["speeches"] / HELD, free.kinds["speeches"] / HELD)


MANY_TOKENS = 1500


def target_copies(folder: Path) -> Outcome:
    """Raw that holds half of the target, with and without these documents."""
    demo = load("demo", folder)
    copies = [("a copy", text) for text in _texts(demo.targets["speeches"])[:30]]
    pool = _pool("demo-target-copies", folder, {"pool": _documents(demo), "repeated": copies})
    kept, left_out = (_select(pool, SPEECHES, folder, exclude_target_copies=out) for out in (False, True))
    return Outcome(kept.said, kept.share("speeches"), left_out.share("speeches"))


def dedup(folder: Path) -> Outcome:
    """Raw that holds half of the speeches three times."""
    documents = _documents(load("demo", folder))
    copies = [("a copy", text) for kind, text in documents if kind == "speeches"][: HELD // 2]
    pool = _pool("demo-copies", folder, {"pool": documents, "repeated": copies * 2})
    kept, left_out = (_select(pool, SPEECHES, folder, dedup=how) for how in ("none", "exact"))
    return Outcome(kept.said, kept.share("speeches"), left_out.share("speeches"))


def outliers(folder: Path) -> Outcome:
    """Fifty-seven speeches with three Go files among the target, and without these."""
    pool = load("demo", folder)
    lines = pool.targets["speeches"].read_bytes().splitlines(keepends=True)[:57]
    strays = pool.targets["go_code"].read_bytes().splitlines(keepends=True)[:3]
    found = []
    for name, content in (("mixed", [*lines, *strays]), ("clean", lines)):
        path = folder / f"{name}.jsonl"
        path.write_bytes(b"".join(content))
        found.append(_select(pool, SPEECHES, folder, target={"speeches": str(path)}))
    mixed, clean = found
    return Outcome(mixed.said, mixed.share("speeches"), clean.share("speeches"))


def match(folder: Path) -> Outcome:
    """Pages of a manual and entries of a dictionary as two targets, pooled and matched."""
    pool, kinds = load("demo", folder), ("sqlite_manual", "jargon")
    target = {kind: str(pool.targets[kind]) for kind in kinds}
    pooled, matched = (_select(pool, SPEECHES, folder, target=target, count=100, match=how) for how in (False, True))
    return Outcome(pooled.said, *(min(map(found.share, kinds)) for found in (pooled, matched)))


def fewer(folder: Path) -> Outcome:
    """Three times the speeches that raw holds, and as many as it seems to hold."""
    pool = load("demo", folder)
    many = _select(pool, SPEECHES, folder, count=3 * HELD)
    likely = likely_documents(many.report["recovery"]["speeches"], positive_documents(many.report, "speeches"))
    some = _select(pool, SPEECHES, folder, count=round(likely))
    return Outcome(many.said, many.share("speeches"), some.share("speeches"))


def more(folder: Path) -> Outcome:
    """Half of the speeches that raw holds, and as many as are said to recover 95 %."""
    pool = load("demo", folder)
    few = _select(pool, SPEECHES, folder, count=HELD // 2)
    recovery = few.report["recovery"]["speeches"]
    enough = _select(pool, SPEECHES, folder, count=round(recovery["enough"] * recovery["eligible"]))
    return Outcome(few.said, few.kinds["speeches"] / HELD, enough.kinds["speeches"] / HELD)


def method(folder: Path) -> Outcome:
    """The recommended method, and the others."""
    case = recommended(SPEECHES, folder)
    others = [precision for name, precision in case["precision"].items() if name != case["recommended"]]
    said = (advise("method", method=case["recommended"]),) if case["recommended"] else ()
    return Outcome(said, fmean(others), case["precision"].get(case["recommended"], 0.0))


def refit(folder: Path) -> Outcome:
    """Raw that had only speeches and Go files when its model was fitted, and then grew to all kinds."""
    documents = _documents(load("demo", folder))
    first = [one for one in documents if one[0] in ("speeches", "go_code")]
    found = []
    for how in ("never", "always"):
        pool = _pool("demo-grown", folder, {"pool": first})
        _select(pool, SPEECHES, folder, workdir=str(folder / how))
        pool = _pool("demo-grown", folder, {"pool": documents})
        found.append(_select(pool, SPEECHES, folder, workdir=str(folder / how), refit=how))
    kept, fitted = found
    return Outcome(kept.said, kept.share("speeches"), fitted.share("speeches"))


EXPERIMENTS: Mapping[str, Callable[[Path], Outcome]] = {
    "smoothing": smoothing,
    "tokenizer": tokenizer,
    "min-tokens": min_tokens,
    "target-copies": target_copies,
    "dedup": dedup,
    "target-size": target_size,
    "outliers": outliers,
    "match": match,
    "fewer": fewer,
    "more": more,
    "method": method,
    "refit": refit,
}
"""By the name of the advice that each backs."""


def _over_kinds(folder: Path, ignored: tuple[int, Request], followed: tuple[int, Request]) -> Outcome:
    """Mean precision over the kinds of the demo with two sizes of the target and their settings."""
    pool = load("demo", folder)
    said: list[str] = []
    shares: list[list[float]] = [[], []]
    for kind in KINDS["demo"]:
        for index, (n, settings) in enumerate((ignored, followed)):
            found = _select(pool, Trial(of_kind("demo", kind, n), json.dumps(settings), 0), folder)
            shares[index].append(found.share(kind))
            said += found.said if index == 0 else ()
    return Outcome(tuple(said), fmean(shares[0]), fmean(shares[1]))


def _select(pool: Pool, trial: Trial, folder: Path, **settings: Any) -> Selected:
    return Selected(*select_of(pool, request_of(trial, pool, folder) | settings))


def _documents(pool: Pool) -> list[tuple[str, str]]:
    """Kind and text of each raw document."""
    return [
        (pool.documents[path.name, position].kind, row["text"])
        for path in sorted(pool.raw.iterdir())
        for position, row in rows(path)
    ]


def _texts(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.read_bytes().splitlines()]


def _pool(name: str, folder: Path, files: Mapping[str, Sequence[tuple[str, str]]]) -> Pool:
    """A pool of documents with their kinds, and the targets of the demo."""
    raw = folder / name
    raw.mkdir(parents=True, exist_ok=True)
    documents = {}
    for file, content in files.items():
        position = 0
        with (raw / f"{file}.jsonl").open("wb") as stream:
            for kind, text in content:
                documents[f"{file}.jsonl", position] = Document(kind, len(text.split()))
                position += stream.write(json.dumps({"text": text}).encode() + b"\n")
    return Pool(name, raw, documents, {kind: DEMO / "targets" / f"{kind}.jsonl" for kind in KINDS["demo"]})


def markdown(found: Mapping[str, Outcome | Advice]) -> Iterator[str]:
    """A row for each piece of advice: what was measured, or what is recorded."""
    yield "| advice | it is given for | figure | ignored | followed |"
    yield "|---|---|---|---|---|"
    for name, each in found.items():
        advice = ADVICE[name]
        yield f"| {name} | {advice.when} | {advice.figure} | {each.ignored:.2f} | {each.followed:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality.advising", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help=f"of {','.join(EXPERIMENTS)}")
    names = [name for name in parser.parse_args().only.split(",") if name] or list(EXPERIMENTS)
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        parser.error(f"no such experiment: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: EXPERIMENTS[name](Path(folder)) for name in names}
    for name, outcome in found.items():
        if not outcome.gives(name):
            print(f"{name}: not given in this situation")
    print("\n".join(markdown(found)))


if __name__ == "__main__":
    main()
