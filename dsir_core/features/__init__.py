"""From texts to hashed n-grams: counts of a batch, log weights of a batch."""

from typing import Any

__all__ = [
    "TOKENIZER_VERSION",
    "KeptNgrams",
    "can_keep",
    "count_and_keep",
    "count_each",
    "count_ngrams",
    "score_ngrams",
    "warm_up",
]


def __getattr__(name: str) -> Any:
    # On first use: a command that only plans must not wait for a compiler.
    if name in __all__:
        from dsir_core.features import batch

        return getattr(batch, name)
    raise AttributeError(f"module 'dsir_core.features' has no attribute {name!r}")
