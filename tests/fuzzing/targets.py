"""What is fuzzed: a function of bytes for each, which raises where a promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.corpus.files import PACK
from tests.fuzzing.files import arrow_seeds, check_file, csv_seeds, packed_seeds, parquet_seeds
from tests.fuzzing.texts import JSON_WORDS, TEXT_WORDS, check_features, check_json, json_seeds, text_seeds
from tests.fuzzing.user_input import (
    ARGUMENT_WORDS,
    ARGUMENTS,
    LIST_WORDS,
    PREDICATE_WORDS,
    PREDICATES,
    YAML_WORDS,
    YAMLS,
    check_arguments,
    check_list,
    check_predicate,
    check_yaml,
    list_seeds,
)


@dataclass(frozen=True)
class Target:
    """One input of the program."""

    check: Callable[[Sequence[bytes]], int]
    """Look at inputs, many at once where that is faster: how many were of the ordinary kind."""
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    at_once: int = 1


def each(check: Callable[[bytes], bool]) -> Callable[[Sequence[bytes]], int]:
    """A check of inputs from that of one."""
    return lambda inputs: sum(check(data) for data in inputs)


TARGETS: dict[str, Target] = {
    "json": Target(check_json, json_seeds, JSON_WORDS, 2000),
    "features": Target(check_features, text_seeds, TEXT_WORDS, 20),
    **{
        f"jsonl{suffix}": Target(each(check_file(f".jsonl{suffix}")), packed_seeds(suffix)) for suffix in PACK if suffix
    },
    "jsonl": Target(each(check_file(".jsonl")), packed_seeds(""), JSON_WORDS),
    "parquet": Target(each(check_file(".parquet")), parquet_seeds),
    "arrow": Target(each(check_file(".arrow")), arrow_seeds),
    "csv": Target(
        each(check_file(".csv")), csv_seeds, (b'"', b",", b"\n", b"\r\n", b"\r", b'""', b"\x00", b"\xff", b"text")
    ),
    "predicate": Target(each(check_predicate), lambda: PREDICATES, PREDICATE_WORDS),
    "yaml": Target(each(check_yaml), lambda: YAMLS, YAML_WORDS),
    "arguments": Target(each(check_arguments), lambda: ARGUMENTS, ARGUMENT_WORDS),
    "list": Target(each(check_list), list_seeds, LIST_WORDS),
}
