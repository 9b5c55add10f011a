"""Settings of model, sampling, output and budget: small pydantic models with one docstring under each field.

They stand apart from the code that obeys them so that `dsir --help` need not import compilers and Arrow.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from dsir_core.config.described import Mark, one_of
from dsir_core.config.methods import METHODS, method_of, methods_help
from dsir_core.config.numbers import byte_count, share, size, whole_number
from dsir_core.urls import without_credentials

LengthNormalise = Literal["none", "tokens", "sqrt"]
LengthSetting = Literal["auto", "none", "tokens", "sqrt"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Laplace = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RawPrior(_Settings):
    """Smoothing of a target by a prior proportional to raw."""

    raw_prior: float = Field(gt=0, allow_inf_nan=False)
    """N-grams added in all."""

    def __str__(self) -> str:
        """As on the command line."""
        return f"raw_prior={self.raw_prior:g}"


DEFAULT_SMOOTHING = RawPrior(raw_prior=10_000)


class FitSettings(_Settings):
    """How counts become the model."""

    GROUP: ClassVar = "model"

    fit_ngrams: Annotated[Literal["auto", "all"] | int, BeforeValidator(whole_number)] = "auto"
    """Fit the model of raw on about this many n-grams, spread over the corpus; `auto` is 100,000 per bucket."""

    refit: Literal["always", "auto", "never"] = "always"
    """Whether raw that has grown gets a new model. always: yes, so that the selection does not depend on earlier
    runs; never: no; auto: if raw has drifted by more than 0.001 nats. Without a new model only new shards are
    scored."""

    smoothing: Literal["auto"] | Laplace | RawPrior = DEFAULT_SMOOTHING
    """What is added to the target's counts: raw_prior=N n-grams in the proportions of raw, a number for every bucket
    (Laplace; 0 is the reference), or auto: whatever recovers most held-out target documents."""

    separate: bool = False
    """Fit and select separately for each target, in the order given, instead of pooling them."""

    match: bool = False
    """As separate, but each target selects first from the documents that are nearest to it, then from the rest, so
    that the selection meets the proportions; default proportions: the targets' own, in documents (with --tokens: in
    tokens)."""

    proportions: dict[str, float] | None = None
    """Share of the selection for each separate target, `NAME=SHARE`; default: by their n-grams, as in the
    reference."""

    @field_validator("smoothing", mode="before")
    @classmethod
    def _raw_prior(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("raw_prior="):
            return {"raw_prior": value.removeprefix("raw_prior=")}
        return value

    @field_validator("fit_ngrams")
    @classmethod
    def _positive(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be auto, all or a number of n-grams of at least 1")
        return value

    @field_validator("proportions")
    @classmethod
    def _shares(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is None:
            return None
        if not all(0 <= share < float("inf") for share in value.values()) or not sum(value.values()) > 0:
            raise ValueError("shares must be finite, not negative, and not all zero")
        return value


class SampleSettings(_Settings):
    """Which and how many documents are chosen."""

    GROUP: ClassVar = "sample"

    count: Annotated[int | None, BeforeValidator(size), Mark.COMMON, Mark.CHOOSES] = Field(default=None, ge=1)
    """Select this many documents; also as 10k, 2M or 1.5B."""

    tokens: Annotated[int | None, BeforeValidator(size), Mark.COMMON, Mark.CHOOSES] = Field(default=None, ge=1)
    """Select documents with at most this many tokens in total; the first document that does not fit ends the
    selection."""

    fraction: Annotated[float | None, BeforeValidator(share), Mark.COMMON, Mark.CHOOSES] = Field(
        default=None, gt=0, le=1
    )
    """Select this share of the eligible documents, such as 0.05 or 5%."""

    seed: Annotated[int, Mark.COMMON, Mark.CHOOSES] = Field(default=0, ge=0, lt=2**63)
    """Seed of the Gumbel noise."""

    method: Annotated[str, Mark.COMMON] = Field(
        default="importance", description=methods_help(), json_schema_extra=one_of(METHODS)
    )

    temperature: Annotated[float, Mark.CHOOSES] = Field(default=1.0, ge=1e-9, allow_inf_nan=False)
    """Divides the log weights before noise is added: above 1 the selection spreads, below 1 it narrows."""

    target_ess: Annotated[float | None, BeforeValidator(share), Mark.CHOOSES] = Field(default=None, gt=0, le=1)
    """Find the temperature at which the effective sample size is this share of the eligible documents."""

    length_normalise: LengthSetting = "tokens"
    """tokens: log weights per token, scaled to the target's mean document length, so that documents of any length
    compete; sqrt: in between; none: sums over the document, as in the reference; auto: whatever recovers most
    held-out target documents. For scores from elsewhere the default is none."""

    min_tokens: Annotated[int, Mark.COMMON] = Field(default=100, ge=0)
    """Documents with fewer tokens are not eligible."""

    dedup: Annotated[Literal["none", "exact"], Mark.COMMON] = "none"
    """exact: of documents with the same text only the first, by file and position, can be selected."""

    exclude_target_copies: bool = False
    """Documents of raw whose text is also that of a target document cannot be selected."""

    @field_validator("method")
    @classmethod
    def _registered(cls, value: str) -> str:
        return method_of(value).name

    quotas: Annotated[
        Literal["raw", "target"] | dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None, Mark.CHOOSES
    ] = None
    """How the selection is divided among strata: as in raw, as in target, by NAME=SHARE, or without a size by
    NAME=COUNT. Strata that are not named get nothing."""

    strata: str | None = Field(default=None, min_length=1)
    """Field of the raw records (domain, language, cluster, ...). The report lists the selection by its values, and
    quotas refer to them."""


class ExternalSettings(_Settings):
    """Scores from elsewhere: a column of the records, or of a table that is joined to them by a key."""

    column: str = Field(min_length=1)
    """Field of the record (or column of the table) that holds the score: a number, larger is better."""

    table: str | None = None
    """Files of any format, with the columns `key` and `column`; without it the score stands in the record."""

    key: str | None = None
    """Field that names a document in its record and in the table: a string or an integer."""

    ngram: float = Field(default=0.0, allow_inf_nan=False)
    """Coefficient of the n-gram log weight: log_weight = ngram * n-gram log weight + external * score."""

    external: float = Field(default=1.0, allow_inf_nan=False)
    """Coefficient of the score."""

    def redacted(self) -> ExternalSettings:
        """The same without credentials in its URL."""
        return self.model_copy(update={"table": self.table and without_credentials(self.table)})

    @model_validator(mode="after")
    def _key_of_table(self) -> Self:
        if (self.table is None) != (self.key is None):
            raise ValueError("a table is joined by a key: give both, or neither")
        return self


class WeightSettings(_Settings):
    """What a document's weight is made of, beside its n-grams."""

    GROUP: ClassVar = "weights"

    weights: ExternalSettings | None = None
    """Scores from elsewhere as log weights: column=NAME of the records, or table=URL key=FIELD column=NAME. With
    ngram=A external=B, log_weight = A * n-gram log weight + B * score."""


