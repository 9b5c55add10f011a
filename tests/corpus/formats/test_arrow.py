"""Arrow IPC: what contradicts itself is damage, and no file makes a reader hold more than the limit."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dsir_core.corpus.formats import arrow_messages
from dsir_core.corpus.formats.registry import format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import FileRange
from dsir_core.errors import DamagedFileError, RequestError
from tests.corpus.files import SETTINGS, positions, read_all, source

TEXTS = [f"text {i} \u6f22" for i in range(300)]
LAYOUTS = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}


def write(path: Path, table: pa.Table, layout: str = "file", rows: int = 100, compression: str | None = None) -> Path:
    """A table in batches of some rows."""
    with LAYOUTS[layout](path, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
         pa.dictionary(pa.int32(), pa.string())]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_text_of_every_kind(tmp_path: Path, kind: pa.DataType, layout: str) -> None:
    texts = pa.array(TEXTS)
    column = texts.dictionary_encode() if pa.types.is_dictionary(kind) else texts.cast(kind)
    path = write(tmp_path / "a.arrow", pa.table({"text": column, "n": range(300)}), layout)
    assert read_all(FileRange(source(path))) == (list(enumerate(TEXTS)), [])
    chosen = positions(0, 99, 100, 299)
    batches = [b for b in read_range(FileRange(source(path)), SETTINGS, keep_records=True, positions=chosen) if len(b)]
    assert [row["n"] for batch in batches for row in batch.records.to_pylist()] == chosen.tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("keep_records", [False, True])
def test_text_that_is_no_utf8_is_a_bad_row(tmp_path: Path, layout: str, keep_records: bool) -> None:
    data = pa.array([b"a", None, b"\xff", b"", b"b"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 5, data.buffers())
    path = write(tmp_path / "a.arrow", pa.table({"text": text, "other": text}), layout, rows=3)
    assert read_all(FileRange(source(path)), keep_records=keep_records) == ([(0, "a"), (3, ""), (4, "b")], [1, 2])


def test_dictionaries_that_differ_between_files_share_a_part(tmp_path: Path) -> None:
    kinds = set()
    for name in "ab":
        table = pa.table({"text": pa.array([name, name, "x"]).dictionary_encode()})
        (batch,) = read_range(FileRange(source(write(tmp_path / f"{name}.arrow", table))), SETTINGS, keep_records=True)
        kinds.add(format_of(source(tmp_path / f"{name}.arrow")).kind_of(batch.records))
    assert len(kinds) == 1


def test_a_stream_replaces_and_extends_its_dictionaries(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    some = [pa.array(["a", "b"]), pa.array(["a", "b", "c"]), pa.array(["z"])]
    batches = [pa.record_batch({"text": array.dictionary_encode()}) for array in some]
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(path, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    documents, _ = read_all(FileRange(source(path)))
    assert [text for _, text in documents] == ["a", "b", "a", "b", "c", "z"]


def test_a_stream_without_its_marker_was_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", pa.table({"text": TEXTS}), "stream")
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    with pytest.raises(DamagedFileError, match="without its end-of-stream marker"):
        read_all(FileRange(source(path)))
    path.write_bytes(whole + b"more")
    with pytest.raises(DamagedFileError, match="4 bytes stand behind"):
        read_all(FileRange(source(path)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_a_flipped_bit_is_damage_or_changes_texts_alone(tmp_path: Path, layout: str, compression: str | None) -> None:
    path = write(tmp_path / "a.arrow", pa.table({"text": TEXTS}), layout, 50, compression)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        flipped = bytearray(whole)
        place = rng.randrange(len(whole))
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        try:
            documents, bad = read_all(FileRange(source(path)))
        except (DamagedFileError, RequestError):
            continue
        assert len(documents) + len(bad) == len(TEXTS)


def test_a_footer_that_leaves_out_a_batch_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.arrow", pa.table({"text": TEXTS}), rows=100)
    whole = bytearray(path.read_bytes())
    (n,) = struct.unpack("<i", whole[-10:-6])
    start = len(whole) - 10 - n
    places = [i for i in range(start, len(whole) - 10, 4) if whole[i : i + 4] == b"\x03\0\0\0"]
    found = 0
    for place in places:
        corrupt = bytearray(whole)
        corrupt[place] = 2
        path.write_bytes(corrupt)
        try:
            assert len(read_all(FileRange(source(path)))[0]) == 300
        except DamagedFileError:
            found += 1
    assert found


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_batch_over_the_limit_is_refused_before_it_is_held(
    tmp_path: Path, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.arrow", pa.table({"text": ["x" * 1000] * 1000}), rows=1000, compression=compression)
    monkeypatch.setattr(arrow_messages, "MAX_BATCH_BYTES", 10**5)
    decoded: list[Any] = []
    monkeypatch.setattr(pa.ipc, "open_stream", lambda *args, **options: decoded.append(args))
    with pytest.raises(DamagedFileError, match="write the file anew with smaller batches"):
        read_all(FileRange(source(path)))
    assert decoded == []


def test_ranges_are_record_batches_and_a_stream_is_read_whole(tmp_path: Path) -> None:
    table = pa.table({"text": TEXTS * 10})
    file = source(write(tmp_path / "a.arrow", table))
    ranges = [file_range for shard in plan_shards([file], file.size // 4) for file_range in shard.ranges]
    assert len(ranges) > 3
    assert (ranges[0].start, ranges[-1].stop) == (0, 30)
    stream = source(write(tmp_path / "b.arrow", table, "stream"))
    assert [shard.ranges for shard in plan_shards([stream], stream.size // 4)] == [(FileRange(stream),)]


def test_record_batches_that_are_no_longer_there(tmp_path: Path) -> None:
    file = source(write(tmp_path / "a.arrow", pa.table({"text": TEXTS})))
    with pytest.raises(DamagedFileError, match="fewer record batches"):
        read_all(FileRange(file, 2, 5))


def test_only_the_batches_that_are_wanted_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = source(write(tmp_path / "a.arrow", pa.table({"text": TEXTS}), rows=10))
    opened = pa.ipc.open_stream
    decoded: list[Any] = []
    monkeypatch.setattr(
        pa.ipc, "open_stream", lambda *args, **options: (decoded.append(args), opened(*args, **options))[1]
    )
    assert read_all(FileRange(file), positions=np.array([155], np.int64))[0] == [(155, TEXTS[155])]
    assert len(decoded) == 2


def test_feather_of_version_1_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(DamagedFileError, match="looks like Feather version 1: write it anew as version 2"):
        read_all(FileRange(source(tmp_path / "a.feather")))
