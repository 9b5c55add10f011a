"""The figures of held-out recovery, as in report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dsir_core.resampling.ranks import Curve
from dsir_core.resampling.recovery import Candidate
from dsir_core.stages.recover import Measured, Recovery

N_OUTLIERS = 10


def recovery_figures(
    recovery: Recovery, shares: Mapping[str, float] | None = None, used: Mapping[str, Candidate] | None = None
) -> dict[str, dict[str, Any]]:
    """The recovery by who selects, as in report.json.

    Args:
        shares: of the eligible raw documents, what each has selected; default: what it will select, about.
        used: the candidate that each has used; default: the best.
    """
    return {
        name: _figures(
            replace(found, picked=found.candidates.index((used or {}).get(name, found.candidate))),
            (shares or {}).get(name, found.share),
        )
        for name, found in recovery.items()
    }


def _figures(found: Measured, share: float) -> dict[str, Any]:
    ranks, curve = found.chosen, Curve.of(found.chosen)
    at = max(share, ranks.resolution)
    low, high = ranks.interval(at)
    return {
        "recovered": ranks.recovery(at),
        "low": low if share >= ranks.resolution else 0.0,
        "high": high,
        "auc": ranks.auc,
        "share": share,
        "resolution": ranks.resolution,
        "eligible": found.eligible,
        "documents": len(ranks),
        "ineligible": ranks.ineligible,
        "raw_documents": ranks.n_raw,
        "curve": [[one, value] for one, value in zip(curve.shares, curve.recovery, strict=True)],
        "twice": ranks.recovery(min(1.0, 2 * at)),
        "knee": curve.knee,
        "enough": curve.enough,
        "smoothing": str(found.candidate.smoothing),
        "length_normalise": found.candidate.length,
        **_parts_of(found, at),
        "outliers": _outliers(found),
        "tried": [
            {
                "smoothing": str(candidate.smoothing),
                "length_normalise": candidate.length,
                "recovered": one.recovery(max(found.share, one.resolution)),
                "auc": one.auc,
            }
            for candidate, one in zip(found.candidates, found.ranks, strict=True)
        ],
    }


def _parts_of(found: Measured, at: float) -> dict[str, Any]:
    """Recovery of each of several pooled targets, and of each stratum of the target, at a share of raw."""
    places = found.places
    if places is None:
        return {"targets": {}, "strata": {}}
    is_found = found.chosen.found(at)
    by_target = {name: places.corpus == i for i, name in enumerate(found.targets)} if len(found.targets) > 1 else {}
    by_stratum = {name: places.stratum == name for name in sorted(set(places.stratum.tolist()) - {""})}
    return {
        kind: {
            name: {"documents": int(mine.sum()), "recovered": float(is_found[mine].mean())}
            for name, mine in parts.items()
            if mine.any()
        }
        for kind, parts in (("targets", by_target), ("strata", by_stratum))
    }


def _outliers(found: Measured) -> dict[str, Any]:
    """Hidden documents that more than half of raw scores above: their number, and the first that are least alike."""
    ranks, places = found.chosen, found.places
    far = np.flatnonzero(ranks.above > ranks.n_raw)
    worst: Sequence[int] = far[np.argsort(-ranks.above[far], kind="stable")][:N_OUTLIERS].tolist()
    first = [
        {
            "target": found.targets[int(places.corpus[i])],
            "file": str(places.file[i]),
            "position": int(places.position[i]),
            "above": float(ranks.above[i]) / (2 * ranks.n_raw),
        }
        for i in worst
        if places is not None
    ]
    return {"documents": len(far), "first": first}
