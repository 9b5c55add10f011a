"""What callers of the n-gram package may rely on: which arrays they may give, and from where."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from dsir_core.config.features import FeatureSettings
from dsir_core.features import batch, count_ngrams, score_ngrams, warm_up
from dsir_core.features.kernels import run_batch
from dsir_core.features.sha256 import token_checks
from tests.features.texts import buffers

TEXTS = ["To be, or not to be", "", "Être ou ne pas être, telle est la question. " * 50, "道可道，非常道。" * 40]
FEATURES = FeatureSettings(buckets=97)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def test_one_compilation_serves_every_kind_of_batch() -> None:
    warm_up(FEATURES)
    compiled = len(run_batch.signatures)
    data, offsets = buffers(TEXTS)
    one, three = np.ones((1, 97)), np.ones((3, 97))
    for change in (np.copy, read_only, lambda array: np.repeat(array, 2, axis=-1)[..., ::2]):
        for log_ratio in (one, three, np.asfortranarray(three)):
            score_ngrams(change(data), change(offsets), FEATURES, change(log_ratio))
        count_ngrams(
            change(data), change(offsets), FeatureSettings(hash="sha256", ngrams=3), np.zeros(10_000, np.int64)
        )
    assert len(run_batch.signatures) == compiled == 1


def test_empty_batches_and_documents() -> None:
    counts = np.zeros(97, np.int64)
    assert count_ngrams(np.zeros(0, np.uint8), np.zeros(1, np.int64), FEATURES, counts).shape == (0,)
    log_weights, n_tokens = score_ngrams(*buffers(["", " \n", ""]), FEATURES, np.ones((2, 97)))
    assert log_weights.tolist() == [[0.0, 0.0]] * 3
    assert n_tokens.tolist() == [0, 0, 0]
    assert not counts.any()


@pytest.mark.parametrize(
    "change",
    [
        {"counts": np.zeros(96, np.int64)},
        {"counts": np.zeros(97, np.int32)},
        {"counts": np.zeros(194, np.int64)[::2]},
        {"counts": read_only(np.zeros(97, np.int64))},
        {"text_offsets": np.array([0, 6])},
        {"text_offsets": np.array([-1, 5])},
        {"text_offsets": np.array([3, 2, 5])},
        {"text_data": np.zeros(5, np.int8)},
    ],
)
def test_arrays_that_the_kernel_would_overrun_are_refused(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "text_data": np.frombuffer(b"a b c", np.uint8),
        "text_offsets": np.array([0, 5]),
        "counts": np.zeros(97, np.int64),
    }
    assert count_ngrams(settings=FEATURES, **good).tolist() == [3]
    with pytest.raises(ValueError, match=next(iter(change))):
        count_ngrams(settings=FEATURES, **good | change)


@pytest.mark.parametrize("shape", [(97,), (0, 97), (1, 96), (97, 1)])
def test_log_ratios_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="log_ratio"):
        score_ngrams(*buffers(["a"]), FEATURES, np.zeros(shape))


@pytest.mark.parametrize("name", ["xxh3", "sha256"])
def test_threads_do_not_disturb_each_other(name: str) -> None:
    features = FeatureSettings(hash=name)
    log_ratio = np.random.default_rng(0).normal(size=(1, 10_000))
    batches = [buffers([f"{i} {text}" for text in TEXTS for _ in range(50)]) for i in range(8)]

    def score(batch: tuple[np.ndarray, np.ndarray]) -> list[list[float]]:
        return score_ngrams(*batch, features, log_ratio)[0].tolist()  # type: ignore[no-any-return]

    alone = [score(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(score, batches)) == alone


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 24, 40, 300])
def test_every_byte_of_a_token_counts_in_the_check_of_the_cache(length: int) -> None:
    memory = np.full((length + 2, length + 8), ord("a"), np.uint8)
    memory[1 + np.arange(length), np.arange(length)] = ord("b")
    starts = memory.ctypes.data + memory.strides[0] * np.arange(length + 2)
    ends = starts + length
    # The last is a token of its own only by its length.
    ends[-1] += 1
    checks = np.zeros(length + 2, np.uint64)
    token_checks(starts, ends, len(checks), checks)
    assert len(set(checks.tolist())) == length + 2


def test_a_batch_that_failed_does_not_change_the_buckets_of_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_midway(*arguments: Any) -> None:
        run_batch(*arguments)
        # As a kernel leaves it that ends before its digests are there: entries without their buckets.
        cache = arguments[6]
        cache[:, 0] ^= np.uint64(1)
        raise MemoryError

    features = FeatureSettings(hash="sha256", buckets=97)
    expected, found = np.zeros(97, np.int64), np.zeros(97, np.int64)
    count_ngrams(*buffers(TEXTS), features, expected)
    with monkeypatch.context() as patched:
        patched.setattr(batch, "run_batch", fails_midway)
        with pytest.raises(MemoryError):
            count_ngrams(*buffers(TEXTS), features, np.zeros(97, np.int64))
    count_ngrams(*buffers(TEXTS), features, found)
    assert np.array_equal(found, expected)
