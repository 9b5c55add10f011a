"""Counts -> distributions -> log ratio (paper section 3; reference `HashedNgramDSIR.fit_importance_estimator`)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.digests import canonical_json
from dsir_core.errors import RequestError
from dsir_core.model.classifier import Classifier
from dsir_core.model.noise import log_exact
from dsir_core.model.smoothing import EPSILON, NONE, Smoothing, smoothed

POOLED = "pooled"
"""Name of the one model fitted on several targets together."""


def distribution(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Categorical distribution over the buckets, without smoothing.

    Args:
        counts: int64[..., buckets].

    Returns:
        float64[..., buckets], rows sum to 1.

    Raises:
        ValueError: a row of counts sums to zero.
    """
    return smoothed(counts, np.empty(0), NONE)


def log_ratio(
    target_counts: npt.NDArray[np.int64], raw_counts: npt.NDArray[np.int64], smoothing: Smoothing = NONE
) -> npt.NDArray[np.float64]:
    """`ln(p + 1e-8) - ln(q + 1e-8)` for each bucket.

    Args:
        target_counts: int64[..., buckets].
        raw_counts: int64[buckets].
        smoothing: of the target counts.

    Returns:
        float64[..., buckets].
    """
    q = distribution(raw_counts)
    p = smoothed(target_counts, q, smoothing)
    return np.asarray(log_exact(p + EPSILON) - log_exact(q + EPSILON), np.float64)


@dataclass(frozen=True)
class FittedModel:
    """A fitted importance model: one row of log ratios for each target that selects."""

    selectors: tuple[str, ...]
    """Who selects: the targets when they are separate, else one name."""
    proportions: tuple[float, ...]
    """Share of the selection for each of `selectors`; they sum to 1. Empty in a model that was read from a file."""
    log_ratio: npt.NDArray[np.float64]
    """float64[len(selectors), buckets]."""
    classifier: Classifier | None = None
    """Of each of `selectors`, for heuristic classification."""

    @property
    def digest(self) -> str:
        """SHA-256 of what scoring depends on: the selectors, the log ratios, the classifier."""
        sha256 = hashlib.sha256(canonical_json({"names": list(self.selectors)}))
        arrays = [self.log_ratio]
        if self.classifier is not None:
            arrays += [self.classifier.coefficients, self.classifier.intercepts]
        for array in arrays:
            sha256.update(np.ascontiguousarray(array, "<f8").tobytes())
        return sha256.hexdigest()

    @property
    def table(self) -> npt.NDArray[np.float64]:
        """What is summed over a document's n-grams: float64[rows, buckets].

        The log ratios, and the classifier's coefficients where there is one.
        """
        if self.classifier is None:
            return self.log_ratio
        return np.concatenate([self.log_ratio, self.classifier.coefficients])

    def to_bytes(self) -> bytes:
        """What scoring depends on, as a NumPy `.npz` without pickle: the same bytes for the same `digest`."""
        buffer = io.BytesIO()
        more = {} if self.classifier is None else vars(self.classifier)
        np.savez(buffer, names=np.array(self.selectors), log_ratio=self.log_ratio, **more)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> FittedModel:
        """The model of `to_bytes`, without proportions."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(
                tuple(str(name) for name in arrays["names"]),
                (),
                arrays["log_ratio"],
                Classifier(arrays["coefficients"], arrays["intercepts"]) if "coefficients" in arrays else None,
            )


def fit_model(
    target_counts: Mapping[str, npt.NDArray[np.int64]],
    raw_counts: npt.NDArray[np.int64],
    *,
    smoothing: Smoothing | Mapping[str, Smoothing] = NONE,
    separate: bool = False,
    proportions: Mapping[str, float] | None = None,
) -> FittedModel:
    """Fit the importance model.

    Args:
        target_counts: int64[buckets] for each target, in the order in which separate targets select.
        raw_counts: int64[buckets].
        smoothing: of the target counts; or one for each name that the model will have.
        separate: one model a target; else the targets' counts are added up (reference `separate_targets`).
        proportions: share of each separate target, need not sum to 1; default by number of n-grams, as the reference.

    Raises:
        RequestError: a target or the raw corpus holds no n-gram.
    """
    for name, counts in target_counts.items():
        if counts.sum() == 0:
            raise RequestError(f"target {name!r} holds no n-gram: it has no documents, or none with a word in it")
    if raw_counts.sum() == 0:
        raise RequestError("the raw corpus holds no n-gram: it has no documents, or none with a word in it")
    selectors = selectors_of(tuple(target_counts), separate)
    stacked = np.stack(list(target_counts.values()))
    if not separate:
        pooled = stacked.sum(axis=0, keepdims=True)
        (name,) = selectors
        return FittedModel((name,), (1.0,), log_ratio(pooled, raw_counts, _of(smoothing, name)))
    shares = shares_of(selectors, stacked.sum(axis=1).tolist(), proportions)
    rows = [log_ratio(target_counts[name], raw_counts, _of(smoothing, name)) for name in selectors]
    return FittedModel(selectors, shares, np.stack(rows))


def selectors_of(targets: Sequence[str], separate: bool) -> tuple[str, ...]:
    """Who selects: the targets when they are separate, else one name for them all."""
    if separate:
        return tuple(targets)
    return (targets[0] if len(targets) == 1 else POOLED,)


def shares_of(
    selectors: Sequence[str], ngrams: Sequence[float], proportions: Mapping[str, float] | None
) -> tuple[float, ...]:
    """Share of the selection for each separate target: by proportions, or by numbers of n-grams as the reference."""
    mass = np.array([proportions[name] for name in selectors] if proportions else ngrams, np.float64)
    return tuple(float(share) for share in mass / mass.sum())


def _of(smoothing: Smoothing | Mapping[str, Smoothing], name: str) -> Smoothing:
    return smoothing if isinstance(smoothing, Smoothing) else smoothing[name]
