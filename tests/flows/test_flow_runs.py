"""What Prefect records of a flow run, however it was started: tasks and their order, artifacts, log, tags, result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

import flows.deployed
import flows.select
from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.errors import ClusterLostError, RequestError, RunFailedError
from dsir_core.runtime.events import ignore
from dsir_core.runtime.executor import Executor, InlineExecutor
from dsir_core.stages.plan import make_plan
from flows.deployed import _name_of, turn_at
from flows.prefect_server import prefect_api
from flows.prefect_settings import quiet_prefect
from flows.running import _call
from flows.select import PREPARED, Prepared, compare_flow, score_flow, select_flow
from tests.integration.conftest import DEMO
from tests.waiting import until

pytestmark = pytest.mark.long

STAGES = ["plan", "count", "recover", "fit", "score", "resample", "write", "report"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An embedded server, and none of the user's settings."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home))
        patch.setenv("HOME", str(home))
        patch.delenv("PREFECT_API_URL", raising=False)
        with quiet_prefect(verbose=False), prefect_api() as api:
            api.wait()
            yield


def request(folder: Path, **more: Any) -> SelectConfig:
    target = {"speeches": [str(DEMO / "targets" / "speeches.jsonl")]}
    values = {"raw": [str(DEMO / "raw")], "target": target, "output": str(folder / "output"), "count": 70}
    return parse_config(values | {"inline": True} | more)


def asked(path: str, **body: Any) -> Any:
    with get_client(sync_client=True) as client:
        answer = client.request("POST", path, json=body)
        answer.raise_for_status()
        return answer.json()


def runs_to(folder: Path) -> list[dict[str, Any]]:
    """The flow runs that work below a folder, the last first."""
    found = asked("/flow_runs/filter", flow_runs={"name": {"like_": str(folder)}}, sort="START_TIME_DESC")
    return list(found)


def by_command(config: SelectConfig, *, only_resamples: bool = False) -> Any:
    """A run as `dsir` starts it, but for the cluster."""
    prepared = Prepared(InlineExecutor(), ignore, config, only_resamples=only_resamples)
    token = PREPARED.set(prepared)
    try:
        return _call(select_flow, config, prepared)
    finally:
        PREPARED.reset(token)


def from_python(config: SelectConfig) -> Any:
    return select_flow(config)


def tasks_of(run: str) -> list[dict[str, Any]]:
    """The task runs of a flow run, once all are recorded: their states arrive behind the flow's."""

    def ended() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = asked("/task_runs/filter", task_runs={"flow_run_id": {"any_": [run]}})
        is_whole = any(task["name"] in ("report", "compare") for task in found)
        return found if is_whole and all(task["state_type"] == "COMPLETED" for task in found) else []

    tasks: list[dict[str, Any]] = until(ended, 60)
    return tasks


def log_of(run: str) -> list[dict[str, Any]]:
    """The log of a flow run, once its last line has arrived."""

    def ended() -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = asked("/logs/filter", logs={"flow_run_id": {"any_": [run]}}, limit=200)
        last = [line for line in lines if line["task_run_id"] is None and "Finished in state" in line["message"]]
        return lines if last else []

    lines: list[dict[str, Any]] = until(ended, 60)
    return lines


def edges_of(run: str) -> dict[str, set[str]]:
    tasks = tasks_of(run)
    names = {task["id"]: task["name"] for task in tasks}
    return {
        task["name"]: {names[source["id"]] for sources in task["task_inputs"].values() for source in sources}
        for task in tasks
    }


@pytest.mark.parametrize("start", [by_command, from_python])
@pytest.mark.usefixtures("server")
def test_a_run_reads_as_its_stages_in_the_order_of_the_data(tmp_path: Path, start: Any) -> None:
    start(request(tmp_path))
    (run,) = runs_to(tmp_path)
    assert run["state_type"] == "COMPLETED"
    assert {"dsir", "dsir-select"} <= set(run["tags"])
    tasks = tasks_of(run["id"])
    assert sorted(task["name"] for task in tasks) == sorted(STAGES)
    keys = {task["name"]: task["task_key"] for task in tasks}
    assert len(set(keys.values())) == len(STAGES)
    assert all(key.startswith(f"{name}-") for name, key in keys.items())
    # For each tag of a task Prefect asks the server for its limit before every stage.
    assert all(task["tags"] == [] for task in tasks)
    assert edges_of(run["id"]) == {"plan": set()} | {later: {earlier} for earlier, later in itertools.pairwise(STAGES)}

    task_of = {task["id"]: task["name"] for task in tasks}
    artifacts = asked("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    found = {
        (artifact["key"], task_of.get(artifact["task_run_id"]))
        for artifact in artifacts
        if artifact["key"]  # Prefect's own, of the result, has none
    }
    of_stages = {(f"dsir-{stage}{what}", stage) for stage in STAGES for what in ("", "-table")}
    assert found == of_stages | {("dsir-summary", None), ("dsir-page", None)}

    said = [(task_of.get(line["task_run_id"]), line["message"]) for line in log_of(run["id"])]
    for stage in STAGES:
        assert [text for task, text in said if task == stage and text.startswith(f"{stage}: done")]
    (score,) = [text for task, text in said if task == "score" and "done" in text]
    assert "2,730 documents" in score
    assert "MB read" in score

    start(request(tmp_path, overwrite=True))
    second, first = runs_to(tmp_path)
    assert second["name"] != first["name"]
    (score,) = [line["message"] for line in log_of(second["id"]) if "score: done" in line["message"]]
    assert "1 reused" in score


