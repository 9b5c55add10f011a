"""Documents cut into pieces: the pieces are the whole of the text, and what is selected, weighed and written."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.config.features import FeatureSettings
from dsir_core.config.request import parse_config
from dsir_core.corpus.chunking import piece_starts
from dsir_core.errors import RequestError
from dsir_core.features import count_ngrams
from dsir_core.features.texts import text_buffers
from dsir_core.features.unicode_table import CLASS_SHIFT, SINGLE, SPACE, entry
from dsir_core.model.importance import distribution
from dsir_core.model.metrics import kl_divergence
from tests.features.texts import TEXTS, buffers
from tests.integration.conftest import DEMO, TARGET, Select


def oracle_pieces(text: str, words: int) -> list[str]:
    starts, seen, before = [0], 0, SPACE
    for i, char in enumerate(text):
        kind = entry(ord(char), "unicode") >> CLASS_SHIFT & 3
        if kind == SINGLE or (kind != SPACE and before in (SPACE, SINGLE)):
            if seen == words:
                starts.append(i)
                seen = 0
            seen += 1
        before = kind
    return [text[start:stop] for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]


@given(texts=st.lists(TEXTS, max_size=4), words=st.integers(1, 5), before=st.binary(max_size=5))
def test_pieces_are_the_whole_text_in_equal_numbers_of_words(texts: list[str], words: int, before: bytes) -> None:
    data, offsets = buffers(texts, before)
    starts, documents = piece_starts(data, offsets, words)
    edges = [*starts.tolist(), int(offsets[-1])]
    found: dict[int, list[str]] = defaultdict(list)
    for document, start, stop in zip(documents.tolist(), edges[:-1], edges[1:], strict=True):
        found[document].append(bytes(data[start:stop]).decode())
    assert [found[i] for i in range(len(texts))] == [oracle_pieces(text, words) for text in texts]


def test_pieces_are_selected_and_written_with_where_they_stand(run_select: Select, pool: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "raw": [str(pool)],
        "target": TARGET,
        "count": 200,
        "chunk": {"words": 128},
        "min_tokens": 50,
    }
    report = run_select(**asked)
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    lines = [
        json.loads(line)
        for part in sorted((tmp_path / "output").glob("part-*"))
        for line in part.read_text().splitlines()
    ]
    places = [(row["file"], row["position"], row["offset"]) for row in rows]
    assert [(line["file"], line["position"], line["offset"]) for line in lines] == places == sorted(set(places))
    source = pool.read_bytes()
    for line in lines:
        document = json.loads(source[line["position"] : source.index(b"\n", line["position"])])["text"]
        assert document.encode()[line["offset"] :].startswith(line["text"].encode())
        assert len(re.findall(r"\S+", line["text"])) <= 128
    assert {line["offset"] for line in lines} != {0}
    documents = report["documents"]
    assert documents["whole"] == 2730 < documents["raw"]
    assert documents["written"] == documents["selected"] == len(lines) == 200
    pairs = b"".join("\0".join(map(str, place)).encode() + b"\n" for place in places)
    assert report["selection_digest"] == hashlib.sha256(pairs).hexdigest()
    again = run_select(**asked, shard_bytes=80_000, output=str(tmp_path / "2"), workdir=str(tmp_path / "w2"))
    assert again["selection_digest"] == report["selection_digest"]


def test_whole_documents_count_for_the_target_that_has_chosen_them(
    run_select: Select, pool: Path, tmp_path: Path
) -> None:
    targets = {name: str(DEMO / "targets" / f"{name}.jsonl") for name in ("speeches", "go_code")}
    asked: dict[str, Any] = {
        "raw": [str(pool)],
        "target": targets,
        "separate": True,
        "smoothing": 1.0,
        "min_tokens": 50,
    }
    report = run_select(**asked, count=200, chunk={"words": 128}, whole_documents=True)
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    chosen_by: dict[int, str] = {}
    for row in rows:
        chosen_by.setdefault(row["position"], row["target"])
    assert set(chosen_by.values()) == set(targets)
    lines = pool.read_bytes()
    for name, path in targets.items():
        texts = [
            json.loads(lines[place : lines.index(b"\n", place)])["text"]
            for place in chosen_by
            if chosen_by[place] == name
        ]
        target = [json.loads(line)["text"] for line in Path(path).read_text().splitlines()]
        p, q = (distribution(counts_of(some)) for some in (target, texts))
        assert report["targets"][name]["kl_selected"] == pytest.approx(kl_divergence(p, q))


def counts_of(texts: list[str]) -> npt.NDArray[np.int64]:
    features = FeatureSettings()
    counts = np.zeros(features.buckets, np.int64)
    count_ngrams(*text_buffers(texts), features, counts)
    return counts


def test_the_documents_of_chosen_pieces_can_be_written_whole(run_select: Select, pool: Path, tmp_path: Path) -> None:
    report = run_select(
        raw=[str(pool)], target=TARGET, count=200, chunk={"words": 128}, min_tokens=50, whole_documents=True
    )
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    positions = sorted({row["position"] for row in rows})
    source = pool.read_bytes()
    lines = [part.read_text().splitlines() for part in sorted((tmp_path / "output").glob("part-*"))]
    assert [line for part in lines for line in part] == [
        source[position : source.index(b"\n", position)].decode() for position in positions
    ]
    assert report["documents"]["written"] == len(positions) < 200 == report["documents"]["selected"]


def test_pieces_spread_the_choice(run_select: Select, pool: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"raw": [str(pool)], "target": TARGET, "count": 300}
    whole = run_select(**asked)
    pieces = run_select(**asked, chunk={"words": 32}, min_tokens=20, output=str(tmp_path / "pieces"))
    ess = [report["weights"]["effective_sample_size"] for report in (whole, pieces)]
    assert ess[1] > ess[0]
    assert np.isfinite(pieces["targets"]["speeches"]["kl_selected"])


def test_whole_documents_without_pieces_is_refused() -> None:
    with pytest.raises(RequestError, match="chunk"):
        parse_config({"raw": "a", "target": "b", "output": "c", "count": 1, "whole_documents": True})


def test_examples_of_the_report_are_pieces(run_select: Select, pool: Path, tmp_path: Path) -> None:
    report = run_select(raw=[str(pool)], target=TARGET, count=200, chunk={"words": 30}, min_tokens=0)
    source = pool.read_bytes()
    rows = pq.read_table(tmp_path / "output" / "selected.parquet").to_pylist()
    chosen = {(row["position"], row["offset"]) for row in rows}
    places = set()
    for example in report["examples"]:
        position, offset = example["position"], example["offset"]
        text = json.loads(source[position : source.index(b"\n", position)])["text"]
        pieces = oracle_pieces(text, 30)
        starts = [len("".join(pieces[:i]).encode()) for i in range(len(pieces))]
        piece = pieces[starts.index(offset)]
        assert example["text"]
        assert piece[example["start"] :].startswith(example["text"])
        assert ((position, offset) in chosen) == (example["kind"] in ("selected", "barely"))
        places.add((position, offset))
    assert sum(offset > 0 for _, offset in places) >= 6
    assert sum(example["kind"] == "selected" for example in report["examples"]) == 6
    page = (tmp_path / "output" / "report.html").read_text()
    assert f"from byte {report['examples'][0]['offset']:,} of its text" in page
