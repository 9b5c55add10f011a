"""Sections (a), (h), (i), (k), (l): kernels against the reference, formats, kinds of text, dials, the corpus."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash
from data_selection.hashed_ngram_dsir import get_ngram_counts

from benchmarks.corpora import KINDS, corpus, texts, write_corpus
from benchmarks.measure import best, processor_seconds
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import Batch, FileRange
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.reference import FOLD
from dsir_core.features.sha256 import CACHE_BITS
from dsir_core.features.texts import text_buffers

Row = dict[str, Any]
HASHES: tuple[str, ...] = ("xxh3", "sha256")
REFERENCE_BYTES = 1_000_000
ALTERNATIONS = 9
LARGE_CACHE_BITS = 20
"""Of a cache of 32 MiB, for comparison."""
WORDS = 128
"""Of a chunk, as in the paper."""


def against_reference(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Scoring and counting, against the reference's functions on the same documents, in alternation."""
    documents = texts(folder, n_bytes)
    reference = Reference(documents)
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    many = text_buffers(documents)
    for name in HASHES:
        features = FeatureSettings(hash=name)
        counts = np.zeros(features.buckets, np.int64)
        ours = {
            "score": (partial(score_ngrams, *many, features, log_ratio), reference.score),
            "count": (partial(count_ngrams, *many, features, counts), reference.count),
        }
        for what, (function, theirs) in ours.items():
            yield {"what": f"{what}, {name}"} | _against(function, int(many[1][-1]), theirs, reference.n_bytes)


