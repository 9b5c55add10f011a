"""`make demo` ends with figures that are right, whatever formats the output parts have."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd


def lines_of(ids: list[str]) -> bytes:
    return "".join(json.dumps({"id": name, "text": "x"}) + "\n" for name in ids).encode()


def write_output(folder: Path, ids: list[str]) -> None:
    """Four parts of four formats, and a report."""
    folder.mkdir()
    quarter = -(-len(ids) // 4)
    first, second, third, fourth = (ids[i * quarter : (i + 1) * quarter] for i in range(4))
    (folder / "part-00000.jsonl").write_bytes(lines_of(first))
    (folder / "part-00001.jsonl.gz").write_bytes(gzip.compress(lines_of(second)))
    (folder / "part-00002.jsonl.zst").write_bytes(zstd.compress(lines_of(third)))
    pq.write_table(pa.table({"id": fourth, "text": ["x"] * len(fourth)}), folder / "part-00000.parquet")
    pq.write_table(pa.table({"file": ["pool-1.jsonl"], "position": [0]}), folder / "selected.parquet")
    figures = {"kl_raw": 2.5, "kl_selected": 1.25, "kl_reduction": 1.25}
    (folder / "report.json").write_text(json.dumps({"targets": {"speeches": figures}}))


def summarise(scripts: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(scripts / "demo_summary.py"), str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_shares_precision_and_places(scripts: Path, tmp_path: Path, labels: dict[str, Any]) -> None:
    ids = {kind: [name for name, other in labels["domain_of"].items() if other == kind] for kind in labels["k"]}
    write_output(tmp_path / "out", ids["speeches"][:60] + ids["dictionary"][:20])

    done = summarise(scripts, tmp_path / "out")

    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert rows["speeches"] == ["2.6%", "75.0%", "29.2", "<-", "target"]
    assert rows["dictionary"] == ["12.5%", "25.0%", "2.0"]
    assert rows["bible"] == ["12.5%", "0.0%", "0.0"]
    assert set(rows) == {"kind", *labels["k"]}
    assert "precision at 80: 0.750" in done.stdout
    assert "KL reduction for speeches: 1.250 nats (from 2.500 to 1.250)" in done.stdout
    assert f"{tmp_path}/out/part-*" in done.stdout
    assert f"{tmp_path}/out/report.html" in done.stdout


def test_unfinished_selection_is_said_in_one_line(scripts: Path, tmp_path: Path) -> None:
    done = summarise(scripts, tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"demo_summary: {tmp_path}: no finished selection here (report.json is missing)\n"


def test_selection_from_another_corpus_is_refused(scripts: Path, tmp_path: Path) -> None:
    write_output(tmp_path / "out", ["d00000", "elsewhere", "d00001", "d00002"])
    done = summarise(scripts, tmp_path / "out")
    assert done.returncode == 1
    assert "1 selected documents are not of the demo corpus" in done.stderr
