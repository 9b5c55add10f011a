"""What a worker does to measure the held-out recovery of one target."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.cached import load_or_make
from dsir_core.checkpoints.kinds import RECOVERY
from dsir_core.checkpoints.receipts import Draft
from dsir_core.checkpoints.store import Store
from dsir_core.config.features import FeatureSettings
from dsir_core.model.compact_sample import Bound
from dsir_core.model.places import Places
from dsir_core.resampling.ranks import Ranks
from dsir_core.resampling.recovery import Candidate, Sample, measure, tokens_of
from dsir_core.shards.count import content_of
from dsir_core.shards.sample_documents import StoredSample, load_sample, load_with_places


@dataclass(frozen=True)
class MeasureTask:
    """One target whose recovery is wanted."""

    workdir: str
    features: FeatureSettings
    min_tokens: int
    bound: Bound
    """Of the sample of raw, and of that of the target."""
    candidates: tuple[Candidate, ...]
    target: tuple[StoredSample, ...]
    """Documents of each of the corpora that it is made of."""
    target_counts: npt.NDArray[np.int64]
    raw: StoredSample
    raw_counts: npt.NDArray[np.int64]

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return RECOVERY.key(
            {
                "features": self.features,
                "min_tokens": self.min_tokens,
                "candidates": [[*asdict(one.smoothing).values(), one.length] for one in self.candidates],
                "target": [sample.signature for sample in self.target],
                "raw": self.raw.signature,
                "counts": [content_of(self.target_counts), content_of(self.raw_counts)],
            }
        )


@dataclass(frozen=True)
class Found:
    """What a task finds."""

    ranks: tuple[Ranks, ...]
    """One for each candidate."""
    eligible_share: float
    """Of the documents of raw, those that are eligible."""
    tokens: float
    """Mean of the eligible documents of raw."""
    places: Places | None = None
    """Of the hidden documents."""


def measure_recovery(task: MeasureTask) -> Found | None:
    """Measure the recovery of a target into the store, or take what is there; None where it cannot be measured."""
    store = Store(task.workdir)

    def make(draft: Draft) -> list[Found]:
        target, places = load_with_places(store, task.target, task.bound)
        raw = load_sample(store, (task.raw,), task.bound)
        sample = Sample(target, task.target_counts, raw, task.raw_counts, task.features.ngrams, task.min_tokens)
        found = found_in(sample, task.candidates)
        found = found and replace(found, places=places)
        draft.stream.write(_to_bytes(found))
        return [] if found is None else [found]

    done = load_or_make(store, RECOVERY, task.key, lambda _, data: _from_bytes(data), make)
    return done.value[0] if done.value else None


def found_in(sample: Sample, candidates: Sequence[Candidate]) -> Found | None:
    """The recovery in a sample; None where it cannot be measured."""
    ranks = measure(sample, candidates)
    if ranks is None:
        return None
    tokens = tokens_of(sample.raw, sample.ngrams)
    eligible = tokens[tokens >= sample.min_tokens]
    return Found(tuple(ranks), len(eligible) / len(tokens), float(eligible.mean()))


def _to_bytes(found: Found | None) -> bytes:
    buffer = io.BytesIO()
    if found is None:
        np.savez(buffer)
    else:
        arrays: dict[str, Any] = {"above": np.stack([ranks.above for ranks in found.ranks])}
        arrays |= {"raw": found.ranks[0].n_raw, "eligible_share": found.eligible_share, "tokens": found.tokens}
        arrays |= found.places.arrays() if found.places is not None else {}
        np.savez(buffer, **arrays)
    return buffer.getvalue()


def _from_bytes(data: bytes) -> list[Found]:
    """What was found; nothing where the recovery cannot be measured."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        if "above" not in arrays:
            return []
        ranks = tuple(Ranks(above, int(arrays["raw"])) for above in arrays["above"])
        return [Found(ranks, float(arrays["eligible_share"]), float(arrays["tokens"]), Places.from_arrays(arrays))]
