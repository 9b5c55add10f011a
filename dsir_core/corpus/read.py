"""Documents of a range of a source file, in batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.chunking import cut_batch
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.source import damaged
from dsir_core.corpus.types import Batch, BlockFilter, FileRange, ReadRequest
from dsir_core.runtime.cancellation import check_cancelled


def read_range(
    file_range: FileRange,
    settings: ReadSettings,
    *,
    keep_records: bool = False,
    positions: npt.NDArray[np.int64] | None = None,
    keep_block: BlockFilter | None = None,
    fields: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Documents of a range of a file in batches of a few megabytes, in order of position; a batch may have none.

    With `chunk` in the settings the batches hold chunks of documents, and no records.

    Args:
        file_range: what to read.
        settings: where the text stands, and how large a record may be.
        keep_records: give the records as they were, too.
        positions: int64[n], increasing: read these documents only, each of which must be there.
        keep_block: which blocks (int64[b] of numbers) to read; a record is in block `position // BLOCK_BYTES` where
            positions are byte offsets, and `position // BLOCK_ROWS` where they are row numbers.
        fields: other fields (dotted paths) whose values are wanted.

    Raises:
        DamagedFileError: the file cannot be read whole, or has changed.
        RequestError: a file with named columns has no such column.
        OSError: of the storage.
    """
    found = 0
    how = ReadRequest(keep_records, positions, keep_block, fields)
    for batch in format_of(file_range.file).read(file_range, settings, how):
        check_cancelled()
        found += len(batch)
        yield batch if settings.chunk is None else cut_batch(batch, settings.chunk.words)
    if positions is not None and found != len(positions):
        raise damaged(file_range.file, f"holds {found:,} of {len(positions):,} documents chosen from it: changed")
