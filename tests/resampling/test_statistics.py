"""The sample is the one that was promised, and the noise is noise: chi-square tests with fixed seeds.

A test statistic is turned into a probability by Wilson and Hilferty's approximation, and must lie above `RARE`: seeds
are fixed, so that a test that passes once passes always, and a generator or a sampler that is wrong has no chance.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from dsir_core.in_memory import sample
from dsir_core.model.noise import gumbel, random_bits
from dsir_core.resampling.radix import order_bits
from tests.resampling.test_thresholds import METHODS, Corpus, Crowd

RARE = 1e-4


def chi_square(found: npt.ArrayLike, expected: npt.ArrayLike, dof: int | None = None, scale: float = 1.0) -> float:
    """Probability of counts at least as far from what is expected.

    Args:
        dof: one less than there are counts, by default.
        scale: variance of the counts, as a share of that of counts of independent draws.
    """
    found, expected = np.asarray(found, float).ravel(), np.asarray(expected, float).ravel()
    dof = dof or len(found) - 1
    statistic = float(((found - expected) ** 2 / expected).sum()) / scale
    z = ((statistic / dof) ** (1 / 3) - (1 - 2 / (9 * dof))) / np.sqrt(2 / (9 * dof))
    return 1 - NormalDist().cdf(z)


def uniform(positions: npt.NDArray[np.int64], *stream: str | int) -> npt.NDArray[np.float64]:
    """float64[n] in [0, 1)."""
    return (random_bits(positions, *stream) >> np.uint64(11)) * 2.0**-53


def largest(log_weights: npt.NDArray[np.float64], k: int, trials: int, seed: int) -> npt.NDArray[np.int64]:
    """int64[trials, k]: increasing indices of the k largest keys, each trial with positions of its own."""
    n = len(log_weights)
    noise = gumbel(np.arange(trials * n) * 7919, seed, 0, "corpus/a.jsonl").reshape(trials, n)
    return np.sort(np.argsort(-(log_weights + noise), axis=1)[:, :k], axis=1)


def subset_probabilities(weights: npt.NDArray[np.float64], k: int) -> dict[tuple[int, ...], float]:
    """Of each set of k, by enumeration of all orders in which successive draws may take it."""
    found = dict.fromkeys(itertools.combinations(range(len(weights)), k), 0.0)
    for order in itertools.permutations(range(len(weights)), k):
        left, probability = weights.sum(), 1.0
        for i in order:
            probability *= weights[i] / left
            left -= weights[i]
        found[tuple(sorted(order))] += probability
    return found


@pytest.mark.parametrize(
    ("weights", "k"),
    [([1.0, 2.0, 3.0, 4.0, 10.0], 2), ([1.0] * 6, 3), ([0.01, 0.1, 1.0, 10.0, 30.0, 31.0], 3), ([5.0, 1.0, 1.0], 1)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_subsets_are_as_likely_as_exact_enumeration_says(weights: list[float], k: int, seed: int) -> None:
    trials = 200_000
    exact = subset_probabilities(np.array(weights), k)
    assert sum(exact.values()) == pytest.approx(1)
    drawn, counts = np.unique(largest(np.log(weights), k, trials, seed), axis=0, return_counts=True)
    found = dict(zip(map(tuple, drawn.tolist()), counts.tolist(), strict=True))
    # Sets so unlikely that a chi-square does not hold for them are counted together.
    common = [subset for subset, p in exact.items() if p * trials >= 10]
    rest = trials * (1 - sum(exact[subset] for subset in common))
    seen = [found.get(subset, 0) for subset in common]
    assert chi_square(seen, [exact[s] * trials for s in common], len(exact) - 1 - (len(exact) - len(common))) > RARE
    assert abs(trials - sum(seen) - rest) < 5 * np.sqrt(rest + 1)


def test_inclusion_is_that_of_successive_draws() -> None:
    """Against Monte Carlo of drawing one after the other, in proportion to the weights of those that are left."""
    rng = np.random.default_rng(0)
    n, k, trials = 60, 15, 20_000
    log_weights = rng.normal(scale=2.0, size=n)
    left = np.tile(np.exp(log_weights), (trials, 1))
    drawn = np.zeros(n)
    for _ in range(k):
        sums = np.cumsum(left, axis=1)
        taken = (sums < (rng.random(trials) * sums[:, -1])[:, None]).sum(axis=1)
        drawn += np.bincount(taken, minlength=n)
        left[np.arange(trials), taken] = 0
    found = np.bincount(largest(log_weights, k, trials, 0).ravel(), minlength=n)
    assert found.sum() == drawn.sum() == trials * k
    p = (found + drawn) / (2 * trials)
    z = (found - drawn) / np.sqrt(2 * trials * p * (1 - p) + 1e-9)
    assert np.abs(z).max() < 4.5
    assert 0.5 < (z**2).mean() < 1.6


@pytest.mark.parametrize("seeds", [20_000])
def test_inclusion_over_seeds_is_that_of_sampling_without_replacement(seeds: int) -> None:
    weights = np.array([1.0, 2.0, 3.0, 4.0, 10.0])
    exact = np.zeros(5)
    for subset, p in subset_probabilities(weights, 2).items():
        exact[list(subset)] += p
    counts = np.zeros(5)
    for seed in range(seeds):
        counts[sample(np.log(weights), 2, seed)] += 1
    deviation = np.abs(counts / seeds - exact) / np.sqrt(exact * (1 - exact) / seeds)
    assert deviation.max() < 4.5


def test_a_temperature_flattens_what_is_drawn() -> None:
    weights = np.array([1.0, 4.0, 9.0, 25.0])
    trials = 200_000
    found = np.bincount(largest(np.log(weights) / 2, 1, trials, 5).ravel(), minlength=4)
    assert chi_square(found, trials * np.sqrt(weights) / np.sqrt(weights).sum()) > RARE


@pytest.mark.parametrize("method", METHODS)
def test_the_sample_does_not_depend_on_the_layout_of_shards(tmp_path: Path, method: str) -> None:
    rng = np.random.default_rng(2)
    documents = [
        (float(w), int(n)) for w, n in zip(rng.normal(size=400).round(1), rng.integers(1, 40, 400), strict=True)
    ]
    chosen = set()
    for layout in range(6):
        cuts = rng.integers(0, 401, rng.integers(0, 30)).tolist()
        corpus = Corpus(tmp_path / str(layout), documents, cuts, 1)
        chosen.add(tuple(corpus.found(method, [1500], "tokens", Crowd()).tolist()))  # type: ignore[arg-type]
    assert len(chosen) == 1
    assert -1 in (only := chosen.pop())
    assert 0 in only


def test_a_document_is_drawn_as_often_wherever_it_stands() -> None:
    """Equal weights: early and late positions, and files, are drawn alike."""
    n, k, trials = 50, 10, 20_000
    for path in ("a", "b"):
        noise = gumbel(np.arange(n * trials).reshape(trials, n).ravel(), 11, 0, path).reshape(trials, n)
        top = np.argsort(-noise, axis=1)[:, :k]
        found = np.bincount(top.ravel(), minlength=n)
        # A trial takes each document once at most, which leaves its count less room than independent draws would.
        assert chi_square(found, np.full(n, trials * k / n), scale=(1 - k / n) * n / (n - 1)) > RARE


STRIDES = {"rows": 1, "lines": 873, "blocks": 2**12, "pages": 2**20, "far": 2**40}


@pytest.mark.parametrize("stride", STRIDES.values(), ids=list(STRIDES))
def test_noise_is_uniform_in_every_file(stride: int) -> None:
    """A chi-square over 64 bins, of each file and of all together; over files these probabilities are uniform."""
    n, files = 20_000, 200
    probabilities = []
    together = np.zeros(64)
    for file in range(files):
        u = uniform(np.arange(n) * stride, "gumbel", 0, 0, f"crawl/part-{file:05d}.jsonl.zst")
        found = np.bincount((u * 64).astype(int), minlength=64)
        together += found
        probabilities.append(chi_square(found, np.full(64, n / 64)))
    assert chi_square(together, np.full(64, n * files / 64)) > RARE
    assert min(probabilities) > RARE / files
    tenths = np.bincount((np.array(probabilities) * 10).astype(int).clip(0, 9), minlength=10)
    assert chi_square(tenths, np.full(10, files / 10)) > RARE


@pytest.mark.parametrize("stride", STRIDES.values(), ids=list(STRIDES))
@pytest.mark.parametrize("lag", [1, 2, 64])
def test_noise_of_positions_is_independent_of_their_neighbours(stride: int, lag: int) -> None:
    n = 400_000
    u = (uniform(np.arange(n) * stride, "gumbel", 3, 0, "a.jsonl") * 32).astype(int)
    pairs = np.bincount(u[:-lag] * 32 + u[lag:], minlength=1024)
    assert chi_square(pairs, np.full(1024, (n - lag) / 1024)) > RARE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0, "a"), (1, 0, "a")),
        ((0, 0, "a"), (0, 1, "a")),
        ((0, 0, "a"), (0, 0, "b")),
        ((2**62, 0, "a"), (0, 0, "a")),
    ],
    ids=["seeds", "targets", "files", "large seed"],
)
def test_noise_of_one_position_is_independent_between_streams(
    one: tuple[int, int, str], other: tuple[int, int, str]
) -> None:
    positions = np.cumsum(np.random.default_rng(0).integers(100, 20_000, 400_000))
    first, second = ((uniform(positions, "gumbel", *stream) * 32).astype(int) for stream in (one, other))
    pairs = np.bincount(first * 32 + second, minlength=1024)
    assert chi_square(pairs, np.full(1024, len(positions) / 1024)) > RARE


def test_every_bit_is_fair_and_changes_with_every_bit_of_the_position() -> None:
    n = 20_000
    positions = np.random.default_rng(0).integers(0, 2**62, n)
    bits = random_bits(positions, "gumbel", 0, 0, "a")
    each = np.uint64(1) << np.arange(64, dtype=np.uint64)
    limit = 5.5 * np.sqrt(n) / 2
    assert np.abs(((bits[:, None] & each) > 0).sum(axis=0) - n / 2).max() < limit
    for flipped in range(63):
        changed = bits ^ random_bits(positions ^ (1 << flipped), "gumbel", 0, 0, "a")
        assert np.abs(((changed[:, None] & each) > 0).sum(axis=0) - n / 2).max() < limit


def test_the_tail_that_decides_small_samples_is_that_of_gumbel_noise() -> None:
    """A sample of one in 100,000 is decided by noise above 10."""
    n = 4_000_000
    noise = gumbel(np.arange(n) * 4099, 0, 0, "a.jsonl")
    edges = np.array([6.0, 7.0, 8.0, 9.0, 10.0, 11.0])
    beyond = -np.expm1(-np.exp(-edges)) * n
    expected = np.append(-np.diff(beyond), beyond[-1])
    found = np.array([*(((noise >= a) & (noise < b)).sum() for a, b in itertools.pairwise(edges)), (noise >= 11).sum()])
    assert chi_square(found, expected, len(found)) > RARE


def test_noise_repeats_itself_no_more_than_by_the_odds() -> None:
    """2^52 values of noise: among n documents of one weight about n^2 / 2^53 pairs tie."""
    n = 3_000_000
    bits = random_bits(np.arange(n) * 613, "gumbel", 0, 0, "a.jsonl") >> np.uint64(12)
    assert (np.diff(np.sort(bits)) == 0).sum() <= 2
    keys = order_bits(gumbel(np.arange(n) * 613, 0, 0, "a.jsonl"))
    # Near noise of 0 a few neighbours of the 2^52 values round to one.
    assert (np.diff(np.sort(keys)) == 0).sum() <= 10
