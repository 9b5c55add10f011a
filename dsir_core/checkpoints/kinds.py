"""The kinds of checkpoints in a workdir: the one table that keys, records, `dsir status` and workers go by.

A new kind is one constant, listed in `KINDS`. A kind's version changes whenever the same inputs would give other bytes,
or bytes that mean something else. It is part of each key that `Kind.key` makes, and workers refuse to work for a run
that has another. Models and counts of raw are named by their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dsir_core.digests import digest

Codec = Literal["npy", "npz", "parquet", "json", "jsonl", "bin"]


@dataclass(frozen=True)
class Kind:
    """One kind of checkpoint."""

    folder: str
    """Inside the workdir."""
    version: int
    """Of the data's format and of what is computed."""
    codec: Codec
    """How the data are written, and the suffix of their files."""
    words: str
    """What `dsir status` calls the complete ones."""
    has_receipt: bool = True
    """Whether a receipt stands beside the data; else a file is complete once it is there."""

    @property
    def format(self) -> str:
        """Folder and version, as in keys and in `shards.versions`."""
        return f"{self.folder}-v{self.version}"

    @property
    def suffix(self) -> str:
        """End of the names of data files."""
        return f".{self.codec}"

    @property
    def complete_suffix(self) -> str:
        """End of the name of the file that shows a checkpoint complete."""
        return ".json" if self.has_receipt else self.suffix

    def key(self, depends: Mapping[str, Any]) -> str:
        """Key of a checkpoint: 64 hexadecimal digits.

        Args:
            depends: all that the data depend on, as plain JSON or pydantic models.
        """
        return digest({"format": self.format, **depends})

    def name(self, key: str) -> str:
        """`FOLDER/KEY`, as records name a checkpoint."""
        return f"{self.folder}/{key}"


COUNTS = Kind("counts", 2, "npy", "shards counted")
RAW_MODEL = Kind("raw-model", 1, "npy", "counts of raw that a model was fitted on")
DOCUMENTS = Kind("documents", 1, "npz", "shards with sampled documents")
CLASSIFIER = Kind("classifier", 2, "npz", "classifiers")
RECOVERY = Kind("recovery", 2, "npz", "targets whose recovery is measured")
MODEL = Kind("model", 2, "npz", "models")
EXTERNAL = Kind("external", 1, "npz", "shards joined to a table of scores")
WEIGHTS = Kind("weights", 1, "parquet", "shards scored")
HASHES = Kind("hashes", 1, "bin", "shards whose texts are hashed")
COPIES = Kind("copies", 1, "bin", "parts of all hashes in which copies are found")
MARKED = Kind("marked", 1, "parquet", "shards with copies marked")
SCORE = Kind("score", 1, "json", "lists of weights", has_receipt=False)
SELECTION = Kind("selection", 6, "parquet", "shards resampled")
OVERVIEW = Kind("overview", 4, "jsonl", "shards with figures for the report")
EXTRACT = Kind("extract", 7, "npy", "shards whose records are taken")
COMPARISON = Kind("comparison", 1, "npy", "shards compared")
QUARANTINE = Kind("quarantine", 1, "jsonl", "shards with bad records, listed there", has_receipt=False)

KINDS = (
    *(
        COUNTS,
        RAW_MODEL,
        DOCUMENTS,
        CLASSIFIER,
        RECOVERY,
        MODEL,
        EXTERNAL,
        WEIGHTS,
        HASHES,
        COPIES,
        MARKED,
        SCORE,
        SELECTION,
        OVERVIEW,
        EXTRACT,
    ),
    *(COMPARISON, QUARANTINE),
)
"""In the order of the stages."""