class Reference:
    """What the reference does with documents from all over a list: lists of all take it hours."""

    def __init__(self, documents: list[str]) -> None:
        step = max(1, sum(map(len, documents)) // REFERENCE_BYTES)
        self.documents = documents[::step]
        self.n_bytes = sum(len(text.encode()) for text in self.documents)
        self.log_ratio = np.random.default_rng(0).normal(size=10_000)
        self.total = np.zeros(10_000, dtype=int)

    def score(self) -> None:
        """Log weights, as the reference computes them."""
        for text in self.documents:
            np.dot(self.log_ratio, get_ngram_counts(text))

    def count(self) -> None:
        """Bucket counts of all documents."""
        for text in self.documents:
            get_ngram_counts(text, counts=self.total)


def _against(function: Callable[[], object], size: int, theirs: Callable[[], object], their_size: int) -> Row:
    """Speeds by processor time, in alternation: medians, and the median of the ratios."""
    function()
    speeds = np.array(
        [
            (size / processor_seconds(function) / 1e6, their_size / processor_seconds(theirs) / 1e6)
            for _ in range(ALTERNATIONS)
        ]
    )
    ours, reference = np.median(speeds, axis=0)
    ratio = float(np.median(speeds[:, 0] / speeds[:, 1]))
    return {"MB/s": float(ours), "reference MB/s": float(reference), "ratio": ratio}


def kinds_of_text(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Scoring speed by kind of text."""
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    for kind, labels in KINDS.items():
        batch = text_buffers(texts(folder, n_bytes, **labels))
        row: Row = {"what": kind}
        for name in HASHES:
            features = FeatureSettings(hash=name)
            seconds = best(partial(score_ngrams, *batch, features, log_ratio), clock=time.process_time)
            row[f"{name} MB/s"] = int(batch[1][-1]) / seconds / 1e6
        yield row


def dials(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Scoring by the unicode tokenizer against wordpunct, and in chunks against whole documents, in alternation."""
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    for kind, labels in KINDS.items():
        batch = text_buffers(texts(folder, n_bytes, **labels))

        def score(tokenizer: str, batch: Any = batch) -> None:
            score_ngrams(*batch, FeatureSettings(tokenizer=tokenizer), log_ratio)

        def cut_and_score(batch: Any = batch) -> None:
            data, offsets = batch
            chunks = cut_batch(Batch(np.arange(len(offsets) - 1), data, offsets), WORDS)
            score_ngrams(chunks.text_data, chunks.text_offsets, FeatureSettings(), log_ratio)

        yield {
            "what": kind,
            "unicode / wordpunct, seconds": interleaved(partial(score, "unicode"), partial(score, "wordpunct")),
            "pieces / whole, seconds": interleaved(cut_and_score, partial(score, "wordpunct")),
        }
    (path,) = list_corpus([str(write_corpus(folder, n_bytes, "jsonl"))]).files[:1]

    def read(settings: ReadSettings) -> None:
        for batch in read_range(FileRange(path), settings):
            score_ngrams(batch.text_data, batch.text_offsets, FeatureSettings(), log_ratio)

    cut, whole = ReadSettings(chunk=Chunking(words=WORDS)), ReadSettings()
    yield {
        "what": "reading JSON lines and scoring, mixed",
        "pieces / whole, seconds": interleaved(lambda: read(cut), lambda: read(whole)),
    }


def interleaved(one: Callable[[], object], other: Callable[[], object]) -> float:
    """How many times as long one function takes as another: the median of calls in alternation."""
    one()
    other()
    return float(np.median([processor_seconds(one) / processor_seconds(other) for _ in range(ALTERNATIONS)]))


def formats(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Reading alone, and reading with scoring against the reference's scoring alone, by format; MB of text a second."""
    features, settings = FeatureSettings(), ReadSettings()
    reference = Reference(texts(folder, n_bytes))
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    for kind in ("jsonl", "jsonl.gz", "jsonl.zst", "parquet"):
        files = list_corpus([str(write_corpus(folder, n_bytes, kind))]).files

        def read(score: bool, files: Any = files) -> int:
            done = 0
            for file in files:
                for batch in read_range(FileRange(file), settings):
                    done += int(batch.text_offsets[-1] - batch.text_offsets[0])
                    if score:
                        score_ngrams(batch.text_data, batch.text_offsets, features, log_ratio)
            return done

        size = read(score=False)
        reading = best(partial(read, score=False), clock=time.process_time)
        both = _against(partial(read, score=True), size, reference.score, reference.n_bytes)
        yield {"what": kind, "read MB/s": size / reading / 1e6} | {
            "read and score MB/s": both["MB/s"],
            "reference, score alone, MB/s": both["reference MB/s"],
            "ratio": both["ratio"],
        }


def corpus_figures(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Size of each group of kinds, lengths of tokens in the first `n_bytes` of text; what a cache has of n-grams."""
    found = corpus(folder).figures
    for group in ("natural", "code", "data"):
        kinds = [kind for kind in found["kinds"].values() if kind["group"] == group]
        yield {
            "what": f"{group}: {len(kinds)} kinds in {len({kind['language'] for kind in kinds})} languages",
            "MB": sum(kind["bytes"] for kind in kinds) / 1e6,
            "documents": float(sum(kind["documents"] for kind in kinds)),
        }
    documents = texts(folder, n_bytes)
    data, offsets = text_buffers(documents)
    counts = np.zeros(10_000, np.int64)
    n_tokens = int(count_ngrams(data, offsets, FeatureSettings(), counts).sum())
    yield {"what": "text", "bytes a token": len(data) / n_tokens, "n-grams a byte": counts.sum() / len(data)}
    keys = _ngram_hashes(documents)
    for bits in (CACHE_BITS, LARGE_CACHE_BITS):
        yield {"what": f"sha256, cache of 2^{bits} n-grams", "hits, %": 100 * _share_of_hits(keys, bits)}


def _ngram_hashes(documents: list[str]) -> npt.NDArray[np.uint64]:
    """Of the unigrams and then the bigrams of each document."""
    found = []
    for text in documents:
        words = re.findall(r"\w+|[^\w\s]+", text.lower())
        tokens = np.array([xxhash.xxh3_64_intdigest(word.encode()) for word in words], np.uint64)
        found += [tokens, tokens[:-1] * np.uint64(FOLD) + tokens[1:]]
    return np.concatenate(found)


def _share_of_hits(keys: npt.NDArray[np.uint64], bits: int) -> float:
    """Of look-ups in a table of 2^bits slots that each keep their latest key."""
    in_slots = keys[np.argsort(keys >> np.uint64(64 - bits), kind="stable")]
    return float((in_slots[1:] == in_slots[:-1]).mean())
