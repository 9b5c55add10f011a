"""Sections (b) to (g): whole runs, against the reference, against reading alone, by workers, size, and shards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from joblib import Parallel, delayed

from benchmarks.corpora import TARGET, write_corpus
from benchmarks.measure import DSIR, best, run, select
from dsir_core.config.reading import ReadSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.read import read_range
from dsir_core.corpus.sharding import plan_shards
from dsir_core.corpus.types import Shard
from flows.prefect_server import is_prefect_server

Row = dict[str, Any]
N_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COUNT = ("--count", "1000")
READ_BYTES = 2**20
WORK_STAGES = ("count", "score")

REFERENCE = """
import sys
from data_selection import HashedNgramDSIR
raw, target, folder, n = sys.argv[1].split(","), sys.argv[2], sys.argv[3], int(sys.argv[4])
dsir = HashedNgramDSIR(raw, [target], cache_dir=folder + "/cache", num_proc=n)
dsir.fit_importance_estimator()
dsir.compute_importance_weights()
dsir.resample(folder + "/out", num_to_sample=1000, cache_dir=folder + "/resampled")
"""


def against_reference(folder: Path, sizes: tuple[int, ...], reference_bytes: int) -> Iterator[Row]:
    """The whole run against the reference's fit, weights and resampling on as many cores."""
    small = write_corpus(folder, reference_bytes)
    files = ",".join(sorted(str(path) for path in small.iterdir()))
    for n_bytes in sizes:
        raw = write_corpus(folder, n_bytes)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            words = [sys.executable, "-c", REFERENCE, files, str(TARGET), scratch, str(N_CORES)]
            reference = run(words).seconds / reference_bytes
            cost, _ = select(raw, TARGET, Path(scratch) / "output", *COUNT)
        yield {
            "what": f"{n_bytes / 1e9:g} GB (reference: {reference_bytes / 1e9:g} GB)",
            "seconds": cost.seconds,
            "reference s/GB": reference * 1e9,
            "s/GB": cost.seconds / n_bytes * 1e9,
            "ratio": reference / (cost.seconds / n_bytes),
        }


def against_reading(folder: Path, n_bytes: int) -> Iterator[Row]:
    """Counting and scoring in a whole run against reading and decoding the same bytes as often, on as many cores.

    Twice against a plain loop over `msgspec`, the fastest JSON library for this, and twice against this project's own
    reader. Worker processes are warm for the reading and not for the run.
    """
    raw = write_corpus(folder, n_bytes)
    shards = plan_shards(list_corpus([str(raw)]).files)
    seconds = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch, Parallel(n_jobs=N_CORES) as parallel:
        for what, read in (("msgspec", _read_msgspec), ("own reader", _read)):
            parallel(delayed(read)(shard) for shard in shards)
            seconds[what] = best(lambda read=read: parallel(delayed(read)(shard) for shard in shards * 2), 2)  # type: ignore[misc]
        _, report = select(raw, TARGET, Path(scratch) / "output", *COUNT)
    working = sum(report["stages"][stage]["seconds"] for stage in WORK_STAGES)
    whole = sum(stage["seconds"] for stage in report["stages"].values())
    for what, spent in (("count and score", working), ("all stages", whole)):
        for reader, reading in seconds.items():
            yield {
                "what": f"{what} / {reader}",
                "seconds": spent,
                "reading twice": reading,
                "ratio": spent / reading,
            }


class _Record(msgspec.Struct):
    text: str


def _read_msgspec(shard: Shard) -> None:
    decode = msgspec.json.Decoder(_Record).decode
    for file_range in shard.ranges:
        stop = file_range.file.size if file_range.stop < 0 else file_range.stop
        with open(file_range.file.url.removeprefix("file://"), "rb") as file:
            if file_range.start:
                file.seek(file_range.start - 1)
                file.readline()
            while file.tell() < stop:
                for line in file.readlines(READ_BYTES):
                    decode(line)


def _read(shard: Shard) -> None:
    for file_range in shard.ranges:
        for _ in read_range(file_range, ReadSettings()):
            pass


def workers(folder: Path, n_bytes: int) -> Iterator[Row]:
    """One worker against two."""
    raw = write_corpus(folder, n_bytes)
    seconds = {}
    for n in (1, 2):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _, report = select(raw, TARGET, Path(scratch) / "output", *COUNT, "--workers", str(n))
        seconds[n] = sum(report["stages"][stage]["seconds"] for stage in WORK_STAGES)
    yield {
        "what": "count and score",
        "1 worker s": seconds[1],
        "2 workers s": seconds[2],
        "ratio": seconds[1] / seconds[2],
    }


def memory(folder: Path, sizes: tuple[int, ...]) -> Iterator[Row]:
    """Peak memory by size of the corpus."""
    for n_bytes in sizes:
        raw = write_corpus(folder, n_bytes)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            cost, _ = select(raw, TARGET, Path(scratch) / "output", *COUNT)
        yield {
            "what": f"{n_bytes / 1e9:g} GB",
            "driver MB": cost.driver_bytes / 1e6,
            "largest worker MB": cost.worker_bytes / 1e6,
            "seconds": cost.seconds,
        }