@pytest.mark.usefixtures("server")
def test_optional_stages_stand_where_their_data_goes(tmp_path: Path) -> None:
    compare_flow(request(tmp_path))
    (run,) = runs_to(tmp_path)
    assert edges_of(run["id"]) == {
        "plan": set(),
        "count": {"plan"},
        "classify": {"count"},
        "fit": {"classify"},
        "score": {"fit"},
        "compare": {"score"},
    }
    artifacts = asked("/artifacts/filter", artifacts={"flow_run_id": {"any_": [run["id"]]}}, limit=200)
    (page,) = [artifact["data"] for artifact in artifacts if artifact["key"] == "dsir-page"]
    assert "compare.html" in page


@pytest.mark.usefixtures("server")
def test_a_caller_elsewhere_gets_a_small_result_without_credentials(tmp_path: Path) -> None:
    select_flow(request(tmp_path))
    score_flow(request(tmp_path))
    with get_client(sync_client=True) as client:
        scored, selected = (client.read_flow_run(run["id"]) for run in runs_to(tmp_path))
    for run in (scored, selected):
        assert run.state is not None
    result: Any = selected.state.result()  # type: ignore[union-attr]
    assert result["documents"]["selected"] == 70
    assert result["report"] == f"{tmp_path}/output/report.html"
    assert len(str(result)) < 5_000
    listed: Any = scored.state.result()  # type: ignore[union-attr]
    assert listed["documents"] == 2_730
    assert Path(listed["weights_listed_in"]).is_file()


@pytest.mark.usefixtures("server")
def test_a_run_without_its_cluster_is_entered_again_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    @contextmanager
    def cluster(*_: object) -> Iterator[Executor]:
        tries.append(1)
        if len(tries) < 3:
            raise ClusterLostError("no Dask scheduler answers at tcp://scheduler:8786")
        yield InlineExecutor()

    monkeypatch.setattr(flows.select, "_executor", cluster)
    monkeypatch.setattr(flows.deployed, "RETRY_SECONDS", (0, 0, 0))
    select_flow(request(tmp_path))
    (run,) = runs_to(tmp_path)
    assert (run["state_type"], run["run_count"], len(tries)) == ("COMPLETED", 3, 3)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("error", "times"), [(ClusterLostError("gone"), 4), (RunFailedError("too many bad records"), 1)]
)
def test_a_run_is_entered_again_only_so_often_and_only_if_that_may_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int
) -> None:
    tries = []

    @contextmanager
    def cluster(*_: object) -> Iterator[Executor]:
        tries.append(1)
        raise error
        yield InlineExecutor()

    monkeypatch.setattr(flows.select, "_executor", cluster)
    monkeypatch.setattr(flows.deployed, "RETRY_SECONDS", (0, 0, 0))
    with pytest.raises(type(error)):
        select_flow(request(tmp_path))
    assert len(tries) == times
    assert runs_to(tmp_path)[0]["state_type"] == "FAILED"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("start", "wrong", "said"),
    [
        (select_flow, {"raw": ["missing/*.jsonl"]}, "raw: missing"),
        (select_flow, {"text_field": "body"}, "no text in a field 'body'"),
        (select_flow, {}, "holds a complete selection"),
        (score_flow, {"target": {"speeches": ["missing.jsonl"]}}, "target speeches: "),
        (compare_flow, {}, "holds a comparison"),
        (select_flow, {"output": "memory://o", "inline": False}, "memory:// is of one process"),
    ],
)
def test_a_wrong_request_is_refused_before_a_cluster_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Any, wrong: dict[str, Any], said: str
) -> None:
    config = request(tmp_path)
    if not wrong:
        start(config)
    monkeypatch.setattr(flows.select, "_executor", lambda *_: pytest.fail("a cluster starts"))
    with pytest.raises(RequestError, match=said):
        start(request(tmp_path, **wrong))


@pytest.mark.usefixtures("server")
def test_a_run_that_only_resamples_counts_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="lacks the counts of 1 of 1 shard"):
        by_command(request(tmp_path), only_resamples=True)


@pytest.mark.usefixtures("server")
def test_a_run_lists_its_corpora_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []

    def counted_listing(config: SelectConfig) -> Any:
        listed.append(config)
        return make_plan(config)

    for module in ("plan", "preflight"):
        monkeypatch.setattr(f"dsir_core.stages.{module}.make_plan", counted_listing)
    select_flow(request(tmp_path))
    assert len(listed) == 1


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("fails", [False, True])
def test_a_turn_leaves_no_limit_behind(tmp_path: Path, fails: bool) -> None:
    name = f"dsir-workdir-{_name_of(str(tmp_path))}"
    seen: list[list[str]] = []

    def limits() -> list[str]:
        return [limit["name"] for limit in asked("/v2/concurrency_limits/filter")]

    @flow
    def waits() -> None:
        with turn_at(str(tmp_path)):
            seen.append(limits())
            if fails:
                raise RunFailedError("so it ends")

    waits(return_state=True)
    assert name in seen[0]
    assert name not in limits()


def test_a_local_workdir_is_one_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    local, remote = _name_of("work"), _name_of("s3://lake/work")
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert _name_of("work") != local
    assert _name_of("s3://lake/work/") == remote
