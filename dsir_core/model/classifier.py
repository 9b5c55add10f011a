"""A linear classifier of target against raw on hashed n-gram counts, for heuristic classification.

A document's features are its bucket counts divided by their number, as fastText averages the vectors of a text's
n-grams: so its log odds are a sum over its n-grams, which the kernels for log ratios compute, a division and an
intercept.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.logistic import Features, Problem, dot

TOLERANCE = 1e-10


@dataclass(frozen=True)
class Classifier:
    """One linear classifier for each who selects."""

    coefficients: npt.NDArray[np.float64]
    """float64[selectors, buckets]: what a share of 1 of a document's n-grams in a bucket adds to its log odds."""
    intercepts: npt.NDArray[np.float64]
    """float64[selectors]."""

    def log_odds(
        self, sums: npt.NDArray[np.float64], n_tokens: npt.NDArray[np.int32], ngrams: int
    ) -> npt.NDArray[np.float64]:
        """Log odds that documents are of each target rather than of raw: float64[n, selectors].

        Args:
            sums: float64[n, selectors], of the coefficients over each document's n-grams.
            n_tokens: int32[n].
            ngrams: longest n-gram.
        """
        return sums / np.maximum(ngrams_of_tokens(n_tokens, ngrams), 1)[:, None] + self.intercepts

    def to_bytes(self) -> bytes:
        """As NumPy `.npz` without pickle."""
        buffer = io.BytesIO()
        np.savez(buffer, coefficients=self.coefficients, intercepts=self.intercepts)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Classifier:
        """Inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(arrays["coefficients"], arrays["intercepts"])

    @classmethod
    def joined(cls, classifiers: Sequence[Classifier]) -> Classifier:
        """Those of several who select."""
        return cls(
            np.concatenate([one.coefficients for one in classifiers]),
            np.concatenate([one.intercepts for one in classifiers]),
        )


def ngrams_of_tokens(n_tokens: npt.NDArray[np.int32], ngrams: int) -> npt.NDArray[np.int64]:
    """int64[n]: n-grams of orders 1 to `ngrams` of documents with int32[n] tokens."""
    tokens = n_tokens.astype(np.int64)
    return np.asarray(np.sum([np.maximum(tokens - order, 0) for order in range(ngrams)], axis=0), np.int64)


def fit_classifier(
    target: SparseDocuments, raw: SparseDocuments, buckets: int, tolerance: float = TOLERANCE
) -> Classifier:
    """Logistic regression with an L2 penalty of C = 1 on features whose root mean square length is 1.

    Target and raw weigh the same in all, however many documents they have: the reference fits on as many of each.

    Args:
        target, raw: documents to tell apart, none of them without n-grams.
        buckets: of their counts.
        tolerance: how near to the optimum the fit ends, see `Problem.solve`.

    Raises:
        ValueError: there is no document in target or raw.
    """
    if not len(target) or not len(raw):
        raise ValueError("a classifier needs documents of target and of raw")
    documents, n = SparseDocuments.joined([target, raw]), len(target) + len(raw)
    is_target = np.arange(n) < len(target)
    totals = documents.totals().astype(np.float64)
    squares = np.add.reduceat(documents.counts.astype(np.int64) ** 2, documents.starts[:-1])
    length = np.sqrt(dot(squares / totals, 1.0 / totals) / n)
    importance = np.where(is_target, n / (2 * len(target)), n / (2 * len(raw)))
    features = Features(documents, buckets, 1.0 / (totals * length))
    point = Problem(features, is_target.astype(np.float64), importance).solve(tolerance)
    return Classifier(point[None, :-1] / length, point[-1:])
