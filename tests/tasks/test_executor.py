"""What the executor over Dask promises its callers."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, Future, LocalCluster

from dsir_core.checkpoints.kinds import COUNTS
from dsir_core.errors import DamagedFileError, RequestError, RunFailedError, WorkCancelledError, WorkerLostError
from dsir_core.runtime.cancellation import check_cancelled
from dsir_core.runtime.executor import FAN_IN, Executor, InlineExecutor, LazySequence
from dsir_core.shards.ngram_cache import NGRAM_CACHE, KeptShard
from dsir_core.shards.task import ShardTask
from tasks import executor as fanout
from tasks import speculation as straggling
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tasks.reduction import IN_FLIGHT_PER_THREAD
from tasks.suspects import SUSPECTS_BEFORE_TRIAL
from tasks.worker import usual_memory


@pytest.fixture(scope="module")
def threads() -> Iterator[Client]:
    with local_cluster(2, processes=False) as client:
        yield client


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    with local_cluster(2) as client:
        yield client


def square(x: int) -> int:
    return x * x


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise DamagedFileError(f"file-{x}", "truncated at byte 7")
    return x


def refuse_five(x: int) -> int:
    if x == 5:
        raise RequestError("no field named body")
    return x


def fail_on_odd_above_900(x: int) -> int:
    return fail_on_odd(x) if x > 900 else x


def refuse_above_500(x: int) -> int:
    return refuse_five(5 if x > 500 else 0)


class UnpicklableError(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def fail_unpicklably(x: int) -> int:
    raise UnpicklableError(x, x)


class Meter:
    """Counts how many calls have begun; threads of this process share it."""

    def __init__(self) -> None:
        self.begun = 0
        self.lock = threading.Lock()
        self.gate = threading.Event()

    def wait_at_gate(self, x: int) -> int:
        with self.lock:
            self.begun += 1
        self.gate.wait(30)
        return x


METER = Meter()


def wait_at_gate(x: int) -> int:
    return METER.wait_at_gate(x)


@pytest.fixture
def meter() -> Iterator[Meter]:
    global METER
    METER = Meter()
    yield METER
    METER.gate.set()


def kill_worker_on(item: tuple[int, Path, tuple[int, ...]]) -> int:
    index, runs, poisonous = item
    with open(runs / str(index), "a") as log:
        log.write("x")
    if index in poisonous:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def kill_worker_once(item: tuple[int, Path]) -> int:
    index, runs = item
    first = not (runs / str(index)).exists()
    (runs / str(index)).touch()
    if index == 3 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def test_every_item_has_one_outcome_with_its_result(threads: Client) -> None:
    items = list(range(300))
    outcomes = list(DaskExecutor(threads).map(square, items, name="score"))
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i * i, None) for i in items]


def test_no_items_give_no_outcome(threads: Client) -> None:
    assert list(DaskExecutor(threads).map(square, [], name="score")) == []


def test_number_of_workers_counts_threads(threads: Client) -> None:
    assert DaskExecutor(threads).n_workers == 2


def test_errors_keep_type_and_message_and_spare_the_others(threads: Client) -> None:
    def seen(executor: DaskExecutor | InlineExecutor) -> list[tuple[int, int | None, str, str]]:
        outcomes = executor.map(fail_on_odd, range(10), name="count")
        return sorted((o.index, o.result, type(o.error).__name__, str(o.error)) for o in outcomes)

    assert seen(DaskExecutor(threads)) == seen(InlineExecutor())


def test_errors_from_another_process_keep_type_and_message(processes: Client) -> None:
    outcome = next(iter(DaskExecutor(processes).map(fail_on_odd, [1], name="count")))
    assert isinstance(outcome.error, DamagedFileError)
    assert (outcome.error.url, outcome.error.reason) == ("file-1", "truncated at byte 7")


def test_an_error_that_cannot_travel_still_fails_only_its_item(processes: Client) -> None:
    outcome = next(iter(DaskExecutor(processes).map(fail_unpicklably, [4], name="count")))
    assert "4 and 4" in str(outcome.error)


def test_a_wrong_request_ends_the_map(threads: Client) -> None:
    with pytest.raises(RequestError, match="no field named body"):
        list(DaskExecutor(threads).map(refuse_five, range(100), name="count"))


def test_few_items_are_in_flight(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "BATCH_SECONDS", 0)
    submitted: list[str] = []
    submit = threads.submit

    def counting(*args: Any, key: str, **options: Any) -> Future:
        submitted.append(key)
        return submit(*args, key=key, **options)

    monkeypatch.setattr(threads, "submit", counting)
    outcomes = DaskExecutor(threads).map(square, range(200), name="count")
    most = max(len(submitted) - received for received, _ in enumerate(outcomes, start=1))
    assert len(submitted) == 200
    assert most == IN_FLIGHT_PER_THREAD * 2


def test_many_small_items_share_few_futures_and_each_has_its_own_outcome(
    threads: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    submit = threads.submit
    monkeypatch.setattr(threads, "submit", lambda *a, key, **o: keys.append(key) or submit(*a, key=key, **o))
    outcomes = {o.index: o for o in DaskExecutor(threads).map(fail_on_odd_above_900, range(1000), name="count")}
    assert sorted(outcomes) == list(range(1000))
    assert {i for i, o in outcomes.items() if o.error is not None} == set(range(901, 1000, 2))
    assert all(
        isinstance(o.error, DamagedFileError) and f"file-{i}" in str(o.error) for i, o in outcomes.items() if o.error
    )
    assert all(o.result == i for i, o in outcomes.items() if o.error is None)
    assert len(keys) < 400


@dataclass(frozen=True)
class Sized(ShardTask):
    kind = COUNTS
    n_bytes: int = 0

    @property
    def depends(self) -> dict[str, int]:
        return {"bytes": self.n_bytes}


def size_of(item: Sized) -> int:
    return item.n_bytes


def test_large_shards_behind_small_ones_do_not_share_a_future(threads: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    submit = threads.submit

    def counting(function: Any, inner: Any, items: Any, **options: Any) -> Future:
        batches.append(sum(item.n_bytes for item in items) if len(items) > 1 else 0)
        return submit(function, inner, items, **options)

    monkeypatch.setattr(threads, "submit", counting)
    items = [Sized("", 10 if i < 500 else 10 * 2**20) for i in range(600)]
    assert len(list(DaskExecutor(threads).map(size_of, items, name="count"))) == 600
    assert max(batches) <= 30 * 2**20


def test_a_wrong_request_behind_others_in_one_future_ends_the_map(threads: Client) -> None:
    with pytest.raises(RequestError, match="no field named body"):
        list(DaskExecutor(threads).map(refuse_above_500, range(1000), name="count"))


@dataclass(frozen=True)
class Marked:
    index: int


def index_of(item: Marked) -> int:
    return item.index


def test_the_scheduler_does_not_remember_what_was_done(processes: Client) -> None:
    n = 6000
    assert len(list(DaskExecutor(processes).map(index_of, LazySequence(n, Marked), name="count"))) == n
    gc.collect()
    assert sum(type(thing) is Marked for thing in gc.get_objects()) < n / 3


def test_dask_holds_nothing_afterwards(threads: Client) -> None:
    list(DaskExecutor(threads).map(square, range(50), name="count"))
    _until(lambda: _tasks_on(threads) == 0)


def test_closing_the_iterator_drops_what_has_not_begun(threads: Client, meter: Meter) -> None:
    outcomes = DaskExecutor(threads).map(wait_at_gate, range(50), name="count")
    consumer = threading.Thread(target=next, args=(outcomes,))
    consumer.start()
    _until(lambda: meter.begun == 2)
    meter.gate.set()
    consumer.join()
    outcomes.close()  # type: ignore[attr-defined]
    _until(lambda: _tasks_on(threads) == 0)
    assert meter.begun < 10


def test_the_same_items_run_again_in_a_second_map(threads: Client, meter: Meter) -> None:
    meter.gate.set()
    executor = DaskExecutor(threads)
    for _ in range(2):
        assert len(list(executor.map(wait_at_gate, [1, 2, 3], name="count"))) == 3
    assert meter.begun == 6


def test_task_names_begin_with_the_stage(threads: Client, meter: Meter) -> None:
    outcomes = DaskExecutor(threads).map(wait_at_gate, [0], name="resample")
    consumer = threading.Thread(target=next, args=(outcomes,))
    consumer.start()
    _until(lambda: meter.begun == 1)
    names = threads.run_on_scheduler(_task_names)
    meter.gate.set()
    consumer.join()
    assert [name.startswith("resample-0-") for name in names] == [True]


def test_a_worker_killed_once_costs_nothing_but_a_second_run(processes: Client, tmp_path: Path) -> None:
    items = [(i, tmp_path) for i in range(20)]
    outcomes = list(DaskExecutor(processes).map(kill_worker_once, items, name="score"))
    assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(20)]


def test_exactly_the_shards_that_kill_workers_fail(processes: Client, tmp_path: Path) -> None:
    poisonous = (7, 8)
    items = [(i, tmp_path, poisonous) for i in range(20)]
    outcomes = list(DaskExecutor(processes).map(kill_worker_on, items, name="score"))
    failed = {o.index: o.error for o in outcomes if o.error}
    assert sorted(o.index for o in outcomes) == list(range(20))
    assert set(failed) == set(poisonous)
    assert all(isinstance(error, RunFailedError) for error in failed.values())
    for said in ("stage score", "item 7", "4 times, 2 of them", "memory"):
        assert said in str(failed[7])


@dataclass(frozen=True)
class Kept(ShardTask):
    kind = COUNTS
    index: int
    folder: Path
    place: str = ""
    keeps: bool = True

    @property
    def depends(self) -> dict[str, int]:
        return {"index": self.index}


def keep(item: Kept) -> bool:
    return NGRAM_CACHE.put(item.workdir, item.place, KeptShard(), 0)


def kill_all_workers_once(item: Kept) -> int:
    """The first call of each worker ends it: all are gone for a moment."""
    if len(list(item.folder.iterdir())) < 2:
        (item.folder / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item.index


def test_items_whose_worker_is_gone_with_all_others_run_elsewhere(processes: Client, tmp_path: Path) -> None:
    executor = DaskExecutor(processes)
    items = [Kept(str(tmp_path), i, tmp_path, str(i)) for i in range(6)]
    assert all(o.result is not None for o in executor.map(keep, items, name="count"))
    outcomes = list(executor.map(kill_all_workers_once, items, name="score"))
    assert sorted((o.index, o.result) for o in outcomes) == [(i, i) for i in range(6)]


def stop_once(item: tuple[int, Path]) -> int:
    """One of the items stops its worker, as if its machine hung; the others take a moment."""
    index, folder = item
    with open(folder / str(index), "a") as log:
        log.write("x")
    time.sleep(0.2)
    if index == 3 and (folder / "3").stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return index


def test_what_straggles_is_started_a_second_time_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(straggling, "MIN_SECONDS", 1.5)
    with local_cluster(2) as client:
        items = [(i, tmp_path) for i in range(12)]
        outcomes = list(DaskExecutor(client).map(stop_once, items, name="count"))
        assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(12)]
    # The one that stopped its worker, and perhaps one that waited behind it there.
    assert (tmp_path / "3").read_text() == "xx"


def index_kept(item: Kept) -> int:
    return item.index


def test_a_worker_that_hangs_is_not_wished_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(straggling, "MIN_SECONDS", 1.0)
    caplog.set_level("INFO", "dsir_core.tasks")
    with local_cluster(2) as client:
        executor = DaskExecutor(client)
        items = [Kept(str(tmp_path), i, tmp_path, str(i)) for i in range(100)]
        assert all(o.result is not None for o in executor.map(keep, items, name="count"))
        pid = client.run(os.getpid)[max(client.nthreads())]
        os.kill(pid, signal.SIGSTOP)
        try:
            outcomes = list(executor.map(index_kept, items, name="score"))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert sorted((o.index, o.result, o.error) for o in outcomes) == [(i, i, None) for i in range(100)]
    again = [record for record in caplog.records if "a second time" in record.message]
    # What was in flight when the first of them was found, and not all that the worker kept something for.
    assert 1 <= len(again) <= 3 * 2 * IN_FLIGHT_PER_THREAD


def wait_while_wanted(item: tuple[int, Path]) -> int:
    """Goes on for a minute, as a large shard does, unless nobody waits for it."""
    index, folder = item
    if index == 0:
        return index
    (folder / f"{index}.begun").touch()
    try:
        for _ in range(600):
            check_cancelled()
            time.sleep(0.1)
    except WorkCancelledError:
        (folder / f"{index}.stopped").touch()
        raise
    return index


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_closing_the_iterator_stops_what_is_running(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    client = request.getfixturevalue(kind)
    outcomes = DaskExecutor(client).map(wait_while_wanted, [(i, tmp_path) for i in range(10)], name="count")
    assert next(outcomes).result == 0
    _until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    outcomes.close()  # type: ignore[attr-defined]
    _until(lambda: len(list(tmp_path.glob("*.stopped"))) == 2)
    assert len(list(tmp_path.glob("*.begun"))) == 2


def need_memory(item: tuple[int, int, Path]) -> int:
    """Fill some megabytes, slowly enough for a nanny to see it."""
    index, megabytes, folder = item
    with open(folder / str(index), "a") as log:
        log.write("x")
    held = []
    for _ in range(megabytes // 50):
        held.append(bytearray(b"x" * (50 * 10**6)))
        time.sleep(0.05)
    time.sleep(0.3 if megabytes else 0)
    return len(held)


@pytest.mark.long
def test_a_shard_that_needs_more_memory_gets_it_alone_and_one_that_needs_too_much_fails(tmp_path: Path) -> None:
    needs = {4: 600, 9: 2500}
    with local_cluster(2, memory_limit=600 * 10**6) as client:
        items = [(i, needs.get(i, 0), tmp_path) for i in range(16)]
        outcomes = {o.index: o for o in DaskExecutor(client).map(need_memory, items, name="count")}
        assert sorted(outcomes) == list(range(16))
        assert {i for i, o in outcomes.items() if o.error} == {9}
        assert outcomes[4].result == 12
        assert isinstance(outcomes[9].error, WorkerLostError)
        assert "with 1.2 GB of memory" in str(outcomes[9].error)
        limits = [limit for *_, limit in client.run(usual_memory, nanny=True).values()]
        assert limits == [600 * 10**6] * 2
        assert {nanny.memory_manager.memory_limit for nanny in client.cluster.workers.values()} == {600 * 10**6}


def test_a_fault_of_every_shard_is_heard_of_early(processes: Client, tmp_path: Path) -> None:
    everything = tuple(range(200))
    items = [(i, tmp_path, everything) for i in everything]
    outcomes = DaskExecutor(processes).map(kill_worker_on, items, name="fit")
    assert isinstance(next(outcomes).error, RunFailedError)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(list(tmp_path.iterdir())) <= SUSPECTS_BEFORE_TRIAL + IN_FLIGHT_PER_THREAD * 2


def test_a_lost_scheduler_ends_the_map() -> None:
    cluster = LocalCluster(
        n_workers=1,
        processes=False,
        dashboard_address=None,
        silence_logs=50,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    )
    client = Client(cluster)
    outcomes = DaskExecutor(client).map(time.sleep, [0.0] + [5.0] * 10, name="score")
    next(outcomes)
    client.restart(wait_for_workers=False)
    with pytest.raises(RunFailedError, match="stage score"):
        list(outcomes)
    client.close()
    cluster.close()


def tenth(x: int) -> float:
    return 0.1 * x


def add(parts: Sequence[float]) -> float:
    assert 2 <= len(parts) <= FAN_IN
    return sum(parts)


def as_text(x: int) -> str:
    return str(x)


def nest(parts: Sequence[str]) -> str:
    return f"({' '.join(parts)})"


@pytest.mark.parametrize("n", [1, 2, FAN_IN, FAN_IN + 1, FAN_IN**2, FAN_IN**2 + 1, 300])
def test_a_reduction_joins_in_the_same_order_everywhere(threads: Client, n: int) -> None:
    executors: list[Executor] = [DaskExecutor(threads), InlineExecutor()]
    sums = [executor.reduce(tenth, range(n), add, name="resample") for executor in executors]
    assert sums[0] == sums[1] == pytest.approx(0.1 * n * (n - 1) / 2)
    trees = [executor.reduce(as_text, range(n), nest, name="resample") for executor in executors]
    assert trees[0] == trees[1]
    assert trees[0].replace("(", "").replace(")", "").split() == [str(i) for i in range(n)]


def test_only_the_whole_of_a_reduction_comes_back(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[object] = []
    gather = processes._gather_remote

    async def counting(*args: Any, **options: Any) -> Any:
        found = await gather(*args, **options)
        gathered.extend(found["data"])
        return found

    monkeypatch.setattr(processes, "_gather_remote", counting)
    assert DaskExecutor(processes).reduce(square, range(100), add, name="resample") == sum(x * x for x in range(100))
    assert len(gathered) == 1


def test_few_leaves_are_in_flight(threads: Client, meter: Meter) -> None:
    thread = threading.Thread(
        target=DaskExecutor(threads).reduce, args=(wait_at_gate, range(50), add), kwargs={"name": "resample"}
    )
    thread.start()
    _until(lambda: meter.begun == 2)
    leaves = [name for name in threads.run_on_scheduler(_task_names) if "-leaf-" in name]
    meter.gate.set()
    thread.join()
    assert len(leaves) <= IN_FLIGHT_PER_THREAD * 2
    _until(lambda: _tasks_on(threads) == 0)


def test_an_error_ends_a_reduction(threads: Client) -> None:
    for executor in (DaskExecutor(threads), InlineExecutor()):
        with pytest.raises(DamagedFileError, match="file-1: truncated"):
            executor.reduce(fail_on_odd, range(100), add, name="resample")
    _until(lambda: _tasks_on(threads) == 0)


def test_a_reduction_outlives_a_worker(processes: Client, tmp_path: Path) -> None:
    items = [(i, tmp_path) for i in range(20)]
    assert DaskExecutor(processes).reduce(kill_worker_once, items, add, name="resample") == sum(range(20))


def test_a_reduction_that_kills_its_workers_fails(processes: Client, tmp_path: Path) -> None:
    items = [(i, tmp_path, (3,)) for i in range(8)]
    with pytest.raises(WorkerLostError, match=r"stage resample: .* lost its worker"):
        DaskExecutor(processes).reduce(kill_worker_on, items, add, name="resample")


def _tasks_on(client: Client) -> int:
    return len(client.run_on_scheduler(_task_names))


def _task_names(dask_scheduler: object) -> list[str]:
    return list(dask_scheduler.tasks)  # type: ignore[attr-defined]


def _until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.01)
