"""The public API: `import dsir_core` and nothing deeper."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsir_core
import dsir_core.forecasting.forecast
from dsir_core.runtime.events import Event, StageEnds
from dsir_core.runtime.executor import InlineExecutor
from tests.integration.conftest import DEMO

SPEECHES = DEMO / "targets" / "speeches.jsonl"
RAW = DEMO / "raw" / "pool-1.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one output and its workdir."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def request_of(folder: Path) -> dict[str, Any]:
    """The settings that all functions are given; paths need not be strings."""
    return {"raw": [RAW], "target": {"speeches": SPEECHES}, "workdir": folder / "work"}


@pytest.fixture(scope="module")
def selection(folder: Path, request_of: dict[str, Any]) -> dsir_core.Selection:
    return dsir_core.select(**request_of, output=folder / "out", count=20)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_all_that_is_public_is_there_and_documented() -> None:
    assert len(set(dsir_core.__all__)) == len(dsir_core.__all__)
    for name in dsir_core.__all__:
        assert name in dir(dsir_core)
        assert (getattr(dsir_core, name).__doc__ or "").strip(), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dsir_core.nothing  # type: ignore[attr-defined]  # noqa: B018
    assert (Path(dsir_core.__file__).parent / "py.typed").exists()


def test_importing_it_loads_no_numpy_and_no_arrow() -> None:
    heavy = python(
        "import sys, dsir_core; print(*sorted({'numpy', 'pyarrow', 'numba', 'pydantic'} & set(sys.modules)))"
    )
    assert heavy.split() == []
    heavy = python("import sys, dsir_core; dsir_core.SelectConfig; print(*{'numpy', 'pyarrow'} & set(sys.modules))")
    assert heavy.split() == []


def test_type_checkers_see_what_is_imported_lazily() -> None:
    typed = Path(dsir_core.__file__).read_text().partition("if TYPE_CHECKING:")[2].partition("_MODULES")[0]
    assert [name for name in dsir_core.__all__ if name not in typed.replace(",", " ").split()] == []


@pytest.mark.parametrize("name", ["select", "score", "compare", "forecast", "explain", "sample"])
def test_functions_stay_functions_whatever_modules_are_imported_first(name: str) -> None:
    every = (
        "import pkgutil, importlib, dsir_core\n"
        "for found in pkgutil.walk_packages(dsir_core.__path__, 'dsir_core.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print(type(dsir_core.{name}).__name__)"
    )
    assert python(every) == "function\n"


def test_a_selection_has_its_figures_and_its_rows(selection: dsir_core.Selection, folder: Path) -> None:
    assert selection.documents == 20
    assert selection.output == str(folder / "out")
    assert selection.targets["speeches"]["selected"] == 20
    assert selection.kl_reduction == selection.figures["kl_reduction"]
    assert selection.effective_sample_size == pytest.approx(1, abs=0.1)
    assert len(selection.selection_digest) == 64
    assert selection.notes == selection.figures["notes"]
    rows = selection.selected()
    assert rows.num_rows == 20
    assert sum(rows.column("n_tokens").to_pylist()) == selection.tokens
    assert rows.equals(pq.read_table(folder / "out" / "selected.parquet"))
    assert sum(Path(part).stat().st_size for part in selection.parts) > 0
    assert Path(selection.page).exists()
    assert repr(selection) == f"<Selection: 20 documents, {selection.tokens:,} tokens in {folder / 'out'}>"
    assert "20 of 240 documents" in selection._repr_html_()


def test_a_selection_by_a_config_is_the_same(
    selection: dsir_core.Selection, folder: Path, request_of: dict[str, Any]
) -> None:
    config = dsir_core.SelectConfig(
        raw=(str(RAW),), target={"speeches": (str(SPEECHES),)}, count=5, output=str(folder / "again")
    )
    seen: list[Event] = []
    again = dsir_core.select(config, executor=InlineExecutor(), observe=seen.append, count=20)
    assert again.selection_digest == selection.selection_digest
    assert [event.stage for event in seen if isinstance(event, StageEnds)][-1] == "report"


def test_a_selection_that_is_gone_or_damaged_is_no_short_one(folder: Path, request_of: dict[str, Any]) -> None:
    damaged = dsir_core.select(**request_of, output=folder / "damaged", count=3)
    path = folder / "damaged" / "selected.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(dsir_core.RunFailedError, match=r"selected\.parquet cannot be read"):
        damaged.selected()


def test_weights_are_read_as_arrow(selection: dsir_core.Selection, request_of: dict[str, Any]) -> None:
    weights = dsir_core.score(**request_of, shard_bytes=100_000)
    assert weights.columns == ("log_weight",)
    tables = list(weights.tables())
    assert len(tables) == len(weights.files) > 1
    whole = weights.read()
    assert whole.num_rows == weights.documents == 240
    assert whole.column("log_weight").type == pa.float64()
    chosen = selection.selected()
    found = dict(zip(whole.column("position").to_pylist(), whole.column("log_weight").to_pylist(), strict=True))
    assert [found[p] for p in chosen.column("position").to_pylist()] == chosen.column("log_weight").to_pylist()
    assert weights.model_digest == selection.figures["model_digest"]


def test_methods_are_compared(folder: Path, request_of: dict[str, Any]) -> None:
    found = dsir_core.compare(**request_of, output=folder / "compared", count=20)
    assert found.methods["top-k"]["documents"] == 20
    assert found.overlap["importance"]["importance"] == 1
    assert Path(found.page).exists()
    shown = found._repr_html_()
    assert "5 methods on one corpus" in shown
    assert "<script" not in shown


def test_a_forecast_shows_itself(request_of: dict[str, Any]) -> None:
    hostile = {**request_of, "target": {"a<b": SPEECHES}}
    found = dsir_core.forecast(**hostile, count=20)
    assert found.can_run
    assert found.selection is not None
    assert found.selection.documents == 20
    shown = found._repr_html_()
    assert "target a&lt;b" in shown
    assert "a<b" not in shown


def test_a_document_of_a_selection_is_explained(selection: dsir_core.Selection) -> None:
    row = selection.selected().to_pylist()[3]
    found = dsir_core.explain(selection.output, row["file"], row["position"])
    assert found.best.log_weight == row["log_weight"]
    assert found.by_target["speeches"] is found.best
    assert set(found.thresholds) == {"speeches"}
    assert "The text" in found._repr_html_()
    same = dsir_core.explain(selection.output, text=found.best.text)
    assert same.best.log_weight == row["log_weight"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: dsir_core.select(raw="a", target="b", count=1), "output: required"),
        (lambda: dsir_core.select(raw="a", target="b", output="c"), "say how much to select"),
        (lambda: dsir_core.select(raw="a", target="b", output="c", cuont=1), "cuont: no such setting"),
        (lambda: dsir_core.score(raw="a", target="b"), "workdir: required"),
        (lambda: dsir_core.forecast(raw="/no/such", target="b"), "no such file"),
        (lambda: dsir_core.explain("a", "file"), "by file and position"),
        (lambda: dsir_core.explain("a", "file", 1, text="x"), "by file and position"),
        (lambda: dsir_core.explain("/no/such", "file", 1), "no finished selection"),
    ],
)
def test_a_wrong_request_is_an_error_of_one_line(call: Any, said: str) -> None:
    with pytest.raises(dsir_core.RequestError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)
