"""Which method of a comparison to use: the one that finds most hidden target documents, or most of the labels wanted.

The KL reduction has no part in it: on labelled text it does not order methods as their precision does
(docs/quality-method.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.config.methods import METHODS
from dsir_core.config.request import SelectConfig
from dsir_core.resampling.ranks import Ranks, found_by_one, is_within_error, wilson

Json = dict[str, Any]
Found = npt.NDArray[np.bool_]

ERRORS = 1.2815515655446004
"""Standard errors by which a method has to be better than another, not to be called as good; one for `BASE`.

Chance alone makes so large a difference one time in ten.
"""

BASE = "random"
"""What a method has to be better than."""

NOTHING: Json = {"method": None, "equal": [], "by": None}


def recovery_by_method(ranks: Mapping[str, Sequence[Ranks]], shares: Mapping[str, float]) -> dict[str, Found]:
    """Which hidden documents of all targets each method finds.

    Args:
        ranks: of `method_recovery`.
        shares: of the eligible raw documents, by target that selects.
    """
    found = {}
    for index, method in enumerate(METHODS):
        parts = [each[index].found(max(shares[name], each[index].resolution)) for name, each in ranks.items()]
        if parts:
            found[method] = np.concatenate(parts)
    return found


def recovery_figures(found: Found) -> Json:
    """What compare.json says of a method's recovery."""
    low, high = wilson(int(found.sum()), len(found))
    return {"recovered": float(found.mean()), "low": low, "high": high, "documents": len(found)}


def recommend_by_recovery(found: Mapping[str, Found], *, is_bound: bool) -> Json:
    """The method that finds most hidden documents; of those within the error of it the most usual one.

    Args:
        found: of `recovery_by_method`.
        is_bound: whether the sample is too small for the share that is selected.
    """
    if not found:
        return {
            **NOTHING,
            "reason": "held-out recovery cannot be measured here, and no other figure tells which is best",
        }
    best = max(_preferred(found), key=lambda method: int(found[method].sum()))
    equal = [method for method in _preferred(found) if _is_as_good(method, found[best], found[method])]
    at = ", at the smallest size that the sample of raw can tell" if is_bound else ""
    what = f"of {len(found[best]):,} hidden target documents recovered{at}"
    return _recommended("recovery", equal, {method: float(each.mean()) for method, each in found.items()}, what)


def recommend_by_precision(precision: Mapping[str, float], documents: Mapping[str, int]) -> Json:
    """The method whose selection holds most of the labels wanted, as above.

    Args:
        precision: by method, from 0 to 1.
        documents: selected, by method; above 0.
    """
    best = max(_preferred(precision), key=lambda method: precision[method])

    def variance(method: str) -> float:
        return precision[method] * (1 - precision[method]) / documents[method]

    equal = [
        method
        for method in _preferred(precision)
        if precision[best] - precision[method] <= _errors(method) * math.sqrt(variance(best) + variance(method))
    ]
    return _recommended("precision", equal, precision, "of the selected documents have a label that is wanted")


def _recommended(by: str, equal: Sequence[str], shares: Mapping[str, float], what: str) -> Json:
    """What compare.json says.

    Args:
        equal: methods that are as good as the best within the error, the one to use first.
        shares: by method.
        what: the shares are.
    """
    used = equal[0]
    highest = max(_preferred(shares), key=lambda method: shares[method])
    shown = {method: f"{method} {share:.0%}" for method, share in shares.items()}
    worse = [method for method in _preferred(shares) if method not in equal]
    if BASE in equal:
        reason = f"no method is better than random selection beyond the error, by the share {what}"
        return {**NOTHING, "equal": list(equal), "by": by, "reason": f"{reason}: {', '.join(shown.values())}"}
    if used == highest:
        parts, within = [f"{shares[used]:.0%} {what}"], "as good within the error"
    else:
        parts = [f"no clear winner: the highest is {highest}, {shares[highest]:.0%} {what}"]
        within = "lower, but within the error"
    if others := [shown[method] for method in equal if method != highest]:
        parts.append(f"{within}: {', '.join(others)}")
    if worse:
        parts.append(f"less: {', '.join(shown[method] for method in worse)}")
    return {"method": used, "equal": list(equal), "by": by, "reason": "; ".join(parts)}


def _is_as_good(method: str, of_best: Found, of_method: Found) -> bool:
    """Whether a method finds as many hidden documents as the best one, but for what may be chance (McNemar's test).

    The number of documents moves in whole steps: of a difference one counts for nothing (correction for continuity), so
    that a few documents of a small target decide nothing.
    """
    if method == BASE:
        return is_within_error(of_best, of_method)
    lost, won = found_by_one(of_best, of_method)
    return lost - won - 1 <= ERRORS * math.sqrt(lost + won)


def _errors(method: str) -> float:
    return 1.0 if method == BASE else ERRORS


def _preferred(methods: Mapping[str, Any]) -> list[str]:
    """The default first, then the later of `METHODS`."""
    default = SelectConfig.model_fields["method"].default
    return sorted(methods, key=lambda method: (method != default, -list(METHODS).index(method)))
