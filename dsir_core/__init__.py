"""DSIR, data selection by importance resampling over hashed n-grams: the algorithm, without an orchestrator.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169.

    from dsir_core import ImportanceModel, sample

    model = ImportanceModel.fit(target=target_texts, raw=raw_texts)
    chosen = sample(model.score(raw_texts), k=1000, seed=0)
"""

from typing import Any

__all__ = ["ImportanceModel", "sample"]


def __getattr__(name: str) -> Any:
    # On first use: importing a settings module must not load compilers and Arrow.
    if name in __all__:
        from dsir_core import in_memory as memory

        return getattr(memory, name)
    raise AttributeError(f"module 'dsir_core' has no attribute {name!r}")
