"""Files on remote filesystems: paths of their own, only the bytes that are needed, and no credentials shown."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dsir_core.config.request import parse_config
from dsir_core.corpus import source
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.source import version_of
from dsir_core.corpus.types import BLOCK_BYTES, FileRange, SourceFile
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from dsir_core.urls import without_credentials
from tests.corpus.files import PACK, lines, oracle, positions, read_all, write_parquet
from tests.corpus.remote import FETCHED, OBJECTS, BucketFileSystem

DATA = lines("x" * 3000 for _ in range(10_000))


@pytest.fixture(autouse=True)
def bucket() -> Iterator[None]:
    fsspec.register_implementation("bucket", BucketFileSystem, clobber=True)
    yield
    OBJECTS.clear()
    FETCHED.clear()


def listed(spec: str) -> SourceFile:
    (file,) = list_corpus([spec]).files
    FETCHED.clear()
    return file


def test_paths_in_several_buckets_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    OBJECTS.update({"one/a.jsonl": b"", "two/a.jsonl": b"", "two/deep/b.jsonl": b""})
    monkeypatch.chdir(tmp_path)
    corpus = list_corpus(["bucket://one/*.jsonl", "bucket://two"])
    assert [file.path for file in corpus.files] == ["one/a.jsonl", "two/a.jsonl", "two/deep/b.jsonl"]
    assert [file.url for file in corpus.files] == [f"bucket://{file.path}" for file in corpus.files]
    assert [file.version for file in corpus.files] == ["tag"] * 3
    assert [file.path for file in list_corpus(["bucket://two/**/*.jsonl"]).files] == ["a.jsonl", "deep/b.jsonl"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Last-Modified", "Sat, 28 Nov 2026 01:08:35 GMT"),  # HTTP
        ("blob_id", "5f1d9c"), ("lfs", {"sha256": "ab", "size": 5}),  # the Hub
        ("modificationTime", 1764288515000),  # webhdfs
        ("modify", "20261128010835"),  # FTP
        ("sha", "e69de29b"),  # GitHub
    ],
)  # fmt: skip
def test_a_version_by_whatever_name_storage_reports_it(name: str, value: object) -> None:
    assert version_of({"name": "a", "size": 5, name: value}) == str(value)


def test_a_file_without_a_version_is_another_one_in_each_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "VERSIONS", ())
    OBJECTS["one/a.jsonl"] = DATA
    first, second = (list_corpus(["bucket://one"]) for _ in range(2))
    assert first.unversioned == second.unversioned == 1
    assert first.files[0].version != second.files[0].version
    assert read_all(FileRange(first.files[0])) == oracle(DATA)


def test_what_was_computed_from_files_without_a_version_is_not_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "VERSIONS", ())
    OBJECTS["one/a.jsonl"] = lines(f"word{i} and more words" for i in range(300))
    (tmp_path / "t.jsonl").write_bytes(lines(f"word{i} and" for i in range(20)))
    settings = {"raw": ["bucket://one"], "target": {"t": [str(tmp_path / "t.jsonl")]}, "count": 5, "min_tokens": 1}
    reports = []
    for output in ("first", "second"):
        asked = {**settings, "output": str(tmp_path / output), "workdir": str(tmp_path / "work")}
        reports.append(select(Run(parse_config(asked), InlineExecutor())))
    assert [report["stages"]["score"]["reused"] for report in reports] == [0, 0]
    assert all("reports no version" in " ".join(report["notes"]) for report in reports)


def test_an_object_is_seen_that_came_after_an_earlier_listing() -> None:
    OBJECTS["one/a.jsonl"] = b""
    assert len(list_corpus(["bucket://one"]).files) == 1
    OBJECTS["one/b.jsonl"] = b""
    assert len(list_corpus(["bucket://one"]).files) == 2


def test_an_object_that_changed_since_it_was_listed_is_damage() -> None:
    OBJECTS["one/a.jsonl"] = DATA
    file = listed("bucket://one/a.jsonl")
    OBJECTS["one/a.jsonl"] = DATA[:-10]
    with pytest.raises(DamagedFileError, match="changed since it was planned"):
        read_all(FileRange(file))


def test_user_and_password_open_a_file_but_are_not_shown() -> None:
    OBJECTS["one/a.jsonl.gz"] = PACK[".gz"](DATA)[:-9]
    corpus = list_corpus(["bucket://me:secret@host/one", "bucket://one"])
    assert [file.path for file in corpus.files] == ["bucket://host/one/a.jsonl.gz", "bucket://one/a.jsonl.gz"]
    assert "secret" in corpus.files[0].url
    with pytest.raises(DamagedFileError) as raised:
        read_all(FileRange(corpus.files[0]))
    assert "secret" not in str(raised.value)
    assert "bucket://host/one/a.jsonl.gz" in str(raised.value)
    assert "secret" not in list_corpus(["bucket://me:secret@host/one"]).root


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host/a.jsonl", "https://host/a.jsonl"),
        ("simplecache::sftp://user:secret@host/a.jsonl", "simplecache::sftp://host/a.jsonl"),
        ("s3://bucket/a@b.jsonl", "s3://bucket/a@b.jsonl"),
        ("/tmp/a@b.jsonl", "/tmp/a@b.jsonl"),
        ("/tmp/part?.jsonl", "/tmp/part?.jsonl"),
        ("https://host/a.jsonl?signature=secret", "https://host/a.jsonl?signature=..."),
        ("zip://a.jsonl::ftp://me:sec@ret@host/a.zip", "zip://a.jsonl::ftp://host/a.zip"),
    ],
)
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


def test_files_of_an_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("deep/a.jsonl", lines(["a"]))
    file = listed(f"zip://deep/*.jsonl::{archive}")
    assert file.path == "a.jsonl"
    assert read_all(FileRange(file)) == ([(0, "a")], [])
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("deep/a.jsonl", lines(["b"]))
    fsspec.filesystem("zip", fo=str(archive)).clear_instance_cache()
    assert listed(f"zip://deep/*.jsonl::{archive}").version != file.version


def test_every_piece_of_lines_costs_little_more_than_its_bytes() -> None:
    OBJECTS["one/a.jsonl"] = DATA
    file = listed("bucket://one/a.jsonl")
    size = 3 * 2**20
    assert len(read_all(FileRange(file, 4 * size, 5 * size))[0]) in range(size // 3100, size // 3000)
    assert sum(FETCHED) < 2.5 * size
    FETCHED.clear()
    assert read_all(FileRange(file)) == oracle(DATA)
    assert sum(FETCHED) < 1.1 * len(DATA)


def test_chosen_lines_cost_little_more_than_their_bytes() -> None:
    OBJECTS["one/a.jsonl"] = DATA
    file = listed("bucket://one/a.jsonl")
    chosen = oracle(DATA)[0][500::2000]
    assert read_all(FileRange(file), positions=positions(*(place for place, _ in chosen)))[0] == chosen
    assert sum(FETCHED) < len(chosen) * 2**17


def test_kept_blocks_cost_little_more_than_their_bytes() -> None:
    OBJECTS["one/a.jsonl"] = DATA
    file = listed("bucket://one/a.jsonl")
    kept = [3, 40, 41, 90]
    documents, _ = read_all(FileRange(file), keep_block=lambda blocks: np.isin(blocks, kept))
    assert documents == [found for found in oracle(DATA)[0] if found[0] // BLOCK_BYTES in kept]
    assert sum(FETCHED) < 3 * len(kept) * BLOCK_BYTES


def test_row_groups_without_a_chosen_row_cost_nothing(tmp_path: Path) -> None:
    texts = [str(np.random.default_rng(i).bytes(1000).hex()) for i in range(2000)]
    OBJECTS["one/a.parquet"] = write_parquet(tmp_path / "a.parquet", texts).read_bytes()
    file = listed("bucket://one/a.parquet")
    assert read_all(FileRange(file), positions=positions(7, 1500))[0] == [(7, texts[7]), (1500, texts[1500])]
    assert sum(FETCHED) < file.size / 4
    assert read_all(FileRange(file))[0] == list(enumerate(texts))


@pytest.mark.parametrize("spec", ["s3://KEY:hidden@bucket/raw.jsonl", "s3a://KEY:hidden@bucket/*.parquet"])
def test_credentials_in_an_s3_url_are_refused_and_not_told(spec: str) -> None:
    with pytest.raises(RequestError, match="hold no credentials") as caught:
        list_corpus([spec])
    assert "hidden" not in str(caught.value)
