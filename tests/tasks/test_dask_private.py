"""What breaks when Dask changes what `tasks.dask_private` uses of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from distributed import Client

from dsir_core.errors import WorkCancelledError
from dsir_core.runtime.cancellation import check_cancelled
from tasks.cluster import local_cluster
from tasks.dask_private import is_working, lend_memory, memory_limit
from tasks.executor import DaskExecutor
from tests.tasks.functions import Item, until


def work_until_cancelled(item: Item) -> int:
    """Works as long as somebody waits for it, as a large shard does."""
    if item.index == 0:
        return 0
    item.log("begun")
    try:
        until(check_cancelled)  # type: ignore[func-returns-value]
    except WorkCancelledError:
        item.log(" and stopped")
        raise
    return item.index


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_shards_of_a_cancelled_run_stop(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(kind)
    outcomes = DaskExecutor(client).map(work_until_cancelled, [Item(i, tmp_path) for i in range(10)], name="count")

    def traces() -> list[str]:
        return [path.read_text() for path in tmp_path.iterdir()]

    assert next(outcomes).result == 0
    until(lambda: traces() == ["begun"] * 2)
    outcomes.close()  # type: ignore[attr-defined]
    until(lambda: traces() == ["begun and stopped"] * 2)


def test_nannies_lend_memory_and_take_it_back(processes: Client) -> None:
    def limits() -> list[int]:
        return [nanny.memory_manager.memory_limit for nanny in processes.cluster.workers.values()]

    usual = limits()
    found = processes.run(memory_limit, nanny=True)
    assert [limit for *_, limit in found.values()] == usual
    assert {worker for _, worker, _ in found.values()} == set(processes.nthreads())
    lent = {nanny: 7 * 10**9 for nanny, *_ in found.values()}
    processes.run(lend_memory, lent, nanny=True)
    assert limits() == [7 * 10**9] * 2
    assert processes.run(memory_limit, nanny=True) == found
    processes.run(lend_memory, {}, nanny=True)
    assert limits() == usual


def test_workers_are_forks_of_a_quiet_process_that_has_imported_what_they_need(
    monkeypatch: pytest.MonkeyPatch, processes: Client
) -> None:
    monkeypatch.setenv("DSIR_TEST_OF_FORKS", "later")
    with local_cluster(2) as client:
        parents = {psutil.Process(pid).parent() for pid in client.run(os.getpid).values()}
        (parent,) = parents
        assert parent is not None
        names = {path.read_text().strip() for path in Path(f"/proc/{parent.pid}/task").glob("*/comm")}
        assert names - {"jemalloc_bg_thd"} == {"python"}
        assert psutil.Process(parent.pid).ppid() == os.getpid()
        mapped = " ".join(one.path for one in parent.memory_maps())
        assert "llvmlite" in mapped
        assert "libarrow" in mapped
        assert set(client.run(os.getenv, "DSIR_TEST_OF_FORKS").values()) == {"later"}


class Answers:
    """A scheduler, nanny or worker as a nanny's preload sees it: each call is answered from a table."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        async def answer(**_: Any) -> Any:
            return self._answers[name]

        return answer

    async def __aenter__(self) -> Answers:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("stack", "held", "is_busy"),
    [({"a": ()}, [], True), ({}, ["a"], True), ({}, [], False), ({"of another client": ()}, ["b"], False)],
    ids=["runs", "ended, and the scheduler does not know yet", "not begun", "not wanted"],
)
def test_a_worker_works_until_the_scheduler_knows_of_what_it_ran(
    stack: dict[str, Any], held: list[str], is_busy: bool
) -> None:
    class Nanny(Answers):
        scheduler = Answers(processing={"worker": ["a"]})

        def rpc(self, _: str) -> Answers:
            return Answers(call_stack=stack, keys=held)

    assert asyncio.run(is_working(cast(Any, Nanny()), "worker")) is is_busy