EMPTY_FLOW = """
from flows.prefect_settings import quiet_prefect
from flows.prefect_server import prefect_api
with quiet_prefect(False), prefect_api() as api:
    api.wait()
    from prefect import flow
    flow(lambda: None, name="empty")()
"""


def fixed_costs(folder: Path) -> Iterator[Row]:
    """What a run costs before the first byte: 100 documents; with the embedded server, and with one that runs."""
    raw = folder / "tiny.jsonl"
    first = next(write_corpus(folder, 2_000_000).iterdir())
    raw.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:100]))
    yield from _beyond_an_empty_flow(folder, raw, "embedded server", None)
    with prefect_server(folder) as environment:
        yield from _beyond_an_empty_flow(folder, raw, "server running", environment)
    yield {"what": "dsir select --inline", "seconds": min(_tiny(folder, raw, ("--inline",)) for _ in range(2))}
    yield {"what": "dsir --help", "seconds": best(lambda: subprocess.run([DSIR, "--help"], capture_output=True))}


def _beyond_an_empty_flow(folder: Path, raw: Path, what: str, environment: dict[str, str] | None) -> Iterator[Row]:
    empty = best(lambda: run([sys.executable, "-c", EMPTY_FLOW], environment))
    seconds = min(_tiny(folder, raw, (), environment) for _ in range(3))
    yield {"what": f"empty Prefect flow, {what}", "seconds": empty}
    yield {"what": f"dsir select, {what}", "seconds": seconds, "beyond it": seconds - empty}


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """A Prefect server of its own; the environment in which commands use it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    home = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    words = [str(DSIR.with_name("prefect")), "server", "start", "--host", "127.0.0.1", "--port", port]
    with subprocess.Popen(words, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not is_prefect_server(f"http://127.0.0.1:{port}/api"):
                time.sleep(0.2)
            yield {**home, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
        finally:
            server.terminate()


def _tiny(folder: Path, raw: Path, flags: tuple[str, ...], environment: dict[str, str] | None = None) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return select(raw, TARGET, Path(scratch) / "output", "--count", "10", *flags, environment=environment)[
            0
        ].seconds


def shards(folder: Path, numbers: tuple[int, ...]) -> Iterator[Row]:
    """Orchestration: seconds of all stages for many tiny shards of one corpus, beyond those of one shard."""
    for n in numbers:
        raw = write_corpus(folder, 5000 * n)
        size = sum(path.stat().st_size for path in raw.iterdir())
        seconds = {}
        for what, shard_bytes in (("few", 2**30), ("many", max(1024, size // n))):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                _, report = select(raw, TARGET, Path(scratch) / "output", *COUNT, "--shard-bytes", str(shard_bytes))
            seconds[what] = sum(stage["seconds"] for stage in report["stages"].values())
            found = report["stages"]["score"]["shards"]
        yield {
            "what": f"{found:,} shards",
            "seconds": seconds["many"],
            "ms a shard": (seconds["many"] - seconds["few"]) / found * 1e3,
        }


def incremental(folder: Path, n_bytes: int, n_files: int) -> Iterator[Row]:
    """A run after one of `n_files` files has come, against the run over all.

    Any other selection costs a resampling of all the weights and the taking of its records, though nothing is new:
    what a run with another seed costs is the fixed cost.
    """
    lines = b"".join(path.read_bytes() for path in sorted(write_corpus(folder, n_bytes).iterdir())).splitlines(True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch, raw = Path(name), Path(name) / "raw"
        raw.mkdir()
        for i in range(n_files):
            (raw / f"{i:04}.jsonl").write_bytes(b"".join(lines[i::n_files]))
        size = max(path.stat().st_size for path in raw.iterdir())
        flags = (*COUNT, "--refit", "never", "--overwrite", "--shard-bytes", str(size), "--inline")
        (raw / "0000.jsonl").rename(scratch / "new.jsonl")
        full = _stage_seconds(raw, scratch, flags)
        fixed = _stage_seconds(raw, scratch, (*flags, "--seed", "1"))
        (scratch / "new.jsonl").rename(raw / "0000.jsonl")
        more = _stage_seconds(raw, scratch, flags)
    for stages in (WORK_STAGES, tuple(full)):
        spent, again, first = (sum(seconds[stage] for stage in stages) for seconds in (more, fixed, full))
        yield {
            "what": "count and score" if stages == WORK_STAGES else "all stages",
            "full s": first,
            "another seed s": again,
            "one more file s": spent,
            "beyond fixed, % of full": (spent - again) / first * 100,
        }


def _stage_seconds(raw: Path, scratch: Path, flags: tuple[str, ...]) -> dict[str, float]:
    _, report = select(raw, TARGET, scratch / "output", *flags)
    return {name: stage["seconds"] for name, stage in report["stages"].items()}


def now() -> str:
    """The time, for the result."""
    return time.strftime("%Y-%m-%d %H:%M:%S")
