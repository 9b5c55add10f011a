"""A damaged file never passes for a short one, and the storage's own errors are not called damage."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from fsspec.implementations.local import LocalFileSystem

from dsir_core.config.reading import ReadSettings
from dsir_core.corpus import compression
from dsir_core.corpus import source as storage
from dsir_core.corpus.formats.registry import ENTRIES
from dsir_core.corpus.read import read_range
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import FileRange, SourceFile
from dsir_core.errors import DamagedFileError, RequestError
from tests.corpus.files import PACK, lines, oracle, read_all, source, write_parquet

TEXTS = [f"document {i} " + "".join(random.Random(i).choices("abcdef ghij", k=80)) for i in range(400)]
DATA = lines(TEXTS)


def packed(suffix: str) -> bytes:
    return bytes(PACK[suffix](DATA))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_truncated_anywhere_is_damaged(tmp_path: Path, suffix: str) -> None:
    whole = packed(suffix)
    path = tmp_path / f"a.jsonl{suffix}"
    for n in {
        0,
        1,
        5,
        *range(10, len(whole), len(whole) // 40),
        len(whole) - 9,
        len(whole) - 4,
        len(whole) - 1,
    }:
        path.write_bytes(whole[:n])
        with pytest.raises(DamagedFileError, match=r"a\.jsonl"):
            read_all(FileRange(source(path)))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_a_second_member_truncated_anywhere_is_damaged(tmp_path: Path, suffix: str) -> None:
    first = packed(suffix)
    path = tmp_path / f"a.jsonl{suffix}"
    for n in {*range(1, 30), *range(30, len(first), len(first) // 20), len(first) - 1}:
        path.write_bytes(first + first[:n])
        with pytest.raises(DamagedFileError):
            read_all(FileRange(source(path)))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_a_flipped_bit_is_damage_or_changes_nothing(tmp_path: Path, suffix: str) -> None:
    whole = packed(suffix)
    path = tmp_path / f"a.jsonl{suffix}"
    found = 0
    for place in random.Random(0).sample(range(len(whole)), 60):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            # A few bits mean nothing: a time stamp, a name, an operating system.
            assert read_all(FileRange(source(path))) == oracle(DATA)
        except DamagedFileError:
            found += 1
    assert found > 50


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_rubbish_behind_the_end_is_damage(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(packed(suffix) + b"rubbish and more of it")
    with pytest.raises(DamagedFileError):
        read_all(FileRange(source(path)))


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_members_one_behind_the_other_are_read_whole(tmp_path: Path, suffix: str) -> None:
    half = DATA.index(b"\n", len(DATA) // 2) - 7
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACK[suffix](DATA[:half]) + PACK[suffix](b"") + PACK[suffix](DATA[half:]))
    assert read_all(FileRange(source(path))) == oracle(DATA)


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz"])
def test_a_second_member_that_begins_wrong_is_damage(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl{suffix}"
    second = bytearray(packed(suffix))
    second[1] ^= 0xFF
    path.write_bytes(packed(suffix) + second)
    with pytest.raises(DamagedFileError):
        read_all(FileRange(source(path)))


@pytest.mark.parametrize("padding", [4, 8, compression.PACKED_BYTES, 3 * compression.PACKED_BYTES])
def test_xz_stream_padding(tmp_path: Path, padding: int) -> None:
    path = tmp_path / "a.jsonl.xz"
    half = len(DATA) // 2
    path.write_bytes(PACK[".xz"](DATA[:half]) + b"\0" * padding + PACK[".xz"](DATA[half:]) + b"\0" * padding)
    assert read_all(FileRange(source(path))) == oracle(DATA)


def test_zstd_skippable_frames_and_long_windows(tmp_path: Path) -> None:
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    options = {
        zstd.CompressionParameter.window_log: 28,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(skippable + zstd.compress(DATA, options=options) + skippable)
    assert read_all(FileRange(source(path))) == oracle(DATA)


def first_bytes(kind: str) -> bytes:
    magics = {
        **{name: codec.magic for name, codec in compression.CODECS.items()},
        **{entry.title: entry.magic for entry in ENTRIES.values()},
        **{name: (magic,) for name, magic in storage.OTHERS.items()},
    }
    return magics[kind][0]


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bz2", "xz", "Parquet", "zip", "UTF-16"])
def test_plain_lines_that_are_none_are_named_for_what_they_are(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(first_bytes(kind) + b"rest")
    with pytest.raises(DamagedFileError, match=f"looks like {kind}"):
        read_all(FileRange(source(path)))


def test_utf16_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(DATA.decode().encode("utf-16-le"))
    with pytest.raises(DamagedFileError, match="looks like UTF-16: convert it to UTF-8"):
        read_all(FileRange(source(path)))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl.bz2", "a.jsonl.xz", "a.parquet"])
def test_packed_files_that_are_none_say_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(DATA)
    with pytest.raises(DamagedFileError, match="is named as"):
        read_all(FileRange(source(path)))


def test_an_empty_plain_file_has_no_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert read_all(FileRange(source(tmp_path / "a.jsonl"))) == ([], [])


def test_parquet_truncated_or_flipped(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    whole = path.read_bytes()
    expected = read_all(FileRange(source(path)))
    for n in (0, 3, 100, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(DamagedFileError):
            read_all(FileRange(source(path)))
    found = 0
    for place in random.Random(1).sample(range(len(whole)), 80):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert read_all(FileRange(source(path))) == expected
        except (DamagedFileError, RequestError):
            found += 1
    assert found > 50


def test_no_corrupt_footer_of_parquet_passes_for_a_shorter_file(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS[:20], rows=7)  # one bit less is 6
    whole = path.read_bytes()
    expected = read_all(FileRange(source(path)))
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    schema = whole.index(b"ARROW:schema")  # what follows is read by nobody before the data is
    found = 0
    for place in range(footer, schema):
        corrupt = bytearray(whole)
        corrupt[place] ^= 2
        path.write_bytes(corrupt)
        for options in ({}, {"keep_records": True}):
            try:
                assert read_all(FileRange(source(path)), **options) == expected
            except (DamagedFileError, RequestError):
                found += 1
    assert found > 100


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.bz2", "a.parquet"])
def test_storage_that_stops_early_is_not_the_end_of_the_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        write_parquet(path, TEXTS)
    else:
        path.write_bytes(PACK.get(path.suffix, bytes)(DATA))
    file = source(path)
    end = DATA.index(b"\n", file.size // 2) + 1 if name == "a.jsonl" else file.size // 2

    class Stops(io.FileIO):
        """Says how large it is, and has nothing more to give from some place on."""

        def read(self, size: int | None = -1) -> bytes:
            left = max(0, end - self.tell())
            return super().read(left if size is None or size < 0 else min(size, left))

        def readinto(self, buffer: Any) -> int:
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

        readall = read

    monkeypatch.setattr(LocalFileSystem, "open", lambda filesystem, path, mode, **options: Stops(path, mode))
    # Parquet is read from its end, where nothing is.
    said = "corrupt Parquet" if name == "a.parquet" else f"ends after {end:,} of {file.size:,} bytes"
    with pytest.raises(DamagedFileError, match=said):
        read_all(FileRange(file))


def test_row_groups_that_are_no_longer_there(tmp_path: Path) -> None:
    file = source(write_parquet(tmp_path / "a.parquet", TEXTS, rows=100))
    with pytest.raises(DamagedFileError, match="row groups"):
        read_all(FileRange(file, 2, 5))


def test_a_file_that_changed_since_it_was_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(DATA)
    file = source(path)
    path.write_bytes(DATA[:-10])
    with pytest.raises(DamagedFileError, match="changed since it was planned"):
        read_all(FileRange(file))


def test_storage_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = SourceFile("a.jsonl", str(tmp_path / "a.jsonl"), 5, "", "jsonl", "none")
    with pytest.raises(FileNotFoundError):
        read_all(FileRange(gone))
    for name in ("a.jsonl.gz", "a.parquet"):
        path = tmp_path / name
        path.write_bytes(packed(".gz")) if name.endswith(".gz") else write_parquet(path, TEXTS)
        file = source(path)
        with monkeypatch.context() as patch:
            patch.setattr(storage.Source, "read", _broken(storage.Source.read))
            with pytest.raises(ConnectionResetError):
                read_all(FileRange(file))


def _broken(read):  # type: ignore[no-untyped-def]
    def fail(self, size=-1):  # type: ignore[no-untyped-def]
        if size == 8 and self.tell() == 0:
            return read(self, size)  # the look at the magic
        self.error = ConnectionResetError(os.strerror(104))
        raise self.error

    return fail


def test_a_change_of_the_same_size_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(DATA)
    file = source(path)
    path.write_bytes(DATA.replace(b"document", b"DOCUMENT"))
    with pytest.raises(DamagedFileError, match="changed since it was planned"):
        read_all(FileRange(file))


def test_a_change_while_it_is_read_is_seen(tmp_path: Path) -> None:
    """The second half is of another content, as long as the first: every line is good."""
    path = tmp_path / "a.jsonl"
    line = b'{"text": "%s"}\n'
    path.write_bytes(line % b"a" * 200_000)
    batches = read_range(FileRange(source(path)), ReadSettings())
    next(batches)
    path.write_bytes(line % b"b" * 200_000)
    with pytest.raises(DamagedFileError, match="changed since it was planned"):
        list(batches)


def test_a_large_damaged_parquet_file_is_left_to_its_shard(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    path.write_bytes(path.read_bytes()[:-20])
    (shard,) = plan_shards([source(path)], 1000)
    with pytest.raises(DamagedFileError):
        read_all(*shard.ranges)
