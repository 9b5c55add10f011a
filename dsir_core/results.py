"""What the public functions return: figures with attributes, and what a notebook shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dsir_core.checkpoints.store import Store
from dsir_core.config.storage import StorageSettings
from dsir_core.errors import RunFailedError
from dsir_core.report.formatting import counted
from dsir_core.storage.connect import storage_settings
from dsir_core.urls import without_credentials

if TYPE_CHECKING:
    import pyarrow as pa

SELECTED = "selected.parquet"


@dataclass(frozen=True, repr=False)
class Selection:
    """A finished selection."""

    output: str
    """Directory or URL that holds the parts, selected.parquet and the report."""
    figures: dict[str, Any]
    """The content of report.json."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    """How the output is reached."""

    @property
    def documents(self) -> int:
        """How many documents were selected."""
        return int(self.figures["documents"]["selected"])

    @property
    def tokens(self) -> int:
        """How many tokens they have."""
        return int(self.figures["tokens"]["selected"])

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """By target: documents, tokens, selected, kl_raw, kl_selected and kl_reduction."""
        return dict(self.figures["targets"])

    @property
    def recovery(self) -> dict[str, float]:
        """By who selects: the share of held-out target documents that would have been selected (docs/recovery.md)."""
        return {name: found["recovered"] for name, found in self.figures["recovery"].items()}

    @property
    def kl_reduction(self) -> float | None:
        """How much nearer to the targets the selection is than raw: nats, the mean over the targets."""
        found: float | None = self.figures["kl_reduction"]
        return found

    @property
    def effective_sample_size(self) -> float:
        """Of the eligible documents by their weights; the smallest where several targets select."""
        return float(self.figures["weights"]["effective_sample_size"])

    @property
    def selection_digest(self) -> str:
        """SHA-256 over the sorted (file, position) pairs: the same digest, the same selection."""
        return str(self.figures["selection_digest"])

    @property
    def notes(self) -> list[str]:
        """Warnings."""
        return list(self.figures["notes"])

    @property
    def parts(self) -> list[str]:
        """Paths or URLs of the files with the selected records."""
        return [f"{self.output.rstrip('/')}/{part['name']}" for part in self.figures["parts"]]

    @property
    def page(self) -> str:
        """Path or URL of report.html."""
        return f"{self.output.rstrip('/')}/report.html"

    def selected(self) -> pa.Table:
        """The list of selected documents: file, position, n_tokens, log_weight, key, target.

        Raises:
            RunFailedError: selected.parquet is damaged.
        """
        with storage_settings(self.storage):
            return _read_table(Store(self.output), SELECTED)

    def __repr__(self) -> str:
        size = f"{counted(self.documents, 'document')}, {counted(self.tokens, 'token')}"
        return f"<Selection: {size} in {without_credentials(self.output)}>"

    def _repr_html_(self) -> str:
        """The report's first sections, as a notebook shows them."""
        from dsir_core.report.html import render_summary

        return render_summary(self.figures)


@dataclass(frozen=True, repr=False)
class Weights:
    """Log weights of all documents of raw, in the workdir."""

    workdir: str
    """Directory or URL."""
    listing: str
    """Name in the workdir of the JSON list of the files."""
    columns: tuple[str, ...]
    """Names of the log-weight columns, one for each target that selects."""
    files: tuple[str, ...]
    """Names in the workdir of the weights files, in order of shards."""
    documents: int
    """Documents scored."""
    model_digest: str
    """SHA-256 of the model."""
    storage: StorageSettings = field(default_factory=StorageSettings)
    """How the workdir is reached."""

    def __repr__(self) -> str:
        return f"<Weights: {counted(self.documents, 'document')} in {without_credentials(self.workdir)}>"

    def tables(self) -> Iterator[pa.Table]:
        """The weights of one shard after another: file, position, n_tokens, log_weight.

        Raises:
            RunFailedError: a weights file is gone or damaged.
        """
        for name in self.files:
            with storage_settings(self.storage):
                table = _read_table(Store(self.workdir), name)
            yield table

    def read(self) -> pa.Table:
        """All weights as one table, in memory.

        Raises:
            RunFailedError: a weights file is gone or damaged.
        """
        import pyarrow as pa

        return pa.concat_tables(self.tables()).unify_dictionaries()


@dataclass(frozen=True, repr=False)
class Comparison:
    """What each method would select, side by side."""

    output: str
    """Directory or URL that holds compare.html and compare.json."""
    figures: dict[str, Any]
    """The content of compare.json."""

    @property
    def methods(self) -> dict[str, dict[str, Any]]:
        """By method: documents, tokens, kl_reduction, effective_sample_size, precision, and more."""
        return dict(self.figures["methods"])

    @property
    def overlap(self) -> Mapping[str, Mapping[str, float | None]]:
        """By two methods: the share of the first's documents that the second chooses, too."""
        return dict(self.figures["overlap"])

    @property
    def notes(self) -> list[str]:
        """Warnings."""
        return list(self.figures["notes"])

    @property
    def page(self) -> str:
        """Path or URL of compare.html."""
        return f"{self.output.rstrip('/')}/compare.html"

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(self.methods)} in {without_credentials(self.output)}>"

    def _repr_html_(self) -> str:
        """The methods' figures, distances and overlap, as a notebook shows them."""
        from dsir_core.report.comparison import comparison_fragment

        return comparison_fragment(self.figures)


def _read_table(store: Store, name: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with store.open(name) as stream:
            return pq.ParquetFile(stream, page_checksum_verification=True).read()
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFailedError(f"{store.redacted}/{name} cannot be read: {error}") from error
