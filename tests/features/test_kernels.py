"""The compiled kernels agree with the plain-Python oracle, the reference package and the hashes' own libraries."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xxhash
from data_selection.hashed_ngram_dsir import get_ngram_counts
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from dsir_core.config import hashes
from dsir_core.config.features import FeatureSettings
from dsir_core.features import count_each, count_ngrams, score_ngrams
from dsir_core.features import reference as oracle
from dsir_core.features.kernels import TOKENS_AT_ONCE
from dsir_core.features.xxh3 import xxh3, xxh3_of_tokens
from tests.features.texts import TEXTS, buffers

DEMO = Path(__file__).parents[2] / "demo"
HASHES: list[str] = list(hashes.HASHES)
TOKENIZERS: list[str] = list(hashes.TOKENIZERS)


def demo_texts(n: int) -> list[str]:
    lines = (DEMO / "raw" / "pool-1.jsonl").read_bytes().splitlines()
    targets = [line for path in sorted((DEMO / "targets").glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [json.loads(line)["text"] for line in [*targets[:: len(targets) // n], *lines[:: len(lines) // n]]]


def oracle_counts(text: str, features: FeatureSettings) -> np.ndarray:
    counts = np.zeros(features.buckets, np.int64)
    for found in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest):
        np.add.at(counts, found, 1)
    return counts


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", HASHES)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    ngrams=st.integers(1, 4),
    buckets=st.sampled_from([2, 7, 10_000, 2**20]),
    before=st.binary(max_size=70),
)
def test_counts_are_the_oracles(
    name: str, tokenizer: str, texts: list[str], ngrams: int, buckets: int, before: bytes
) -> None:
    features = FeatureSettings(hash=name, ngrams=ngrams, buckets=buckets, tokenizer=tokenizer)
    counts = np.zeros(buckets, np.int64)
    n_tokens = count_ngrams(*buffers(texts, before), features, counts)
    assert n_tokens.tolist() == [len(oracle.tokenize(text, tokenizer)) for text in texts]
    assert np.array_equal(counts, sum(oracle_counts(text, features) for text in texts))


@given(texts=st.lists(TEXTS, max_size=5), buckets=st.sampled_from([2, 7, 10_000]), drawn=st.data())
def test_counts_of_each_document_are_the_oracles(texts: list[str], buckets: int, drawn: st.DataObject) -> None:
    features = FeatureSettings(buckets=buckets)
    which = drawn.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)) if texts else []
    starts, found, counts = count_each(*buffers(texts), np.array(which, np.int64), features)
    assert (len(starts), starts[-1]) == (len(which) + 1, len(found))
    for j, i in enumerate(which):
        expected = oracle_counts(texts[i], features)
        mine = slice(starts[j], starts[j + 1])
        assert found[mine].tolist() == np.flatnonzero(expected).tolist()
        assert counts[mine].tolist() == expected[expected > 0].tolist()


@pytest.mark.parametrize("name", HASHES)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), ngrams=st.integers(1, 3), targets=st.integers(1, 3))
def test_log_weights_are_sums_in_document_order(name: str, texts: list[str], ngrams: int, targets: int) -> None:
    features = FeatureSettings(hash=name, ngrams=ngrams, buckets=101)
    log_ratio = np.random.default_rng(0).normal(size=(targets, 101)) * 1e3
    found, _ = score_ngrams(*buffers(texts), features, log_ratio)
    for text, weights in zip(texts, found, strict=True):
        for target in range(targets):
            total = 0.0
            for order in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest):
                sums = 0.0
                for bucket in order:
                    sums += log_ratio[target, bucket]
                total += sums
            assert weights[target] == total


@pytest.mark.parametrize("name", HASHES)
def test_batching_changes_no_bit(name: str) -> None:
    features = FeatureSettings(hash=name)
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    texts = demo_texts(40)
    together, _ = score_ngrams(*buffers(texts), features, log_ratio)
    alone = [score_ngrams(*buffers([text]), features, log_ratio)[0][0, 0] for text in texts]
    assert together[:, 0].tolist() == alone


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize(
    "text", ["a " * 3 * TOKENS_AT_ONCE, "ab" * 10**6, "\u03b1\u03a3 x" * TOKENS_AT_ONCE, "." * 5000]
)
def test_documents_longer_than_the_working_space(name: str, text: str) -> None:
    features = FeatureSettings(hash=name, ngrams=3)
    counts = np.zeros(features.buckets, np.int64)
    count_ngrams(*buffers([text, text]), features, counts)
    assert np.array_equal(counts, 2 * oracle_counts(text, features))


@pytest.mark.parametrize("ngrams", [1, 2, 3])
def test_sha256_counts_are_the_references_on_real_text(ngrams: int) -> None:
    features = FeatureSettings(hash="sha256", tokenizer="wordpunct", ngrams=ngrams)
    for text in demo_texts(25):
        counts = np.zeros(features.buckets, np.int64)
        count_ngrams(*buffers([text]), features, counts)
        assert np.array_equal(counts, get_ngram_counts(text, n=ngrams, num_buckets=features.buckets))


@njit
def hash_of(data: np.ndarray, length: int) -> int:
    return xxh3(data.ctypes.data, length)  # type: ignore[no-any-return]


@njit
def hashes_of_tokens(data: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    starts = np.full(len(lengths), np.int64(data.ctypes.data))
    hashes, longer = np.empty(len(lengths), np.uint64), np.empty(len(lengths), np.int64)
    xxh3_of_tokens(starts, starts + lengths, len(lengths), hashes, longer)
    return hashes


def test_xxh3_is_that_of_the_library_at_every_length() -> None:
    data = np.frombuffer(os.urandom(3000), np.uint8).copy()
    for length in range(1, len(data)):
        assert int(hash_of(data, length)) == xxhash.xxh3_64_intdigest(data[:length].tobytes())


def test_xxh3_of_tokens_side_by_side_is_that_of_the_library() -> None:
    data = np.frombuffer(os.urandom(300), np.uint8).copy()
    # Short and long tokens in turn, in numbers that fill no vector.
    lengths = np.random.default_rng(0).permutation(np.concatenate([np.arange(1, 290), np.arange(1, 20)]))
    expected = [xxhash.xxh3_64_intdigest(data[:length].tobytes()) for length in lengths]
    assert hashes_of_tokens(data, lengths).tolist() == expected


@pytest.mark.parametrize("buckets", [2, 10**4, 2**20 - 3])
def test_sha256_is_that_of_the_library_at_every_length(buckets: int) -> None:
    rng = np.random.default_rng(0)
    texts = [bytes(rng.integers(97, 123, length, np.uint8)).decode() for length in [*range(1, 600), 5000, 70_000]]
    features = FeatureSettings(hash="sha256", ngrams=1, buckets=buckets)
    # One document each, and all in one: alone in a group of lanes, and among messages of other lengths.
    for documents in (texts, [" ".join(texts)]):
        counts = np.zeros(buckets, np.int64)
        count_ngrams(*buffers(documents), features, counts)
        expected = [int(hashlib.sha256(text.encode()).hexdigest(), 16) % buckets for text in texts]
        assert np.array_equal(counts, np.bincount(expected, minlength=buckets))


@pytest.mark.long
def test_sha256_is_the_same_on_a_processor_with_the_fewest_instructions(tmp_path: Path) -> None:
    tests = [
        f"{__file__}::{name}"
        for name in ("test_counts_are_the_oracles", test_sha256_is_that_of_the_library_at_every_length.__name__)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "sha256", "-p", "no:cacheprovider", *tests],
        env={**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout, done.stdout
    assert list(tmp_path.rglob("*.nbc"))


def test_the_recipe_in_the_documentation_is_the_default_hash() -> None:
    documentation = inspect.getdoc(oracle) or ""
    recipe = documentation[documentation.index("def bucket") :]
    lines = [line.strip() for line in recipe.splitlines()]
    assert "\n".join(lines) in "\n".join(
        line.strip() for line in (DEMO.parent / "docs" / "features.md").read_text().splitlines()
    )
    space = {"xxhash": xxhash}
    exec(inspect.cleandoc("\n" + recipe), space)
    features = FeatureSettings(buckets=12_345)
    (uni, bi) = oracle.buckets_of("To be, or not", features, xxhash.xxh3_64_intdigest)
    tokens = ["to", "be", ",", "or", "not"]
    assert uni == [space["bucket"]([token], 12_345) for token in tokens]
    assert bi == [space["bucket"](tokens[i : i + 2], 12_345) for i in range(4)]


@pytest.mark.parametrize("name", HASHES)
def test_distinct_ngrams_spread_evenly_over_the_buckets(name: str) -> None:
    features = FeatureSettings(hash=name, buckets=1000)
    seen: set[tuple[str, ...]] = set()
    for text in demo_texts(200):
        tokens = oracle.tokenize(text)
        seen |= {(token,) for token in tokens} | set(itertools.pairwise(tokens))
    find = oracle.sha256_bucket if name == "sha256" else fold
    counts = np.bincount([find(gram, 1000) for gram in seen], minlength=1000)
    expected = len(seen) / features.buckets
    chi_square = ((counts - expected) ** 2 / expected).sum()
    # 999 degrees of freedom: standard deviation 44.7.
    assert 999 - 5 * 44.7 < chi_square < 999 + 5 * 44.7


def fold(gram: tuple[str, ...], buckets: int) -> int:
    return oracle.folded_bucket(gram, buckets, xxhash.xxh3_64_intdigest)
