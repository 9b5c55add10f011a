"""Compile the kernels of shard functions, or load them from the cache, before the first shard needs them."""

from __future__ import annotations

import threading


def warm_up() -> None:
    """Import what shards need, and compile the kernels (or load them from the cache that an earlier run left)."""
    import dsir_core.shards.extract
    import dsir_core.shards.score  # noqa: F401
    from dsir_core import features
    from dsir_core.config.features import FeatureSettings
    from dsir_core.corpus.formats import jsonl
    from dsir_core.model import compact_sample, noise

    jsonl.warm_up()
    features.warm_up(FeatureSettings())
    compact_sample.warm_up()
    noise.warm_up()


def kernels_are_kept() -> bool:
    """Whether `warm_up` finds on disk what it would compile; quick, if not sure: other processors need other code."""
    from dsir_core.features.kernels import run_batch
    from dsir_core.kernels.compiled import is_kept
    from dsir_core.kernels.json_lines import take_texts

    return all(map(is_kept, (run_batch, take_texts)))


def warm_up_in_background() -> None:
    """Return at once: the first shard waits for what it needs, and only for that."""
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
