"""The benchmark of quality runs on the demo corpus, and cuts, judges and averages as it says; no result is asserted."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.quality import pools, recommending, sizing, sources
from benchmarks.quality.__main__ import run
from benchmarks.quality.agreement import agreement
from benchmarks.quality.cases import cases
from benchmarks.quality.experiments import EXPERIMENTS, KINDS, SMOKE, Column, Experiment
from benchmarks.quality.pools import Document, Pool, load
from benchmarks.quality.tables import cell, markdown, trials
from benchmarks.quality.trial import SHARES, Ask, Trial, size
from dsir_core.config.request import parse_config
from scripts.build_demo_corpus import unpack
from scripts.demo_sources import Kind, Package

DEMO = load("demo", Path("unused"))


def in_targets(pool: str) -> dict[str, int]:
    """How many target documents of each kind a pool has."""
    if pool == "demo":
        return {kind: sum(1 for _ in path.open()) for kind, path in DEMO.targets.items()}
    return {kind.name: kind.in_target for kind in sources.POOLS[pool] if kind.in_target}


@pytest.mark.long
def test_smoke(tmp_path: Path) -> None:
    result = run(SMOKE, draws=2, workers=1, folder=tmp_path)

    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert "| random " in (tmp_path / "result.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recovery.svg", "result.json", "result.md"]
    found = result["experiments"]["smoke"]["trials"]
    assert len(found) == result["selections"] == 4 * 2 * 2
    for trial in found:
        assert trial["selected"] == (70 if len(trial["target"]) == 1 else 50)
        assert sum(trial["shares"].values()) == pytest.approx(1)
        assert trial["precision"] == pytest.approx(sum(trial["shares"].get(kind, 0) for kind in trial["target"]))
    separate = [trial for trial in found if trial["row"] == "separate" and len(trial["target"]) == 2]
    assert [trial["by_target"] for trial in separate] == [{"speeches": 35, "go_code": 15}] * 2


@pytest.mark.long
def test_what_compare_recommends_is_as_good_as_the_best_method_by_labels(tmp_path: Path) -> None:
    case = recommending.recommended(cases(1)[0], tmp_path)
    assert case["pool"] == "demo"
    assert case["target"] == {"speeches": 0}
    assert case["precision"][case["recommended"]] >= max(case["precision"].values()) - recommending.CLOSE
    found = recommending.summary([case])
    assert found["choices"]["recommended, by recovery"]["close"] == 1
    assert found["choices"]["always random"]["close"] == 0
    assert len(list(recommending.markdown(found))) == 3 + len(found["choices"])


@pytest.mark.long
def test_raw_seems_to_hold_as_many_documents_of_the_kind_as_it_does(tmp_path: Path) -> None:
    case = sizing.sized(cases(1)[0], tmp_path)
    assert case["held"] == 70
    assert case["held"] / sizing.NEAR < case["both"] < case["held"] * sizing.NEAR
    found = sizing.summary([case])
    assert found["both"]["near"] == 1
    assert len(list(sizing.markdown(found))) == 2 + len(found)


@pytest.mark.parametrize("experiment", EXPERIMENTS + SMOKE, ids=lambda experiment: experiment.name)
def test_every_experiment_is_a_request_that_its_pool_can_meet(experiment: Experiment) -> None:
    for trial in trials(experiment, 1):
        assert all(n <= in_targets(trial.ask.pool)[kind] for kind, n in trial.ask.documents)
        kinds = [kind for kind, _ in trial.ask.documents]
        settings = {
            key: dict.fromkeys(kinds, 1) if value == SHARES else value
            for key, value in json.loads(trial.settings).items()
        }
        parse_config({"raw": "r", "target": dict.fromkeys(kinds, "t"), "count": 1, "output": "o", **settings})


def test_every_kind_that_is_asked_for_is_in_its_pool() -> None:
    for pool, kinds in KINDS.items():
        assert set(kinds) <= set(in_targets(pool))
    for made in sources.POOLS.values():
        assert len({kind.name for kind in made}) == len(made)


def test_documents_are_known_by_file_and_position() -> None:
    labels = json.loads((pools.DEMO / "labels.json").read_text())
    assert in_raw(DEMO) == labels["k"]
    first, second = (pools.DEMO / "raw" / "pool-1.jsonl").read_bytes().splitlines()[:2]
    found = DEMO.documents["pool-1.jsonl", len(first) + 1]
    assert (found.kind, found.words) == (
        labels["domain_of"][json.loads(second)["id"]],
        len(json.loads(second)["text"].split()),
    )
    assert ("pool-4.parquet", 829) in DEMO.documents


def in_raw(pool: Pool) -> Counter[str]:
    return Counter(document.kind for document in pool.documents.values())


def test_k_is_what_could_be_had() -> None:
    documents = {("file", i): Document("a" if i < 70 else "b", words=30) for i in range(90)}
    pool = Pool("p", Path(), documents, {})
    assert size(pool, {"a": 1.0}) == 70
    assert size(pool, {"a": 0.7, "b": 0.3}) == 66 // 2
    assert size(pool, {"a": 0.9, "b": 0.1}) == 77 // 2
    assert size(pool, {"a": 1.0}, words=8) == 70 * 3


def test_cells_are_means_over_asks_and_deviations_over_draws() -> None:
    asks = (Ask("p", (("a", 0),)), Ask("p", (("b", 3), ("c", 1))))
    experiment = Experiment("e", "title", {"row": {"seed": 1}}, [Column("column", asks)])
    found: dict[Trial, dict[str, Any]] = {}
    for trial in trials(experiment, 2):
        first = trial.ask == asks[0]
        found[trial] = {"precision": trial.draw + (0.0 if first else 0.5), "shares": {"a": 0.25, "b": 0.5, "c": 0.125}}
    assert len(found) == 4

    def figures(figure: str) -> tuple[float, float]:
        return cell(experiment, "row", experiment.columns[0], figure, 2, found)

    assert figures("precision") == (pytest.approx(0.75), pytest.approx(0.5**0.5))
    assert figures("share of the first") == (pytest.approx((0.25 + 0.5) / 2), 0)
    assert figures("share of the second") == (pytest.approx((0.25 + 0.125) / 2), 0)
    assert "| row |   0.75 |" in list(markdown(experiment, 2, found))


def test_recovery_is_compared_with_precision_by_rank() -> None:
    def trial(kind: str, recovered: float, precision: float, draw: int = 0, **more: Any) -> dict[str, Any]:
        one = {"pool": "demo", "target": {kind: 10}, "draw": draw, "settings": {}, "recovery": {kind: recovered}}
        return one | {"precision": precision, "judged": True} | more

    trials = [trial("a", 0.1, 0.0), trial("b", 0.5, 0.9), trial("c", 0.9, 0.95), trial("c", 0.9, 0.95)]
    trials += [
        trial("d", 0.0, 1.0, judged=False),
        trial("e", 0.0, 1.0, recovery={}),
        trial("f", 0.0, 1.0, target={"f": 1, "g": 1}),
    ]
    found = agreement({"one": {"trials": trials}})
    assert found["groups"]["all"] == {"cases": 3, "correlation": pytest.approx(1.0)}
    assert found["misled"] == 1
    assert found["kinds"]["demo, b"] == pytest.approx(-0.4)


def test_a_pool_is_the_same_each_time_and_keeps_targets_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "words.whl", "w") as wheel:
        for i in range(30):
            wheel.writestr(f"{i}.txt", f"{i} " * 200)
    kinds = []
    for name in ("first", "second"):

        def documents(roots: list[Path], name: str = name) -> list[str]:
            return [f"{name} {path.read_text()}" for path in sorted(roots[0].glob("*.txt"))]

        kinds.append(Kind(name, (Package("npm", "words", "1"),), 12, 8 if name == "first" else 0, documents))
    monkeypatch.setitem(pools.POOLS, "made", tuple(kinds))
    made = []
    for folder in ("one", "two"):
        (tmp_path / folder / "packages" / "words").mkdir(parents=True)
        unpack(tmp_path / "words.whl", tmp_path / folder / "packages" / "words")
        made.append(load("made", tmp_path / folder))

    one, two = ([path.read_bytes() for path in (*pool.raw.iterdir(), *pool.targets.values())] for pool in made)
    assert one == two
    assert in_raw(made[0]) == {"first": 12, "second": 12}
    assert list(made[0].targets) == ["first"]
    (raw,) = made[0].raw.iterdir()
    raw_texts, target_texts = (
        {json.loads(line)["text"] for line in path.read_text().splitlines()} for path in (raw, made[0].targets["first"])
    )
    assert (len(raw_texts), len(target_texts), raw_texts & target_texts) == (24, 8, set())


def test_manual_pages_become_text(tmp_path: Path) -> None:
    page = '.\\" a comment\n.TH X 2\n.SH NAME\nx \\- \\fBdo\\fP it\n.BR y (2),\n\\(lqz\\(rq\n'
    with gzip.open(tmp_path / "x.2.gz", "wb") as file:
        file.write(page.encode())
    (tmp_path / "y.2.gz").symlink_to("x.2.gz")
    assert list(sources.manual_pages("*.gz", 100)([tmp_path])) == ["X 2\n\nNAME\nx - do it\ny (2),\n z"]


def test_messages_are_those_that_were_translated(tmp_path: Path) -> None:
    messages = {"": "Content-Type: text/plain; charset=UTF-8\n", "context\4Open": "開く", "x\4Same": "Same", "A": "あ"}
    folder = tmp_path / "usr/lib/libreoffice/program/resource/ja/LC_MESSAGES"
    folder.mkdir(parents=True)
    for name in sources.CATALOGUES:
        write_catalogue(folder / f"{name}.mo", messages)
    assert list(sources.messages("ja")([tmp_path])) == ["\n".join(["あ", "開く"] * len(sources.CATALOGUES))]


def write_catalogue(path: Path, messages: dict[str, str]) -> None:
    """A GNU catalogue (.mo), little-endian."""
    pairs = [(key.encode(), value.encode()) for key, value in sorted(messages.items())]
    at = 28 + 16 * len(pairs)
    data, tables = b"", ([], [])
    for part in (0, 1):
        for pair in pairs:
            tables[part].append(struct.pack("<II", len(pair[part]), at + len(data)))
            data += pair[part] + b"\0"
    head = struct.pack("<IIIIIII", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, at)
    path.write_bytes(head + b"".join(tables[0]) + b"".join(tables[1]) + data)


def test_pages_that_nobody_has_translated_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>日本語の文章</p>")
    (tmp_path / "b.html").write_text("<p>not translated 文</p>")
    assert list(sources.pages("*.html")([tmp_path])) == ["日本語の文章"]
    assert len(list(sources.pages("*.html", foreign=False)([tmp_path]))) == 2


def test_release_notes_are_runs_of_whole_items(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/emacs/1/etc"
    folder.mkdir(parents=True)
    (folder / "NEWS").write_text("intro\n** one\n" + "x " * 600 + "\n** two\nmore\n*** three\n")
    first, second = sources.release_notes([tmp_path])
    assert first.startswith("** one\nx x")
    assert second == "** two\nmore\n\n*** three"
