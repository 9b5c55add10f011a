"""What every format promises: a test class for each inherits these tests and says how such a file is written."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import parse_config
from dsir_core.corpus.formats.registry import ENTRIES, format_of
from dsir_core.corpus.read import read_range
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import BLOCK_BYTES, BLOCK_ROWS, FileRange
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.external.table import read_table
from dsir_core.pipeline import select
from dsir_core.runtime.executor import InlineExecutor
from dsir_core.stages.run import Run
from tests.corpus.files import SETTINGS, read_all, source, texts_of

Row = dict[str, Any]

WORDS = ["alpha", "beta", "gamma", "delta", "zeta", "eta", "kappa\n", "lambda", "\u6f22", '"mu"', "nu,", "xi"]


def rows_of(n: int, seed: int = 0) -> list[Row]:
    """Records with text of some words, line ends and quotes in it, and other fields."""
    rng = random.Random(seed)
    return [
        {
            "id": f"r{i:05}",
            "text": " ".join(rng.choices(WORDS, k=rng.randrange(1, 60))),
            "score": round(rng.gauss(0, 1), 6),
            "lang": rng.choice(["en", "de"]),
        }
        for i in range(n)
    ]


class FormatSuite:
    """A format's class gives the suffix of its files, and how they are written and read by others."""

    suffix: str
    nests: bool = True
    """Whether a record can hold an object."""
    n_per_part: int = 100
    """Records of a row group, a record batch, ..."""

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """Write records to a file, not by this project's code."""
        raise NotImplementedError

    def read_back(self, path: Path) -> list[Row]:
        """Read the records of an output part, not by this project's code."""
        raise NotImplementedError

    def spoil(self, path: Path, rows: Sequence[Row], bad: Sequence[int]) -> None:
        """Write records of which some have no text."""
        self.write(path, [{**row, "text": None} if i in bad else row for i, row in enumerate(rows)])

    def file(self, folder: Path, rows: Sequence[Row], name: str = "a") -> Path:
        """Records in a new file."""
        path = folder / f"{name}{self.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write(path, rows)
        return path

    def test_all_documents_in_order(self, tmp_path: Path) -> None:
        rows = rows_of(1500)
        documents, bad = read_all(FileRange(source(self.file(tmp_path, rows))))
        assert ([text for _, text in documents], bad) == ([row["text"] for row in rows], [])
        found = [position for position, _ in documents]
        assert found == sorted(set(found))

    def test_an_empty_table_has_no_documents(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, rows_of(1))
        self.write(path, [])
        assert read_all(FileRange(source(path))) == ([], [])

    def test_a_text_field_that_is_not_there_is_refused_with_what_is_there(self, tmp_path: Path) -> None:
        file = source(self.file(tmp_path, rows_of(20)))
        format_of(file).check_fields(file, SETTINGS)
        with pytest.raises(RequestError, match=r"'texts'.*; is it 'text'.*\? Set --text-field"):
            format_of(file).check_fields(file, ReadSettings(text_field=("texts",)))

    def test_positions_do_not_depend_on_shards(self, tmp_path: Path) -> None:
        file = source(self.file(tmp_path, rows_of(1500)))
        whole = read_all(FileRange(file))
        for shard_bytes in (1000, file.size // 5, file.size // 2, file.size):
            shards = plan_shards([file], shard_bytes)
            ranges = [file_range for shard in shards for file_range in shard.ranges]
            assert read_all(*ranges) == whole
            assert sum(shard.n_bytes for shard in shards) == file.size

    def test_some_positions_give_these_documents_alone(self, tmp_path: Path) -> None:
        file = source(self.file(tmp_path, rows_of(1500)))
        documents, _ = read_all(FileRange(file))
        for n in (1, 7, 200):
            chosen = sorted(random.Random(n).sample(documents, n))
            wanted = np.array([position for position, _ in chosen], np.int64)
            assert read_all(FileRange(file), positions=wanted)[0] == chosen

    def test_a_position_that_is_not_there_is_a_changed_file(self, tmp_path: Path) -> None:
        file = source(self.file(tmp_path, rows_of(20)))
        with pytest.raises(DamagedFileError, match="changed"):
            read_all(FileRange(file), positions=np.array([10**9], np.int64))

    def test_blocks_give_the_documents_in_them(self, tmp_path: Path) -> None:
        file = source(self.file(tmp_path, rows_of(1500)))
        documents, _ = read_all(FileRange(file))
        n = BLOCK_BYTES if format_of(file).enterable else BLOCK_ROWS
        for kept in ([0], [1], [0, 2]):
            expected = [document for document in documents if document[0] // n in kept]
            found, _ = read_all(FileRange(file), keep_block=lambda blocks, kept=kept: np.isin(blocks, kept))
            assert found == expected

    def test_records_are_preserved(self, tmp_path: Path) -> None:
        rows = rows_of(700)
        file = source(self.file(tmp_path, rows))
        documents, _ = read_all(FileRange(file))
        wanted = np.array([documents[i][0] for i in (0, 3, 99, 100, 101, 512, 699)], np.int64)
        format_ = format_of(file)
        stream = io.BytesIO()
        batches = [b for b in read_range(FileRange(file), SETTINGS, keep_records=True, positions=wanted) if len(b)]
        assert len({format_.kind_of(batch.records) for batch in batches}) == 1
        with format_.extract_writer(stream, batches[0].records) as writer:
            for batch in batches:
                assert writer.write(batch.records) > 0
        stream.seek(0)
        for compression in ("none", "gzip", "zstd"):
            part = tmp_path / f"part{format_.part_suffix(compression)}"
            with part.open("wb") as out:
                format_.gather([io.BytesIO(stream.getvalue()), io.BytesIO(stream.getvalue())], out, compression)
            assert self.read_back(part) == 2 * [rows[i] for i in (0, 3, 99, 100, 101, 512, 699)]

    def test_a_file_cut_short_anywhere_never_passes_for_a_shorter_one(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, rows_of(300))
        whole = path.read_bytes()
        for n in {0, 1, 7, 8, 9, 40, *range(50, len(whole), len(whole) // 60), *range(len(whole) - 12, len(whole))}:
            path.write_bytes(whole[:n])
            with pytest.raises(DamagedFileError, match=path.name):
                read_all(FileRange(source(path)))

    def test_bad_records_are_named_and_counted(self, tmp_path: Path) -> None:
        rows = rows_of(300)
        path = tmp_path / f"a{self.suffix}"
        self.spoil(path, rows, [0, 150, 299])
        file = source(path)
        documents, bad = read_all(FileRange(file))
        assert [text for _, text in documents] == [row["text"] for i, row in enumerate(rows) if i not in (0, 150, 299)]
        assert len(bad) == 3
        assert bad == sorted(bad)
        reasons = [record.reason for batch in read_range(FileRange(file), SETTINGS) for record in batch.bad]
        assert all(reasons)
        ranges = [file_range for shard in plan_shards([file], file.size // 3) for file_range in shard.ranges]
        assert read_all(*ranges) == (documents, bad)

    def test_a_text_over_the_limit_is_bad(self, tmp_path: Path) -> None:
        rows = [{"id": "a", "text": "short"}, {"id": "b", "text": "long " * 500}, {"id": "c", "text": "short, too"}]
        documents, bad = read_all(
            FileRange(source(self.file(tmp_path, rows))), settings=ReadSettings(max_record_bytes=1000)
        )
        assert ([text for _, text in documents], len(bad)) == (["short", "short, too"], 1)

    def test_several_text_fields(self, tmp_path: Path) -> None:
        rows = rows_of(10)
        settings = ReadSettings(text_field=("id", "text"))
        documents, _ = read_all(FileRange(source(self.file(tmp_path, rows))), settings=settings)
        assert [text for _, text in documents] == [f"{row['id']}\n{row['text']}" for row in rows]

    def test_a_text_field_inside_another(self, tmp_path: Path) -> None:
        rows = rows_of(10)
        texts = [row["text"] for row in rows]
        nested = [{"meta": {"body": text}} if self.nests else {"meta.body": text} for text in texts]
        settings = ReadSettings(text_field=("meta.body",))
        documents, _ = read_all(FileRange(source(self.file(tmp_path, nested))), settings=settings)
        assert [text for _, text in documents] == texts

    @pytest.mark.parametrize(
        ("include", "exclude"),
        [('lang == "en"', None), (None, 'lang == "en"'), ("score > 0.5", 'lang in ["de"]'), ("score > 1e9", None)],
    )
    def test_conditions(self, tmp_path: Path, include: str | None, exclude: str | None) -> None:
        rows = rows_of(400)

        def holds(row: Row) -> bool:
            if include == 'lang == "en"' or exclude == 'lang == "en"':
                return (row["lang"] == "en") == (include is not None)
            return row["score"] > 0.5 and row["lang"] == "en" and include == "score > 0.5"

        file = source(self.file(tmp_path, rows))
        batches = list(read_range(FileRange(file), ReadSettings(include=include, exclude=exclude)))
        found = [text for batch in batches for text in texts_of(batch)]
        assert found == [row["text"] for row in rows if holds(row)]
        assert sum(batch.excluded for batch in batches) == len(rows) - len(found)

    def test_values_of_other_fields(self, tmp_path: Path) -> None:
        rows = rows_of(200)
        batches = list(read_range(FileRange(source(self.file(tmp_path, rows))), SETTINGS, fields=("lang", "id")))
        values = itertools.chain.from_iterable(batch.fields for batch in batches)
        assert list(values) == [[row["lang"], row["id"]] for row in rows]

    def test_a_table_of_scores(self, tmp_path: Path) -> None:
        rows = rows_of(300)
        found = list(read_table((source(self.file(tmp_path, rows)),), "id", "score"))
        assert [key for part in found for key in part.keys.to_pylist()] == [row["id"] for row in rows]
        assert np.concatenate([part.scores for part in found]).tolist() == [row["score"] for row in rows]

    @pytest.mark.parametrize("with_table", [False, True])
    def test_a_selection(self, tmp_path: Path, with_table: bool) -> None:
        """As raw, as target and as table of scores; all that was read is accounted for."""
        rows = rows_of(400)
        self.spoil(self.file(tmp_path / "raw", rows), rows, [5])
        settings: Row = {
            "raw": [str(tmp_path / "raw")],
            "target": {"t": [str(self.file(tmp_path, rows_of(50, seed=1), "target"))]},
            "output": str(tmp_path / "output"),
            "count": 40,
            "min_tokens": 5,
            "max_bad_fraction": 0.01,
            "shard_bytes": 8192,
        }
        if with_table:
            table = self.file(tmp_path, [{"id": row["id"], "score": row["score"]} for row in rows], "scores")
            settings["weights"] = {"column": "score", "table": str(table), "key": "id"}
        report = select(Run(parse_config(settings), InlineExecutor()))
        assert report["documents"]["raw"] == 400
        assert report["documents"]["bad"] == 1
        parts = sorted((tmp_path / "output").glob("part-*"))
        assert {part.name.split(".")[1] for part in parts} == {self.written_as}
        found = [row for part in parts for row in self.read_back(part)]
        assert len(found) == 40
        originals = {row["id"]: row for row in rows}
        assert all(row == originals[row["id"]] for row in found)
        if with_table:
            best = {row["id"] for row in sorted(rows, key=lambda row: -row["score"])[:20]}
            assert len(best & {row["id"] for row in found}) > 3

    @property
    def written_as(self) -> str:
        """The suffix of output parts, without codec."""
        name = self.suffix.split(".")[1]
        return next(entry.suffixes[0] for entry in ENTRIES.values() if f".{name}" in entry.suffixes)[1:]
