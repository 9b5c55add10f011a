"""The benchmark corpus: no document twice, mixed from its beginning, the same each time, resumed where it stopped."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.diverse import reading, sources
from benchmarks.diverse.build import Corpus, build, summary
from benchmarks.diverse.sources import Source

DEMO = Path(__file__).parents[2] / "demo"


def demo_documents(roots: list[Path]) -> Iterator[str]:
    for line in (DEMO / "raw" / "pool-1.jsonl").read_bytes().splitlines():
        yield json.loads(line)["text"]


def build_from_demo(folder: Path) -> Corpus:
    groups = {"natural": "en", "code": "Go", "data": "tables"}
    return build(folder, [Source(group, group, tag, (), marked(group)) for group, tag in groups.items()])


def marked(mark: str) -> reading.Documents:
    return lambda roots: (f"{text} {mark}" for text in demo_documents(roots))


def read(corpus: Corpus) -> list[dict[str, str]]:
    return [json.loads(line) for line in corpus.path.read_bytes().splitlines()]


def numbered(name: str, n: int) -> Source:
    return Source(name, "natural", "en", (), lambda roots: (f"{name} {i} " * 20 for i in range(n)))


def test_no_document_comes_twice_and_figures_are_those_of_the_records(tmp_path: Path) -> None:
    twice = Source("again", "natural", "en", (), numbered("one", 30).documents)
    corpus = build(tmp_path, [numbered("one", 50), twice])
    records = read(corpus)
    assert len({record["text"] for record in records}) == len(records) == 50 == corpus.figures["documents"]
    assert corpus.figures["bytes"] == sum(len(record["text"].encode()) for record in records)
    assert sum(kind["documents"] for kind in corpus.figures["kinds"].values()) == 50


def test_what_a_large_kind_has_beyond_its_share_comes_last(tmp_path: Path) -> None:
    records = read(build(tmp_path, [numbered("large", 500), numbered("small", 50)], bytes_of_a_kind=10_000))
    last_of_small = max(i for i, record in enumerate(records) if record["kind"] == "small")
    assert len(records) == 550
    assert last_of_small < 150
    assert {record["kind"] for record in records[:20]} == {"large", "small"}


def test_short_documents_are_left_out_and_others_are_as_they_were(tmp_path: Path) -> None:
    texts = ["x" * 99, "y" * 100, 'quoted "\\" \n\t\u2028 \u65e5\u672c' * 9, "z" * 1_000_001]
    records = read(build(tmp_path, [Source("mixed", "data", "text", (), lambda roots: iter(texts))]))
    assert sorted(record["text"] for record in records) == sorted(texts[1:3])


def test_it_is_the_same_each_time_and_resumed_where_it_stopped(tmp_path: Path) -> None:
    parts = [numbered("one", 40), numbered("two", 40)]
    first = build(tmp_path / "whole", parts)
    again = tmp_path / "again"

    def fail(roots: list[Path]) -> Iterator[str]:
        yield "some text " * 20
        raise OSError("interrupted")

    with pytest.raises(OSError, match="interrupted"):
        build(again, [parts[0], Source("two", "natural", "en", (), fail)])
    # The kind that was complete is not made again.
    resumed = build(again, [Source("one", "natural", "en", (), fail), parts[1]])
    assert resumed.path.read_bytes() == first.path.read_bytes()


def test_a_kind_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing: no document"):
        build(tmp_path, [Source("nothing", "natural", "en", (), lambda roots: iter(()))])


def test_the_summary_names_languages_and_shares(tmp_path: Path) -> None:
    first, *shares = summary(build_from_demo(tmp_path).figures)
    assert "3 kinds: 1 natural languages with kinds of their own, 1 programming languages" in first
    assert [share.split(":")[0] for share in shares] == ["natural", "code", "data"]


def test_the_sources_are_many_and_of_many_languages() -> None:
    names = [source.name for source in sources.SOURCES]
    assert len(set(names)) == len(names) >= 40
    languages = {source.language.split("-")[0] for source in sources.NATURAL_SOURCES} - {"many"}
    assert len(languages) >= 15
    assert len({source.language for source in sources.CODE_SOURCES}) >= 10


def test_files_of_packages_become_documents(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>One</p><p>two</p>")
    (tmp_path / "page.1.gz").write_bytes(gzip.compress(b".SH NAME\nls \\- list"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "names.json").write_text('{"@metadata": {"a": "b"}, "one": "eins", "two": "zwei"}')
    (tmp_path / "a.index").write_text("one\tA\tD\ntwo\tD\tE\n")
    (tmp_path / "a.dict.dz").write_bytes(gzip.compress(b"onetwo2"))
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as tar:
        for name, data in (("x.c", b"int x;"), ("x.txt", b"no")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    roots = [tmp_path]
    assert list(reading.pages("*.html")(roots)) == ["One\n\ntwo"]
    assert list(reading.manual_pages("*.gz")(roots)) == ["NAME\nls - list"]
    assert list(reading.files("*.txt")(roots)) == []
    assert list(reading.interface_messages("*.json")(roots)) == ["eins\nzwei"]
    assert "\n".join(reading.dictionary("*.index")(roots)) == "one\ntwo2"
    assert list(reading.inside("*.tar.xz", ".c")(roots)) == ["int x;"]


def test_messages_are_read_from_compiled_catalogues(tmp_path: Path) -> None:
    pairs = [(b"", b"Plural-Forms: nonsense"), (b"menu\4File", b"Datei"), (b"same", b"same"), (b"one\0many", b"1\0n")]
    strings = [*(key for key, _ in pairs), *(text for _, text in pairs)]
    at, table, data = 28 + 16 * len(pairs), b"", b""
    for string in strings:
        table += struct.pack("<2I", len(string), at + len(data))
        data += string + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    (tmp_path / "a.mo").write_bytes(head + table + data)
    assert "\n".join(reading.messages("*.mo")([tmp_path])) == "Datei\n1"
