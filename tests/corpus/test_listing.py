"""What users name becomes source files with stable paths; files become shards that cover every byte once."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsir_core.corpus.formats.registry import kind_of
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import WHOLE, FileRange, SourceFile
from dsir_core.errors import DamagedFileError, RequestError
from tests.corpus.files import read_all, source, write_parquet


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "a.jsonl",
        "sub/b.jsonl.gz",
        "sub/deep/c.parquet",
        "notes.txt",
        ".hidden.jsonl",
        "_SUCCESS",
        "d.json.zst",
    ):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "corpus"


def paths(*specs: object) -> list[str]:
    return [file.path for file in list_corpus([str(spec) for spec in specs]).files]


def test_a_directory_is_all_files_of_known_kinds_below_it(tree: Path) -> None:
    corpus = list_corpus([str(tree)])
    assert [file.path for file in corpus.files] == [
        "a.jsonl",
        "d.json.zst",
        "sub/b.jsonl.gz",
        "sub/deep/c.parquet",
    ]
    assert set(corpus.ignored) == {"notes.txt", ".hidden.jsonl", "_SUCCESS"}
    assert corpus.root == str(tree)
    assert [(file.format, file.compression) for file in corpus.files] == [
        ("jsonl", "none"), ("jsonl", "zstd"), ("jsonl", "gzip"), ("parquet", "none"),
    ]  # fmt: skip


def test_globs_and_files_have_their_own_roots(tree: Path) -> None:
    assert paths(f"{tree}/sub/*.gz") == ["b.jsonl.gz"]
    assert paths(f"{tree}/**/*.parquet") == ["sub/deep/c.parquet"]
    assert paths(f"{tree}/sub/b.jsonl.gz") == ["b.jsonl.gz"]
    assert paths(f"{tree}/a.jsonl", f"{tree}/sub/b.jsonl.gz") == ["a.jsonl", "sub/b.jsonl.gz"]


def test_another_file_under_a_glob_does_not_change_the_paths(tree: Path) -> None:
    before = paths(f"{tree}/**/*.jsonl*")
    (tree / "sub" / "more").mkdir()
    (tree / "sub" / "more" / "x.jsonl").touch()
    assert paths(f"{tree}/**/*.jsonl*") == sorted([*before, "sub/more/x.jsonl"])


def test_a_file_named_twice_is_taken_once(tree: Path) -> None:
    corpus = list_corpus([str(tree), f"{tree}/a.jsonl"])
    assert [file.path for file in corpus.files].count("a.jsonl") == 1
    assert corpus.duplicates == 1


def test_a_list_file(tree: Path) -> None:
    (tree / "list.txt").write_text(f"# comment\n{tree}/a.jsonl\n\n{tree}/sub/*.gz\n")
    assert paths(f"@{tree}/list.txt") == ["a.jsonl", "sub/b.jsonl.gz"]


def test_a_list_file_may_begin_with_a_byte_order_mark_and_must_name_something(tree: Path) -> None:
    (tree / "list.txt").write_bytes(b"\xef\xbb\xbf" + f"{tree}/a.jsonl\r\n".encode())
    assert paths(f"@{tree}/list.txt") == ["a.jsonl"]
    (tree / "list.txt").write_text("# nothing yet\n")
    with pytest.raises(RequestError, match="list names nothing"):
        paths(f"@{tree}/list.txt")


def test_what_is_passed_over_is_named(tree: Path) -> None:
    (tree / "notes.txt").unlink()
    (tree / "link").symlink_to(tree / "sub")
    assert set(list_corpus([str(tree)]).ignored) == {".hidden.jsonl", "_SUCCESS", "link"}
    (tree / "link").unlink()
    assert set(list_corpus([f"{tree}/*"]).ignored) == {".hidden.jsonl", "_SUCCESS", "sub/"}
    assert list_corpus([f"{tree}/sub/**"]).ignored == ()


@pytest.mark.parametrize("spec", ["{}", "{}/*", "{}/*.jsonl"])
def test_what_is_no_regular_file_is_left_out_of_a_folder_and_named(tree: Path, spec: str) -> None:
    (tree / "notes.txt").unlink()
    os.mkfifo(tree / "pipe.jsonl")
    (tree / "device.jsonl").symlink_to("/dev/null")
    (tree / "loop.jsonl").symlink_to(tree / "loop.jsonl")
    (tree / "folder.jsonl").symlink_to(tree / "sub")
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tree):
        server.bind("socket.jsonl")
    corpus = list_corpus([spec.format(tree)])
    assert corpus.special == ("device.jsonl", "folder.jsonl", "loop.jsonl", "pipe.jsonl", "socket.jsonl")
    assert "a.jsonl" in [file.path for file in corpus.files]


def test_what_is_no_regular_file_is_refused_when_it_is_named(tree: Path) -> None:
    os.mkfifo(tree / "z.jsonl")
    with pytest.raises(RequestError, match=r"z\.jsonl: not a regular file"):
        paths(f"{tree}/z.jsonl")
    with pytest.raises(RequestError, match=r"matches no regular file, only z\.jsonl"):
        paths(f"{tree}/z.*")


def test_names_that_hold_what_chains_urls(tree: Path) -> None:
    (tree / "a::b.jsonl").write_bytes(b'{"text": "x"}\n')
    assert "a::b.jsonl" in paths(tree)
    assert read_all(FileRange(source(tree / "a::b.jsonl"))) == ([(0, "x")], [])


def test_another_line_in_a_list_does_not_change_the_paths_of_the_others(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "x.jsonl"
    other.parent.mkdir()
    other.touch()
    first = tree / "sub" / "b.jsonl.gz"
    (tree / "list.txt").write_text(f"{first}\n")
    assert paths(f"@{tree}/list.txt") == ["sub/b.jsonl.gz"]
    (tree / "list.txt").write_text(f"{first}\n{other}\n")
    assert paths(f"@{tree}/list.txt") == ["../elsewhere/x.jsonl", "sub/b.jsonl.gz"]


def test_a_line_on_another_filesystem_has_its_url_for_a_path(memory: None, tree: Path) -> None:
    (tree / "list.txt").write_text(f"{tree}/a.jsonl\nmemory://bucket/day=1/a.jsonl\n")
    corpus = list_corpus([f"@{tree}/list.txt"])
    assert [file.path for file in corpus.files] == ["a.jsonl", "memory:///bucket/day=1/a.jsonl"]
    assert corpus.root == str(tree)


def test_one_file_under_several_spellings_is_one_file(tree: Path) -> None:
    corpus = list_corpus([f"{tree}/sub/../a.jsonl", f"{tree}//a.jsonl", f"{tree}/./a.jsonl", f"{tree}/a.jsonl"])
    assert [file.path for file in corpus.files] == ["a.jsonl"]
    assert corpus.duplicates == 3


@pytest.mark.parametrize("spec", ["{}", "{}/**/*.jsonl*"])
def test_a_directory_that_may_not_be_read_is_not_left_out(
    tree: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if str(path).rstrip("/").endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(RequestError, match="sub: cannot be listed: Permission denied"):
        paths(spec.format(tree))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{}/none.jsonl", "none.jsonl: no such file"),
        ("{}/*.csv", "matches no file"),
        ("{}/notes.txt", "no known kind"),
        ("{}/*.txt", "no known kind"),
        ("@{}/none.txt", "list cannot be read"),
        ("nosuch://x/*.jsonl", "nosuch"),
    ],
)
def test_what_is_not_there_or_not_known_is_named(tree: Path, spec: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        list_corpus([spec.format(tree)])


@pytest.fixture
def memory() -> Iterator[None]:
    with fsspec.open("memory://bucket/day=1/a.jsonl", "wb") as file:
        file.write(b'{"text": "x"}\n')
    yield
    fsspec.filesystem("memory").store.clear()


def test_urls_of_other_filesystems(memory: None, tree: Path) -> None:
    for spec in ("memory://bucket", "memory:///bucket", "memory://bucket/**/*.jsonl"):
        assert paths(spec) == ["day=1/a.jsonl"]
    both = list_corpus(["memory://bucket", f"{tree}/a.jsonl"])
    assert both.root == ""
    assert [file.path for file in both.files] == [f"{tree}/a.jsonl", "memory:///bucket/day=1/a.jsonl"]


def test_a_version_changes_with_the_file(tree: Path) -> None:
    path = tree / "a.jsonl"
    before = source(path).version
    path.write_bytes(b"other")
    assert source(path).version != before


def test_a_name_that_looks_like_a_glob_is_found(tree: Path) -> None:
    (tree / "a[1].jsonl").touch()
    assert paths(f"{tree}/a[1].jsonl") == ["a[1].jsonl"]


def test_a_link_that_leads_nowhere_is_named(tree: Path) -> None:
    (tree / "link.jsonl").symlink_to(tree / "gone.jsonl")
    with pytest.raises(RequestError, match=r"link\.jsonl: no such file"):
        list_corpus([str(tree)])


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.parquet.gz", "a.jsonl.zip", "jsonl"])
def test_unknown_kinds(name: str) -> None:
    assert kind_of(name) is None


FILES = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from(["none", "gzip"])), min_size=1, max_size=20
).map(
    lambda sizes: [
        SourceFile(f"{i:03}.jsonl", f"{i:03}.jsonl", size, "", "jsonl", kind) for i, (size, kind) in enumerate(sizes)
    ]
)  # fmt: skip


@given(files=FILES, shard_bytes=st.integers(1, 3000))
def test_shards_cover_every_byte_once_in_order(files: list[SourceFile], shard_bytes: int) -> None:
    shards = plan_shards(files, shard_bytes)
    pieces = [file_range for shard in shards for file_range in shard.ranges]
    assert [shard.index for shard in shards] == list(range(len(shards)))
    assert [(file_range.file.path, file_range.start) for file_range in pieces] == sorted(
        (p.file.path, p.start) for p in pieces
    )
    for file in files:
        mine = [(file_range.start, file_range.stop) for file_range in pieces if file_range.file == file]
        if len(mine) == 1:
            assert mine[0] in [(0, WHOLE), (0, file.size)]
            continue
        assert mine[0][0] == 0
        assert mine[-1][1] == file.size
        assert all(a[1] == b[0] for a, b in pairwise(mine))
    assert sum(shard.n_bytes for shard in shards) == sum(file.size for file in files)
    for shard in shards:
        assert shard.n_bytes <= shard_bytes or len(shard.ranges) == 1


def test_a_file_that_comes_changes_few_shards_of_many() -> None:
    files = [SourceFile(f"{i:05}.jsonl", "", 1 + i * 7919 % 300, "", "jsonl", "none") for i in range(5000)]

    def pieces_of(files: list[SourceFile]) -> set[tuple[FileRange, ...]]:
        return {shard.ranges for shard in plan_shards(files, 10_000)}

    before = pieces_of(files)
    changed = []
    for place in range(0, 5000, 50):
        new = SourceFile(f"{place:05}-new.jsonl", "", 100, "", "jsonl", "none")
        changed.append(len(pieces_of(sorted([*files, new], key=lambda file: file.path)) - before))
    assert len(before) < 300
    assert sum(changed) / len(changed) < 3


def test_large_parquet_is_cut_by_row_groups(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["x" * i for i in range(1000)], rows=50)
    pieces = [file_range for shard in plan_shards([source(path)], 5000) for file_range in shard.ranges]
    assert len(pieces) > 3
    assert (pieces[0].start, pieces[-1].stop) == (0, 20)
    assert all(a.stop == b.start for a, b in pairwise(pieces))


def test_a_large_parquet_file_with_a_corrupt_footer_is_found_by_reading_it(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ["x" * i for i in range(1000)], rows=50)
    path.write_bytes(path.read_bytes()[:-1])
    (shard,) = plan_shards([source(path)], 5000)
    assert [(file_range.start, file_range.stop) for file_range in shard.ranges] == [(0, WHOLE)]
    with pytest.raises(DamagedFileError):
        read_all(*shard.ranges)
