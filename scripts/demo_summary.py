"""Say from the labels how well a selection from the demo corpus went: `demo_summary.py OUTPUT_DIR`."""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from backports import zstd

LABELS = Path(__file__).resolve().parents[1] / "demo" / "labels.json"


class SummaryError(Exception):
    """The selection cannot be judged; the text is one line for the user."""


def ids_of_part(path: Path) -> Iterator[str]:
    """The `id` of every record of one output part."""
    if path.suffix == ".parquet":
        yield from pq.read_table(path, columns=["id"]).column("id").to_pylist()
        return
    openers: dict[str, Any] = {".gz": gzip.open, ".zst": zstd.open, ".jsonl": open}
    if path.suffix not in openers:
        raise SummaryError(f"{path}: not a part of a selection by its name")
    with openers[path.suffix](path, "rb") as lines:
        for line in lines:
            yield json.loads(line)["id"]


def selected_ids(output: Path) -> list[str]:
    """The ids of the selected records."""
    return [chosen for part in sorted(output.glob("part-*")) for chosen in ids_of_part(part)]


def table(kind_of: dict[str, str], chosen: list[str], targets: set[str]) -> list[str]:
    """Lines of a table: each kind's share of raw and of the selection, the largest gain first."""
    raw, selected = Counter(kind_of.values()), Counter(kind_of[name] for name in chosen)
    shares = {kind: (raw[kind] / len(kind_of), selected[kind] / max(len(chosen), 1)) for kind in raw}
    lines = [f"  {'kind of text':<20}{'raw':>9}{'selection':>12}{'times':>9}"]
    for kind, (before, after) in sorted(shares.items(), key=lambda item: (-item[1][1] / item[1][0], item[0])):
        mark = "  <- target" if kind in targets else ""
        lines.append(f"  {kind:<20}{before:>9.1%}{after:>12.1%}{after / before:>9.1f}{mark}")
    return lines


def summary(labels: dict[str, Any], report: dict[str, Any], chosen: list[str], output: Path) -> str:
    """The whole text.

    Args:
        labels: the content of labels.json.
        report: the content of the selection's report.json.
        chosen: ids of the selected documents.
        output: where the selection lies.

    Raises:
        SummaryError: when a selected id has no label.
    """
    kind_of = labels["domain_of"]
    unknown = [name for name in chosen if name not in kind_of]
    if unknown:
        raise SummaryError(f"{output}: {len(unknown)} selected documents are not of the demo corpus")
    judged = sorted(set(report["targets"]) & set(kind_of.values()))
    hits = sum(kind_of[name] in judged for name in chosen)
    lines = [f"{len(chosen):,} of {len(kind_of):,} documents selected", ""]
    lines += [*table(kind_of, chosen, set(judged)), ""]
    if judged and chosen:
        share = sum(kind in judged for kind in kind_of.values()) / len(kind_of)
        lines.append(
            f"precision at {len(chosen)}: {hits / len(chosen):.3f} of the selection is {' or '.join(judged)}"
            f" (a random selection: {share:.3f})"
        )
    for name, figures in sorted(report["targets"].items()):
        if figures["kl_reduction"] is None:  # nothing is selected for it
            continue
        lines.append(
            f"KL reduction for {name}: {figures['kl_reduction']:.3f} nats"
            f" (from {figures['kl_raw']:.3f} to {figures['kl_selected']:.3f})"
        )
    lines += ["", f"selection: {output}/part-*", f"report:    {output}/report.html, {output}/report.json"]
    return "\n".join(lines)


def main() -> int:
    """Print how well a selection did; the exit status."""
    parser = argparse.ArgumentParser(description="Judge a selection from the demo corpus by its labels.")
    parser.add_argument("output", type=Path, help="the output directory of dsir select")
    output = parser.parse_args().output
    try:
        if not (output / "report.json").is_file():
            raise SummaryError(f"{output}: no finished selection here (report.json is missing)")
        labels = json.loads(LABELS.read_text(encoding="utf-8"))
        report = json.loads((output / "report.json").read_text(encoding="utf-8"))
        print(summary(labels, report, selected_ids(output), output))
    except SummaryError as error:
        print(f"demo_summary: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
