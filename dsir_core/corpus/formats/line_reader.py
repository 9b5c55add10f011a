"""The documents in blocks of JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.config.predicate import Condition
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.formats.json_records import TOO_LARGE, BadRecordError, slow_text, text_decoder
from dsir_core.corpus.formats.line_blocks import LineBlock
from dsir_core.corpus.types import BadRecord, Batch
from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.json_lines import LEFT, TAKEN, take_texts
from dsir_core.kernels.json_values import BLOCK
from dsir_core.kernels.utf8 import is_utf8

NEWLINE = ord("\n")

Positions = npt.NDArray[np.int64]
LineFilter = Callable[[Positions], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class _Texts:
    """Texts of lines, one behind the other; empty for those that are not taken."""

    text: npt.NDArray[np.uint8]
    offsets: Positions
    status: npt.NDArray[np.uint8]


class LineReader:
    """Documents of blocks of lines.

    Args:
        path: of the source file, for bad records.
        keep: which of the lines at given positions to read; all when None.
        fields: other fields (dotted paths) whose values are wanted.
    """

    def __init__(
        self,
        path: str,
        settings: ReadSettings,
        *,
        keep_records: bool,
        keep: LineFilter | None,
        fields: tuple[str, ...] = (),
    ) -> None:
        self._path = path
        self._settings = settings
        self._decode = text_decoder(settings)
        self._key = _plain_key(settings.text_field)
        self._keep_records = keep_records
        self._keep = keep
        self._condition = Condition.of(settings.include, settings.exclude)
        self._condition_values = field_decoder(self._condition.fields) if self._condition else None
        self._field_values = field_decoder(fields) if fields else None

    def batch(self, block: LineBlock) -> Batch:
        """The documents and bad records of a block."""
        if block.too_large:
            return self._empty([self._too_large(block.position)])
        starts, stops = _lines(block.data)
        if self._keep is not None:
            kept = np.flatnonzero(self._keep(block.position + starts))
            starts, stops = starts[kept], stops[kept]
        n_read = len(starts)
        if self._condition is not None:
            included = self._included(block.data, starts, stops)
            starts, stops = starts[included], stops[included]
        texts = self._fast_texts(block.data, starts, stops)
        left = np.flatnonzero(texts.status == LEFT)
        slow, bad = self._slow_texts(block, starts, stops, left)
        taken = texts.status == TAKEN
        taken[list(slow)] = True
        data, offsets = _joined(texts, taken, slow)
        records = None
        if self._keep_records:
            spans = zip(starts[taken].tolist(), stops[taken].tolist(), strict=True)
            records = [block.data[start:stop] for start, stop in spans]
        n_bytes = len(block.data) if self._keep is None else int((stops - starts).sum())
        found = Batch(block.position + starts[taken], data, offsets, bad, records, n_bytes, n_read - len(starts))
        if self._field_values is not None:
            spans = zip(starts[taken].tolist(), stops[taken].tolist(), strict=True)
            found.fields = [self._field_values(block.data[start:stop]) or [] for start, stop in spans]
        return found

    def _included(self, data: bytes, starts: Positions, stops: Positions) -> npt.NDArray[np.bool_]:
        """bool[n]: lines that meet the condition, and those that are no objects: the text's decoder judges them."""
        assert self._condition is not None
        assert self._condition_values is not None
        limit = self._settings.max_record_bytes
        kept = np.ones(len(starts), bool)
        for i, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            if stop - start <= limit:
                values = self._condition_values(data[start:stop])
                kept[i] = values is None or self._condition.holds(values)
        return kept

    def _fast_texts(self, data: bytes, starts: Positions, stops: Positions) -> _Texts:
        """What the compiled decoder takes: nothing where several fields, or one inside another, are wanted."""
        offsets = np.zeros(len(starts) + 1, np.int64)
        if self._key is None or not _is_utf8(data):
            return _Texts(np.empty(0, np.uint8), offsets, np.full(len(starts), LEFT, np.uint8))
        text, status = np.empty(len(data) + BLOCK, np.uint8), np.empty(len(starts), np.uint8)
        limit = self._settings.max_record_bytes
        take_texts(
            np.frombuffer(data, np.uint8),
            read_only(starts, np.int64),
            read_only(stops, np.int64),
            self._key,
            limit,
            text,
            offsets,
            status,
        )
        return _Texts(text, offsets, status)

    def _slow_texts(
        self, block: LineBlock, starts: Positions, stops: Positions, left: npt.NDArray[np.intp]
    ) -> tuple[dict[int, bytes], list[BadRecord]]:
        """Texts by line, and bad records, of the lines that the fast decoder has left."""
        texts: dict[int, bytes] = {}
        bad: list[BadRecord] = []
        limit = self._settings.max_record_bytes
        for i in left.tolist():
            line = block.data[starts[i] : stops[i]]
            if not line or line.isspace():
                continue
            try:
                if len(line) > limit:
                    raise BadRecordError(f"{TOO_LARGE}: over {limit:,} bytes")
                # The fast decoders do not look at the bytes of fields that they skip.
                text = self._decode(line) if _is_utf8(line) else slow_text(line, self._settings.text_field)
            except BadRecordError as error:
                bad.append(BadRecord(self._path, block.position + int(starts[i]), str(error)[:200]))
                continue
            texts[i] = text.encode()
        return texts, bad

    def _too_large(self, position: int) -> BadRecord:
        return BadRecord(self._path, position, f"{TOO_LARGE}: over {self._settings.max_record_bytes:,} bytes")

    def _empty(self, bad: list[BadRecord]) -> Batch:
        records: list[bytes] | None = [] if self._keep_records else None
        return Batch(np.empty(0, np.int64), np.empty(0, np.uint8), np.zeros(1, np.int64), bad, records, 0)


def _plain_key(fields: tuple[str, ...]) -> npt.NDArray[np.uint8] | None:
    """The name of a single field of the record itself, as it stands in a line."""
    if len(fields) > 1 or "." in fields[0]:
        return None
    return np.frombuffer(fields[0].encode(), np.uint8)


def _is_utf8(data: bytes) -> bool:
    return data.isascii() or bool(is_utf8(np.frombuffer(data, np.uint8)))


def _lines(data: bytes) -> tuple[Positions, Positions]:
    """Where lines begin, and where they end without their line end: int64[n] each."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE)
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    return starts, ends


def _joined(
    texts: _Texts, taken: npt.NDArray[np.bool_], slow: dict[int, bytes]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Text buffers of the lines taken, the slow decoder's among those of the fast one."""
    lengths = np.diff(texts.offsets)
    parts: list[npt.NDArray[np.uint8]] = []
    done = 0
    for i, text in slow.items():
        parts += [texts.text[done : texts.offsets[i]], np.frombuffer(text, np.uint8)]
        done = int(texts.offsets[i])
        lengths[i] = len(text)
    offsets = np.zeros(int(taken.sum()) + 1, np.int64)
    np.cumsum(lengths[taken], out=offsets[1:])
    if not parts:
        return texts.text, offsets
    return np.concatenate([*parts, texts.text[done : texts.offsets[-1]]]), offsets
