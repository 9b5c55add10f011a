"""DSIR, data selection by importance resampling over hashed n-grams: the public API.

Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169.

Files in, files out, in bounded memory, with checkpoints and a report:

    import dsir_core

    selection = dsir_core.select(raw="corpus/*.jsonl", target="wiki.jsonl", count=1000, output="selected")

Texts in memory:

    model = dsir_core.ImportanceModel.fit(target=target_texts, raw=raw_texts)
    chosen = dsir_core.sample(model.score(raw_texts), k=1000, seed=0)

`select`, `score`, `compare` and `forecast` take a `SelectConfig`, or its fields as keywords. `explain` says why a
document weighs what it does, `diff` how two selections differ. Errors are `DsirError`s with a message of one line. Only
names in `__all__` are public.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsir_core.api import compare, diff, explain, forecast, score, select
    from dsir_core.config.features import FeatureSettings
    from dsir_core.config.reading import Chunking, ReadSettings
    from dsir_core.config.request import SelectConfig
    from dsir_core.config.settings import (
        BudgetSettings,
        ExternalSettings,
        FitSettings,
        OutputSettings,
        RawPrior,
        RuntimeSettings,
        SampleSettings,
        ShardSettings,
        WeightSettings,
    )
    from dsir_core.config.storage import StorageSettings
    from dsir_core.differences import Difference
    from dsir_core.errors import DamagedFileError, DsirError, MixedVersionsError, RequestError, RunFailedError
    from dsir_core.explained import ExplainedDocument
    from dsir_core.forecasting.forecast import Forecast
    from dsir_core.in_memory import ImportanceModel, sample
    from dsir_core.report.explained import Contribution, Explanation
    from dsir_core.results import Comparison, Selection, Weights

_MODULES = {
    "api": ("compare", "diff", "explain", "forecast", "score", "select"),
    "config.features": ("FeatureSettings",),
    "config.reading": ("Chunking", "ReadSettings"),
    "config.request": ("SelectConfig",),
    "config.settings": (
        *("BudgetSettings", "ExternalSettings", "FitSettings", "OutputSettings", "RawPrior", "RuntimeSettings"),
        *("SampleSettings", "ShardSettings", "WeightSettings"),
    ),
    "config.storage": ("StorageSettings",),
    "differences": ("Difference",),
    "errors": ("DamagedFileError", "DsirError", "MixedVersionsError", "RequestError", "RunFailedError"),
    "explained": ("ExplainedDocument",),
    "forecasting.forecast": ("Forecast",),
    "in_memory": ("ImportanceModel", "sample"),
    "report.explained": ("Contribution", "Explanation"),
    "results": ("Comparison", "Selection", "Weights"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BudgetSettings",
    "Chunking",
    "Comparison",
    "Contribution",
    "DamagedFileError",
    "Difference",
    "DsirError",
    "ExplainedDocument",
    "Explanation",
    "ExternalSettings",
    "FeatureSettings",
    "FitSettings",
    "Forecast",
    "ImportanceModel",
    "MixedVersionsError",
    "OutputSettings",
    "RawPrior",
    "ReadSettings",
    "RequestError",
    "RunFailedError",
    "RuntimeSettings",
    "SampleSettings",
    "SelectConfig",
    "Selection",
    "ShardSettings",
    "StorageSettings",
    "WeightSettings",
    "Weights",
    "compare",
    "diff",
    "explain",
    "forecast",
    "sample",
    "score",
    "select",
]


if not TYPE_CHECKING:  # type checkers report a name that is not there

    def __getattr__(name: str) -> Any:
        # On first use (PEP 562): importing a settings module must not load compilers and Arrow.
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'dsir_core' has no attribute {name!r}")
        value = getattr(import_module(f"dsir_core.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
