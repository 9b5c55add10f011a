"""Logistic regression with an L2 penalty, whose result is the same on every machine.

Libraries compute it with BLAS and the C library's `exp`, whose last bits depend on the processor. Here all arithmetic
is additions, multiplications, divisions and square roots of IEEE 754 float64 in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.noise import exp_exact, log_exact

Floats = npt.NDArray[np.float64]

LARGEST_LOG_ODDS = 700.0
"""Beyond it a probability is 0 or 1 in float64."""

MAX_STEPS = 100
"""Steps of Newton's method; about ten are usual."""

PRECISION = 0.1
"""Of the solution of Newton's equations: norm of what is left of their right side, as a share of its norm."""

DESCENT = 1e-4
"""Share of the predicted decrease that a step must bring (Armijo's condition)."""

ROUNDING = 1e-12
"""Relative error of the loss: smaller differences mean nothing."""


def probability(log_odds: Floats) -> Floats:
    """Probabilities from 0 to 1, float64[n], from log odds float64[n]."""
    return np.asarray(1.0 / (1.0 + exp_exact(-np.clip(log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS))), np.float64)


def dot(first: Floats, second: Floats) -> float:
    """Sum of the products of two float64[n], from the first on."""
    # Where it is used: the driver of a run needs no compiler.
    from dsir_core.kernels.sparse import sum_of_products

    return float(sum_of_products(first, second))


@dataclass(frozen=True)
class Features:
    """A matrix float64[n, buckets + 1]: each document's counts times a factor, and a column of ones."""

    documents: SparseDocuments
    buckets: int
    factors: Floats
    """float64[n]."""

    def times(self, vector: Floats) -> Floats:
        """float64[n]: the matrix times float64[buckets + 1]."""
        from dsir_core.kernels.sparse import row_sums

        rows, sums = self.documents, np.empty(len(self.documents))
        row_sums(rows.starts, rows.buckets, rows.counts, vector, sums)
        return np.asarray(self.factors * sums + vector[-1], np.float64)

    def transposed_times(self, vector: Floats) -> Floats:
        """float64[buckets + 1]: the transposed matrix times float64[n]."""
        from dsir_core.kernels.sparse import add_rows

        rows, sums = self.documents, np.zeros(self.buckets + 1)
        add_rows(rows.starts, rows.buckets, rows.counts, self.factors * vector, sums)
        sums[-1] = dot(vector, np.ones(len(vector)))
        return sums


@dataclass(frozen=True)
class Problem:
    """Minimise |w|^2 / 2 + sum over documents of importance * loss, over a weight w of each bucket and an intercept.

    A point is float64[buckets + 1]; the intercept comes last and has no penalty.
    """

    features: Features
    """Of n documents."""
    labels: Floats
    """float64[n], 0 or 1."""
    importance: Floats
    """float64[n]."""

    def objective(self, point: Floats, log_odds: Floats) -> float:
        """What is minimised, at a point and the log odds that it gives the documents."""
        away = np.minimum(np.abs(log_odds), LARGEST_LOG_ODDS)
        losses = np.maximum(log_odds, 0.0) + log_exact(1.0 + exp_exact(-away)) - self.labels * log_odds
        return 0.5 * dot(point, _penalised(point)) + dot(self.importance, losses)

    def gradient(self, point: Floats, chance: Floats) -> Floats:
        """float64[buckets + 1], at a point and the probabilities that it gives the documents."""
        return _penalised(point) + self.features.transposed_times(self.importance * (chance - self.labels))

    def hessian_times(self, vector: Floats, chance: Floats) -> Floats:
        """float64[buckets + 1]: the second derivatives where documents have these probabilities, times a vector."""
        curvature = self.importance * chance * (1.0 - chance)
        return _penalised(vector) + self.features.transposed_times(curvature * self.features.times(vector))

    def solve(self, tolerance: float) -> Floats:
        """The point of the minimum, by a truncated Newton method (Nocedal and Wright 2006, algorithm 7.1).

        Args:
            tolerance: largest component of the gradient at which it ends, as a share of the number of documents. It
                also ends after `MAX_STEPS` steps.
        """
        point, log_odds = np.zeros(self.features.buckets + 1), np.zeros(len(self.labels))
        for _ in range(MAX_STEPS):
            chance = probability(log_odds)
            gradient = self.gradient(point, chance)
            if np.abs(gradient).max() <= tolerance * len(self.labels):
                break
            direction = self._newton_direction(gradient, chance)
            change = self.features.times(direction)
            slope, before, step = dot(gradient, direction), self.objective(point, log_odds), 1.0
            while (
                self.objective(point + step * direction, log_odds + step * change)
                > before * (1.0 + ROUNDING) + DESCENT * step * slope
            ):
                step /= 2.0
            point, log_odds = point + step * direction, log_odds + step * change
        return point

    def _newton_direction(self, gradient: Floats, chance: Floats) -> Floats:
        """About the x for which `hessian_times(x) == -gradient`, by conjugate gradients."""
        x, residual = np.zeros(len(gradient)), -gradient
        direction, square = residual, dot(residual, residual)
        goal = PRECISION * PRECISION * square
        while square > goal:
            product = self.hessian_times(direction, chance)
            length = square / dot(direction, product)
            x, residual = x + length * direction, residual - length * product
            before, square = square, dot(residual, residual)
            direction = residual + (square / before) * direction
        return x


def _penalised(point: Floats) -> Floats:
    """The point without its intercept."""
    return np.append(point[:-1], 0.0)
