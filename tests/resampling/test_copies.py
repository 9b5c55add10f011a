"""Copies found partition by partition are those that a dictionary of texts finds."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.features.text_hashes import text_hashes
from dsir_core.resampling.copies import (
    BINS,
    COPY,
    ENTRY,
    IN_TARGET,
    MARK,
    PARTITION_DOCUMENTS,
    CopyCounts,
    find_copies,
    index_bytes,
    marks_bytes,
    n_partitions,
    read_slice,
)

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "", "é"]), max_size=6), max_size=5)


def hashes(texts: list[str]) -> npt.NDArray[np.uint64]:
    data = [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in data])]).astype(np.int64)
    return text_hashes(np.frombuffer(b"".join(data), np.uint8), offsets)


def index(texts: list[str]) -> io.BytesIO:
    return io.BytesIO(index_bytes(hashes(texts), np.arange(len(texts))))


@given(TEXTS, TEXTS, st.sampled_from([1, 2, 8]))
def test_marks_and_counts_are_those_of_a_dictionary(
    shards: list[list[str]], targets: list[list[str]], n_parts: int
) -> None:
    total, found = CopyCounts(), {}
    for part in range(n_parts):
        start, stop = BINS * part // n_parts, BINS * (part + 1) // n_parts
        slices = [[read_slice(index(texts), BINS, start, stop, ENTRY) for texts in side] for side in (shards, targets)]
        counts, places, marks = find_copies(*slices)
        total = total.plus(counts)
        stream = io.BytesIO(marks_bytes(places, marks, len(shards)))
        for shard in range(len(shards)):
            mine = read_slice(stream, len(shards), shard, shard + 1, MARK)
            assert mine["row"].tolist() == sorted(mine["row"].tolist())
            found |= {(shard, int(mark["row"])): int(mark["kind"]) for mark in mine}

    known, seen, expected = {text for texts in targets for text in texts}, set(), {}
    for shard, texts in enumerate(shards):
        for row, text in enumerate(texts):
            kind = COPY * (text in seen) + IN_TARGET * (text in known)
            seen.add(text)
            if kind:
                expected[shard, row] = kind
    assert found == expected
    texts = Counter(text for shard in shards for text in shard)
    assert total == CopyCounts(
        texts.total(),
        texts.total() - len(texts),
        max(texts.values(), default=0),
        sum(n for text, n in texts.items() if text in known),
    )


def test_a_hash_is_blake2b_of_the_text_alone() -> None:
    (known,) = hashes(["text"]).view("<u8").reshape(-1, 2).tolist()
    assert b"".join(word.to_bytes(8, "little") for word in known).hex() == "d732c6be860e019351f99173fa6ae612"
    long = hashes(["x" * 10, "text", "y" * 7])
    assert long[1].tolist() == known


@pytest.mark.parametrize(
    ("documents", "n"), [(0, 1), (PARTITION_DOCUMENTS, 1), (PARTITION_DOCUMENTS + 1, 2), (10**8, 16), (10**12, BINS)]
)
def test_partitions_are_of_bounded_size(documents: int, n: int) -> None:
    assert n_partitions(documents) == n
