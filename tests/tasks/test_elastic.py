"""Workers that come and go while a map or a reduction runs: nothing is lost, doubled or blamed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from tasks import mapping
from tasks.cluster import local_cluster
from tasks.executor import DaskExecutor
from tests.hosts import Hosts, hosts
from tests.tasks.functions import Item, add, hold, until

DRAINING = ("--preload-nanny", "tasks.draining")
"""As workers of deployments/dask.yaml are started."""

pytestmark = pytest.mark.long


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Hosts]:
    """A scheduler that counts deaths as ours do; its workers are machines that come and go."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    with hosts(folder) as found:
        found.scheduler(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1")
        yield found


def hold_the_first(item: Item) -> int:
    """Only the first item waits for its gate."""
    if item.index == 0:
        return hold(item)
    item.log("()")
    return item.index


def test_sigterm_lets_a_worker_finish_what_it_runs_and_hands_back_the_rest(fleet: Hosts, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    first = fleet.worker(*DRAINING)
    with Client(fleet.address, set_as_default=False) as client:
        outcomes = DaskExecutor(client).map(hold_the_first, [Item(i, runs) for i in range(12)], name="count")
        found: list[tuple[int, object]] = []
        consumer = threading.Thread(target=lambda: found.extend((o.index, o.error) for o in outcomes))
        consumer.start()
        until((runs / "0").exists)
        fleet.worker(*DRAINING)
        first.process.send_signal(signal.SIGTERM)
        until(lambda: "Draining" in first.log)
        assert (runs / "0").read_text() == "("
        (runs / "gate").touch()
        assert first.process.wait(60) == 0
        consumer.join(60)
        assert sorted(found) == [(i, None) for i in range(12)]
        # Not one was begun twice: what ran was finished, what waited had not begun.
        assert {path.name: path.read_text() for path in runs.glob("[0-9]*")} == {str(i): "()" for i in range(12)}
        assert client.run_on_scheduler(_deaths) == 0


def _deaths(dask_scheduler: object) -> int:
    return sum(prefix.suspicious for prefix in dask_scheduler.task_prefixes.values())  # type: ignore[attr-defined]


STEP = 20
SIZES = (4, 1, 3, 2)


def hold_for_a_step(item: Item) -> int:
    """The items of a step end when that step may."""
    item.log()
    until((item.folder / f"gate-{item.index // STEP}").exists)
    return item.index


@pytest.mark.parametrize("what", ["map", "reduce"])
def test_a_cluster_that_grows_and_shrinks_loses_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "WINDOW_SECONDS", 0.2)
    items = [Item(i, tmp_path) for i in range(STEP * len(SIZES))]
    found: list[object] = []
    with local_cluster(2) as client:
        executor = DaskExecutor(client)

        def run() -> None:
            if what == "map":
                found.extend(
                    sorted((o.index, o.result, o.error) for o in executor.map(hold_for_a_step, items, name="m"))
                )
            else:
                found.append(executor.reduce(hold_for_a_step, items, add, name="r"))

        consumer = threading.Thread(target=run)
        consumer.start()
        for step, size in enumerate(SIZES):
            until((tmp_path / f"{step * STEP}").exists)
            client.cluster.scale(size)
            until(lambda size=size: len(client.nthreads()) == size)  # type: ignore[misc]
            (tmp_path / f"gate-{step}").touch()
        consumer.join(120)
    expected = [(i, i, None) for i in range(len(items))] if what == "map" else [sum(range(len(items)))]
    assert found == expected
