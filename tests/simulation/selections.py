"""Selections in a simulated world, and what each gives where nothing goes wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq

from dsir_core.config.request import parse_config
from dsir_core.errors import DsirError
from dsir_core.pipeline import select
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.run import Run
from dsir_core.storage import ranges, retries
from tests.simulation.filesystem import ROOT, SimulatedFileSystem
from tests.simulation.world import Process, ProcessDied, World

WORDS = ["aa", "bb", "cc", "dd", "ee", "ff", "gg", "hh"]
WORKDIR = f"{ROOT}/work"
VARIANTS: tuple[dict[str, Any], ...] = (
    {"count": 5},
    {"count": 7, "method": "top-k"},
    {"tokens": 40, "seed": 3},
    {"fraction": 0.4, "chunk": {"words": 4}},
    {"count": 6, "separate": True},
)
"""Requests, beside what all have."""


@dataclass
class Plain:
    """What an undisturbed run gives."""

    files: dict[str, bytes]
    """Of the output, without reports."""
    report: dict[str, Any]
    everything: dict[str, bytes]
    """All objects of its world by name, without the bucket's."""


def corpus(world: World) -> None:
    """Put the corpora into a world: raw files of two formats with one bad record, and two targets."""
    rng = random.Random(7)

    def texts(words: list[str], n: int) -> list[str]:
        return [" ".join(rng.choices(words, k=16)) for _ in range(n)]

    def lines(words: list[str], n: int) -> bytes:
        return "".join(json.dumps({"text": text}) + "\n" for text in texts(words, n)).encode()

    world.put("bucket/raw/0.jsonl", lines(WORDS, 13))
    world.put("bucket/raw/1.jsonl", lines(WORDS, 13) + b"{bad\n")
    table = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": texts(WORDS, 8), "n": list(range(8))}), table)
    world.put("bucket/raw/2.parquet", table.getvalue().to_pybytes())
    world.put("bucket/targets/one.jsonl", lines(WORDS[:4], 4))
    world.put("bucket/targets/two.jsonl", lines(WORDS[3:6], 3))


def request(variant: int, output: str, **more: Any) -> dict[str, Any]:
    """A request over the corpora, as settings."""
    targets = {"one": f"{ROOT}/targets/one.jsonl", "two": f"{ROOT}/targets/two.jsonl"}
    places = {"raw": f"{ROOT}/raw", "target": targets, "output": f"{ROOT}/{output}", "workdir": WORKDIR}
    return {
        **places,
        "min_tokens": 1,
        "buckets": 64,
        "shard_bytes": 1024,
        "max_bad_fraction": 0.5,
        **VARIANTS[variant],
        **more,
    }


@contextmanager
def inside(world: World) -> Iterator[None]:
    """Let storage be a world's, without waiting, threads, pages and a search for installed packages."""
    pa.set_io_thread_count(1)
    before, SimulatedFileSystem.world = SimulatedFileSystem.world, world
    with (
        mock.patch.object(retries._RETRYING, "sleep"),
        mock.patch.object(ranges, "_POOL", _Here()),
        mock.patch("dsir_core.stages.report.render", return_value="page"),
        mock.patch("dsir_core.stages.report.versions", return_value={}),
    ):
        try:
            yield
        finally:
            SimulatedFileSystem.world = before


class _Here:
    """A pool without threads."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        future: Any = ranges.Future()
        future.set_result(function(*arguments))
        return future


def run(
    world: World, settings: dict[str, Any], executor: Executor, process: Process
) -> dict[str, Any] | DsirError | None:
    """One run in a process: its report, its error, or None where the process died."""
    world.process = process
    try:
        return select(Run(parse_config(settings), executor))
    except DsirError as error:
        return error
    except ProcessDied:
        return None


@cache
def plain(variant: int) -> Plain:
    """What a variant gives where nothing goes wrong."""
    world = World(0)
    corpus(world)
    with inside(world):
        report = run(world, request(variant, "out"), InlineExecutor(), Process())
    assert isinstance(report, dict), report
    everything = {name.removeprefix("bucket/"): one.data for name, one in world.objects.items()}
    return Plain(output_files(world, "out"), report, everything)


def output_files(world: World, output: str) -> dict[str, bytes]:
    """Files of an output but the reports, which hold times."""
    start = f"bucket/{output}/"
    found = {name.removeprefix(start): one.data for name, one in world.objects.items() if name.startswith(start)}
    return {name: data for name, data in found.items() if not name.startswith("report.")}
