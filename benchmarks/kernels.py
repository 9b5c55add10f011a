"""Sections (a), (h), (i), (k): kernels against the reference, formats, kinds of text, dials; one core, interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from data_selection.hashed_ngram_dsir import get_ngram_counts

from benchmarks.corpora import KINDS, arabic_texts, demo_texts, documents, write_corpus
from benchmarks.measure import best
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import Chunking, ReadSettings
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.types import Batch, FileRange
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.texts import text_buffers

Row = dict[str, Any]
HASHES: tuple[str, ...] = ("xxh3", "sha256")
REFERENCE_BYTES = 2_000_000
ROUNDS = 3
ALTERNATIONS = 9
WORDS = 128
"""Of a chunk, as in the paper."""


def against_reference(n_bytes: int) -> Iterator[Row]:
    """Scoring and counting, against the reference's functions on the same documents, in alternation."""
    texts = list(documents(n_bytes, demo_texts()))
    few = list(documents(REFERENCE_BYTES, demo_texts()))
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    few_bytes = sum(len(text.encode()) for text in few)
    many = text_buffers(texts)
    for name in HASHES:
        features = FeatureSettings(hash=name)
        counts = np.zeros(features.buckets, np.int64)
        count_ngrams(*text_buffers(few), features, counts)
        speeds: dict[str, list[float]] = {"reference score": [], "reference count": [], "score": [], "count": []}
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            for text in few:
                np.dot(log_ratio[0], get_ngram_counts(text))
            speeds["reference score"].append(few_bytes / (time.perf_counter() - begin))
            total = np.zeros(10_000, dtype=int)
            begin = time.perf_counter()
            for text in few:
                get_ngram_counts(text, counts=total)
            speeds["reference count"].append(few_bytes / (time.perf_counter() - begin))
            size = int(many[1][-1])
            speeds["score"].append(size / best(partial(score_ngrams, *many, features, log_ratio), 1))
            speeds["count"].append(size / best(partial(count_ngrams, *many, features, counts), 1))
        middle = {name: float(np.median(values)) for name, values in speeds.items()}
        for what in ("score", "count"):
            yield {
                "what": f"{what}, {name}",
                "MB/s": middle[what] / 1e6,
                "reference MB/s": middle[f"reference {what}"] / 1e6,
                "ratio": middle[what] / middle[f"reference {what}"],
            }


def kinds_of_text(n_bytes: int) -> Iterator[Row]:
    """Scoring speed by kind of text."""
    texts = {kind: demo_texts(labels) for kind, labels in KINDS.items()} | {"Arabic": arabic_texts()}
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    for kind, some in texts.items():
        batch = text_buffers(list(documents(n_bytes, some)))
        row: Row = {"what": kind}
        for name in HASHES:
            features = FeatureSettings(hash=name)
            seconds = best(partial(score_ngrams, *batch, features, log_ratio))
            row[f"{name} MB/s"] = int(batch[1][-1]) / seconds / 1e6
        yield row


def dials(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Scoring by the unicode tokenizer against wordpunct, and in chunks against whole documents, in alternation."""
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    texts = {kind: demo_texts(labels) for kind, labels in KINDS.items()} | {"Arabic": arabic_texts()}
    for kind, some in texts.items():
        batch = text_buffers(list(documents(n_bytes, some)))

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
    return float(np.median([best(one, 1) / best(other, 1) for _ in range(ALTERNATIONS)]))


def formats(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Reading alone, and reading with scoring, by format; MB of text a second."""
    features, settings = FeatureSettings(), ReadSettings()
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
        reading = best(partial(read, score=False))
        both = best(partial(read, score=True))
        yield {
            "what": kind,
            "read MB/s": size / reading / 1e6,
            "read and score MB/s": size / both / 1e6,
            "ratio": both / reading,
        }
