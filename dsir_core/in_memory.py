"""The algorithm on texts in memory: for notebooks, and for pipelines that have their own readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dsir_core.config.features import FeatureSettings
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.texts import Texts, text_buffers
from dsir_core.model.importance import FittedModel, fit_model
from dsir_core.model.noise import gumbel
from dsir_core.model.smoothing import NONE, Smoothing
from dsir_core.resampling.radix import order_bits

if TYPE_CHECKING:
    from dsir_core.report.explained import Explanation


class ImportanceModel:
    """An importance model over hashed n-grams (paper section 3).

    >>> model = ImportanceModel.fit(target=["a b c"], raw=["a b c", "x y z"])
    >>> model.score(["a b", "x y"]).round(1).tolist()
    [2.1, -43.2]
    """

    def __init__(self, fitted: FittedModel, features: FeatureSettings) -> None:
        self.fitted = fitted
        self.features = features

    @classmethod
    def fit(
        cls, target: Texts, raw: Texts, *, features: FeatureSettings | None = None, smoothing: Smoothing = NONE
    ) -> ImportanceModel:
        """Fit on target and raw texts.

        Args:
            target: list of str, or an Arrow string array without nulls.
            raw: the same.
            features: n-gram order, buckets and hash; by default those of the command.
            smoothing: of the target counts.

        Raises:
            RequestError: target or raw holds no n-gram.
        """
        features = features or FeatureSettings()
        counts = {"target": count_texts(target, features)}
        return cls(fit_model(counts, count_texts(raw, features), smoothing=smoothing), features)

    def score(self, texts: Texts) -> npt.NDArray[np.float64]:
        """Log importance weight of each text: float64[n]."""
        data, offsets = text_buffers(texts)
        log_weights: npt.NDArray[np.float64] = score_ngrams(data, offsets, self.features, self.fitted.log_ratio)[0]
        return log_weights[:, 0]

    def explain(self, text: str) -> Explanation:
        """The text's log weight as a sum over its n-grams; prints as a table and coloured text in a notebook."""
        from dsir_core.shards.explaining import explain

        return explain(text, self.fitted, self.features)[0]

    def _repr_html_(self) -> str:
        """What it is a model of, as a notebook shows it."""
        from dsir_core.report.html import render_fragment

        ends = np.quantile(self.fitted.log_ratio, (0, 0.5, 1), axis=1).T.tolist()
        rows = list(zip(self.fitted.selectors, self.fitted.proportions, ends, strict=True))
        return render_fragment("model.html.jinja", features=self.features, digest=self.fitted.digest, rows=rows)


def count_texts(texts: Texts, features: FeatureSettings) -> npt.NDArray[np.int64]:
    """N-gram counts over all texts: int64[buckets]."""
    counts = np.zeros(features.buckets, np.int64)
    data, offsets = text_buffers(texts)
    count_ngrams(data, offsets, features, counts)
    return counts


def sample(log_weights: npt.ArrayLike, k: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """An exact sample of k items without replacement in proportion to exp(log_weights) (Gumbel top-k).

    Args:
        log_weights: float64[n], finite.
        k: how many; all n when there are fewer.
        seed: of the noise; item i has the noise of position i.

    Returns:
        int64[min(k, n)] indices, increasing.
    """
    weights = np.asarray(log_weights, np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or k < 0:
        raise ValueError("sample needs a vector of finite log weights and k of at least 0")
    bits = order_bits(weights + gumbel(np.arange(len(weights)), seed, 0, ""))
    # Stable, so that equal keys go to the smaller index; complemented, so that the largest come first.
    return np.sort(np.argsort(~bits, kind="stable")[:k])
