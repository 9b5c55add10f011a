"""What stages and executors know of the task of one shard, whatever is to be done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from dsir_core.checkpoints.kinds import Kind
from dsir_core.config.features import FeatureSettings
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.types import Shard
from dsir_core.features import TOKENIZER_VERSION
from dsir_core.shards.reading import identity


@dataclass(frozen=True)
class ShardTask(ABC):
    """The task of one shard, whose result is a checkpoint."""

    kind: ClassVar[Kind]
    """Of the checkpoint."""
    workdir: str

    @property
    @abstractmethod
    def depends(self) -> dict[str, Any]:
        """All that the checkpoint depends on beside its format, as plain JSON or pydantic models."""

    @property
    def key(self) -> str:
        """Key of the checkpoint."""
        return self.kind.key(self.depends)

    @property
    def checkpoint(self) -> str:
        """`KIND/KEY` of the checkpoint."""
        return self.kind.name(self.key)

    @property
    def n_bytes(self) -> int:
        """Stored bytes of source files that are read, by which executors put small tasks together."""
        return 0

    @property
    def place(self) -> str:
        """Names what a process may keep of the shard: a later task of the same place best runs there; "" for none."""
        return ""

    @property
    def keeps(self) -> bool:
        """Whether the process that runs this task may keep something under `place` in `ngram_cache.NGRAM_CACHE`."""
        return False


@dataclass(frozen=True)
class SourceTask(ShardTask):
    """A task that reads its shard's source files."""

    shard: Shard
    read: ReadSettings
    features: FeatureSettings

    @property
    def source(self) -> dict[str, Any]:
        """What the shard's n-grams depend on, as plain JSON or pydantic models."""
        return {
            "tokenizer": TOKENIZER_VERSION,
            "features": self.features,
            "shard": identity(self.shard, self.read),
        }

    @property
    def n_bytes(self) -> int:
        """Stored bytes of the shard's file ranges."""
        return self.shard.n_bytes