class OutputSettings(_Settings):
    """Where and how the selection is written."""

    GROUP: ClassVar = "output"

    output: Annotated[str, Mark.COMMON] = ""
    """Directory or URL that receives the chosen records and the report."""

    workdir: Annotated[str, Mark.COMMON] = ""
    """Where checkpoints are kept, so that later runs reuse them; default: `OUTPUT.work`."""

    overwrite: Annotated[bool, Mark.COMMON] = False
    """Replace the selection that is at `output`."""

    compression: Annotated[Literal["auto", "none", "gzip", "zstd"], Mark.WRITES] = "auto"
    """Compression of JSON lines, CSV and TSV parts; auto: that of the raw files, or zstd if they differ."""

    whole_documents: Annotated[bool, Mark.WRITES] = False
    """With chunk: write the documents that contain selected chunks, unchanged, instead of the chunks."""

    example_fields: Annotated[tuple[str, ...], Mark.WRITES] = ()
    """Fields of the records (names or dotted paths) that the report's examples show, such as id or url."""

    @field_validator("example_fields", mode="before")
    @classmethod
    def _example_fields_as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("example_fields")
    @classmethod
    def _example_fields_with_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(all(name.split(".")) for name in value):
            raise ValueError("a field has no name")
        return tuple(dict.fromkeys(value))


class BudgetSettings(_Settings):
    """How much that cannot be read is tolerated."""

    GROUP: ClassVar = "failures"

    max_bad_fraction: Annotated[float, BeforeValidator(share)] = Field(default=0.001, ge=0, le=1)
    """Largest tolerated share of bad records (invalid JSON, no text, ...); above it the run fails."""

    max_bad_shards: int = Field(default=0, ge=0)
    """How many shards may be left out, and reported, because a file of theirs is damaged or because they end every
    worker."""


class ShardSettings(_Settings):
    """How a corpus is cut into units of work."""

    GROUP: ClassVar = "shards"

    shard_bytes: Annotated[int, BeforeValidator(byte_count)] = Field(default=128 * 2**20, ge=1024)
    """Stored bytes of a unit of work, also as 64MB or 128MiB. The selection does not depend on it."""


class RuntimeSettings(_Settings):
    """Who does the work. The selection does not depend on it."""

    GROUP: ClassVar = "runtime"

    workers: int | None = Field(default=None, ge=1)
    """Dask worker processes; default: one per core."""

    keep_bytes: Annotated[int, BeforeValidator(byte_count)] = Field(default=256 * 2**20, ge=0)
    """Memory of each worker in bytes, also as 64MB or 1GiB, for n-grams kept from counting to scoring, so that small
    corpora are read once."""

    inline: bool | None = None
    """Do the work in this process, without Prefect and Dask. Default: for raw of one shard, where the command finds
    no Prefect server and is told no cluster and no workers; a deployment's runs use Dask."""
