"""The recipes of CONTRIBUTING.md work: a format and a method of a package outside the source tree."""

from __future__ import annotations

import gzip
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

import dsir_core
from dsir_core.config.methods import METHODS
from dsir_core.corpus.formats.registry import ENTRIES
from tests.integration.conftest import DEMO, demo_records

SPEECHES = DEMO / "targets" / "speeches.jsonl"

FORMAT = '''
    """Plain text: each line is a document; its position is the number of its line."""

    import numpy as np

    from dsir_core.corpus.formats.text import TextFormat
    from dsir_core.corpus.source import decompressed, open_source
    from dsir_core.corpus.types import BLOCK_ROWS, Batch
    from dsir_core.errors import RequestError


    class TextLines(TextFormat):
        def read(self, file_range, settings, wanted):
            file, data = file_range.file, b""
            with open_source(file, file.size) as source, decompressed(file, source) as stream:
                while block := stream.read(2**20):
                    data += block
            lines = data.splitlines()
            positions = np.arange(len(lines))
            keep = np.ones(len(lines), bool)
            if wanted.positions is not None:
                keep = np.isin(positions, wanted.positions)
            if wanted.keep_block is not None:
                keep &= wanted.keep_block(positions // BLOCK_ROWS)
            kept = [lines[i] for i in np.flatnonzero(keep)]
            text, offsets = np.frombuffer(b"".join(kept), np.uint8), np.cumsum([0, *map(len, kept)])
            records = kept if wanted.keep_records else None
            yield Batch(positions[keep], text, offsets, records=records, n_bytes=len(data))

        def columns(self, file, names):
            raise RequestError(f"{file.path}: plain text has no columns")


    FORMAT = TextLines("text")
'''

METHOD = '''
    """Short documents first."""

    import numpy as np


    def shortest_keys(rows, ranking):
        return -rows.n_tokens.astype(np.float64)
'''

REGISTRATION = """
    from dsir_core.config.methods import Method, register
    from dsir_core.corpus.formats.registry import ENTRIES, Entry

    ENTRIES["text"] = Entry("Plain text", (".txt",), "outside.text_lines", packed=True)
    register(Method("shortest", "fewest tokens", "outside.shortest:shortest_keys"))
"""


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that registers a format and a method when it is imported."""
    package = tmp_path / "packages" / "outside"
    package.mkdir(parents=True)
    for name, code in (("__init__", REGISTRATION), ("text_lines", FORMAT), ("shortest", METHOD)):
        (package / f"{name}.py").write_text(textwrap.dedent(code).lstrip())
    monkeypatch.syspath_prepend(package.parent)
    invalidate_caches()
    methods, formats = dict(METHODS), dict(ENTRIES)
    import_module("outside")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside"]:
        del sys.modules[name]
    for registry, before in ((METHODS, methods), (ENTRIES, formats)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]


@pytest.fixture
def lines() -> list[str]:
    """The demo's documents, one a line."""
    return [" ".join(record["text"].split()) for record in demo_records()]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz"])
def test_a_format_from_outside_is_read_and_written(lines: list[str], tmp_path: Path, suffix: str) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    raw = tmp_path / f"raw{suffix}"
    raw.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    found = dsir_core.select(raw=raw, target=SPEECHES, count=50, output=tmp_path / "output", compression="none")
    assert found.figures["documents"]["raw"] == len(lines)
    rows = found.selected().to_pylist()
    (part,) = found.parts
    assert part.endswith(".txt")
    assert Path(part).read_text().splitlines() == [lines[row["position"]] for row in rows]
    explained = dsir_core.explain(tmp_path / "output", rows[7]["file"], rows[7]["position"]).best
    assert explained.text == lines[rows[7]["position"]]
    assert explained.log_weight == rows[7]["log_weight"]


def test_a_method_from_outside_selects_by_its_keys(lines: list[str], tmp_path: Path) -> None:
    settings = {"raw": DEMO / "raw", "target": SPEECHES, "count": 50, "workdir": tmp_path / "work"}
    found = dsir_core.select(**settings, method="shortest", output=tmp_path / "output")
    weights = dsir_core.score(**settings).read()
    eligible = sorted(n for n in weights.column("n_tokens").to_pylist() if n >= 100)
    rows = found.selected()
    assert sorted(rows.column("n_tokens").to_pylist()) == eligible[:50]
    assert rows.column("key").to_pylist() == [-float(n) for n in rows.column("n_tokens").to_pylist()]
    assert found.figures["config"]["method"] == "shortest"
    with pytest.raises(dsir_core.RequestError, match=r"method: must be .*shortest.*'longest'"):
        dsir_core.select(**settings, method="longest", output=tmp_path / "other")
