"""What a run is asked to do. Every flag of the command and every key of a YAML file is a field here.

Settings that belong to one part are declared beside it (`ReadSettings`, `FeatureSettings`, ...); `SelectConfig`
joins them into one flat request.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, ValidationError, model_validator

from dsir_core.config.corpora import CorpusSettings
from dsir_core.config.features import FeatureSettings
from dsir_core.config.methods import method_of
from dsir_core.config.presets import PresetSettings, with_preset
from dsir_core.config.problems import Called, describe
from dsir_core.config.reading import ReadSettings
from dsir_core.config.settings import (
    BudgetSettings,
    FitSettings,
    OutputSettings,
    RuntimeSettings,
    SampleSettings,
    ShardSettings,
    WeightSettings,
)
from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RequestError
from dsir_core.urls import without_credentials


class SelectConfig(
    CorpusSettings,
    OutputSettings,
    SampleSettings,
    PresetSettings,
    ReadSettings,
    FeatureSettings,
    FitSettings,
    WeightSettings,
    BudgetSettings,
    ShardSettings,
    StorageSettings,
    RuntimeSettings,
):
    """A whole request: which corpora, which settings, where the result goes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _filled_in(cls, values: Any) -> Any:
        return with_preset(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(size is not None for size in (self.count, self.tokens, self.fraction)) > 1:
            raise ValueError("count, tokens and fraction exclude each other: give one of them")
        if self.inline and self.workers is not None:
            raise ValueError("inline and workers exclude each other: with inline this process does the work")
        if self.target_ess is not None and self.temperature != 1.0:
            raise ValueError("temperature and target_ess exclude each other: give one of them")
        if self.proportions is not None and not self.by_target:
            raise ValueError("proportions has a meaning only with separate targets: add separate or match")
        if self.whole_documents and self.chunk is None:
            raise ValueError("whole_documents has a meaning only when documents are cut: add chunk")
        if self.classifies and self.weights is not None:
            raise ValueError(f"method {self.method} goes by a classifier, not by weights: leave weights away")
        if self.quotas is not None and self.strata is None:
            raise ValueError("quotas are of strata: say which field they are in with strata")
        if isinstance(self.quotas, dict):
            _check_quotas(self.quotas, sized=self.is_sized)
        if self.proportions is not None and set(self.proportions) != set(self.target):
            raise ValueError(f"proportions names {sorted(self.proportions)}, the targets are {sorted(self.target)}")
        return self

    @property
    def by_target(self) -> bool:
        """Whether each target has a model, and selects, by itself."""
        return self.separate or self.match

    @property
    def classifies(self) -> bool:
        """Whether documents are scored by a classifier, too."""
        return method_of(self.method).uses_classifier

    @property
    def measures_recovery(self) -> bool:
        """Whether held-out recovery is measured: where n-gram weights decide what is selected."""
        return self.weights is None and method_of(self.method).by_weight

    @property
    def tunes(self) -> bool:
        """Whether settings of n-gram weights are left to held-out recovery."""
        return self.weights is None and "auto" in (self.smoothing, self.length_normalise)

    @property
    def spreads(self) -> bool:
        """Whether the weights are asked to leave more, or less, to chance than they do by themselves."""
        return self.target_ess is not None or self.temperature != 1

    @property
    def marks_copies(self) -> bool:
        """Whether documents are left out since another has the same text."""
        return self.dedup != "none" or self.exclude_target_copies

    @property
    def is_sized(self) -> bool:
        """Whether count, tokens or fraction is given."""
        return any(size is not None for size in (self.count, self.tokens, self.fraction))

    def redacted(self) -> SelectConfig:
        """The request without credentials in its URLs, for reports and records."""
        return self.model_copy(
            update={
                "raw": tuple(without_credentials(spec) for spec in self.raw),
                "target": {
                    name: tuple(without_credentials(spec) for spec in specs) for name, specs in self.target.items()
                },
                "output": without_credentials(self.output),
                "workdir": without_credentials(self.workdir),
                "weights": self.weights and self.weights.redacted(),
                "s3_endpoint": self.s3_endpoint and without_credentials(self.s3_endpoint),
            }
        )

    @property
    def workdir_url(self) -> str:
        """Where checkpoints lie."""
        return self.workdir or self.output.rstrip("/") + ".work"

    @property
    def read(self) -> ReadSettings:
        """The part that the readers depend on."""
        return ReadSettings(**self.model_dump(include=set(ReadSettings.model_fields)))

    @property
    def features(self) -> FeatureSettings:
        """The part that counts and weights depend on."""
        return FeatureSettings(**self.model_dump(include=set(FeatureSettings.model_fields)))

    @property
    def storage(self) -> StorageSettings:
        """The part that says how object storage is reached."""
        return StorageSettings(**self.model_dump(include=set(StorageSettings.model_fields)))


def _check_quotas(quotas: dict[str, float], *, sized: bool) -> None:
    if not sum(quotas.values()) > 0:
        raise ValueError("quotas are all zero")
    if not sized and not all(quota == int(quota) for quota in quotas.values()):
        raise ValueError("without count, tokens or fraction quotas are numbers of documents: give whole numbers")


def parse_config(
    values: dict[str, Any],
    *,
    sized: bool = True,
    output: bool = True,
    workdir: bool = True,
    called: Called = str,
) -> SelectConfig:
    """Validate a request; `min-tokens` and `min_tokens` are the same key.

    Args:
        values: keys and values as from YAML or the command line.
        sized: whether the request must say how much to select.
        output: whether the request must say where the selection goes (else a workdir is enough).
        workdir: whether it must say where to work, if not by its output.
        called: how messages name a setting, by its key.

    Raises:
        RequestError: one line that names each wrong key and what is wrong with it.
    """
    values = {str(key).replace("-", "_"): value for key, value in values.items()}
    try:
        config = SelectConfig.model_validate(values)
    except ValidationError as error:
        raise RequestError(describe(SelectConfig, error, called)) from None
    if sized and not config.is_sized and not isinstance(config.quotas, dict):
        sizes = [called(name) for name in ("count", "tokens", "fraction")]
        raise RequestError(f"say how much to select: give one of {sizes[0]}, {sizes[1]} and {sizes[2]}")
    if output and not config.output:
        raise RequestError(f"{called('output')}: required, and not given")
    if workdir and not config.workdir and not config.output:
        raise RequestError(f"{called('workdir')}: required, and not given")
    return config
