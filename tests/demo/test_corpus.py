"""The shipped demo corpus is what demo/SOURCES.md says it is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

DEMO = Path(__file__).resolve().parents[2] / "demo"


def test_pool_holds_the_kinds_and_counts_of_the_page(
    pool: list[dict[str, str]], labels: dict[str, Any], promised: dict[str, tuple[int, int]]
) -> None:
    counts = Counter(labels["domain_of"][row["id"]] for row in pool)
    assert counts == {kind: in_pool for kind, (in_pool, _) in promised.items()}
    assert len(pool) == 2730
    assert labels["k"] == counts


def test_labels_cover_the_pool_and_nothing_else_in_its_order(
    pool: list[dict[str, str]], labels: dict[str, Any]
) -> None:
    assert [row["id"] for row in pool] == list(labels["domain_of"])


def test_records_hold_nothing_that_gives_the_kind_away(pool: list[dict[str, str]]) -> None:
    assert all(list(row) == ["id", "text"] for row in pool)
    assert [row["id"] for row in pool] == [f"d{number:05d}" for number in range(len(pool))]


def test_targets_hold_the_counts_of_the_page(
    targets: dict[str, list[str]], labels: dict[str, Any], promised: dict[str, tuple[int, int]]
) -> None:
    counts = {kind: len(texts) for kind, texts in targets.items()}
    assert counts == {kind: in_target for kind, (_, in_target) in promised.items() if in_target}
    assert labels["targets"] == counts


def test_no_target_document_is_in_the_pool(pool: list[dict[str, str]], targets: dict[str, list[str]]) -> None:
    words_of_pool = {tuple(row["text"].split()) for row in pool}
    shared = [text[:80] for texts in targets.values() for text in texts if tuple(text.split()) in words_of_pool]
    assert shared == []


def test_no_document_is_in_the_pool_twice(pool: list[dict[str, str]]) -> None:
    assert len({row["text"] for row in pool}) == len(pool)


def test_documents_have_the_lengths_of_the_page(
    pool: list[dict[str, str]], targets: dict[str, list[str]], labels: dict[str, Any]
) -> None:
    documents = [(labels["domain_of"][row["id"]], row["text"]) for row in pool]
    documents += [(kind, text) for kind, texts in targets.items() for text in texts]
    least = {"tang_poetry": 120, "dictionary": 366}
    wrong = [(kind, len(text)) for kind, text in documents if not least.get(kind, 400) <= len(text) <= 8000]
    assert wrong == []
    assert sum(kind == "dictionary" and len(text) < 400 for kind, text in documents) == 2


def test_set_stays_small_enough_for_a_repository() -> None:
    size = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert size < 4_200_000


def test_request_of_the_demo_names_files_that_exist() -> None:
    request = yaml.safe_load((DEMO / "demo.yaml").read_text(encoding="utf-8"))
    (raw,), (target,) = request["raw"], request["target"]
    name, _, path = target.partition("=")
    assert sorted(path.name for path in DEMO.parent.glob(raw)) == [
        "pool-1.jsonl",
        "pool-2.jsonl.gz",
        "pool-3.jsonl.zst",
        "pool-4.parquet",
    ]
    assert (DEMO.parent / path).is_file()
    assert name == "speeches"
