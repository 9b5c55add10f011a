"""The scale benchmark runs, on tiny sizes; its statistics agree with themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import scale, scheduling
from benchmarks.synthetic import MEAN, histogram_statistics
from dsir_core.resampling.keys import Ranking, Search
from dsir_core.resampling.passes import HistogramTask, WeightsPart
from dsir_core.resampling.radix import Goal, Histogram, HistogramSum, find_thresholds, keys_of_bits
from tasks import batching


@pytest.mark.parametrize("settings", [{"tokens": 50_000}, {"count": 90, "target_ess": 0.1}])
def test_choosing_is_measured(tmp_path: Path, settings: dict[str, Any]) -> None:
    row = scale.measured(tmp_path, 20_000, settings)
    assert row["selected"] == settings.get("count", row["selected"]) > 0
    assert row["passes"] == len(row["pass_seconds"]) <= 5
    assert row["stored"] > 0
    assert bool(row["temperature_passes"]) == ("target_ess" in settings)
    assert "passes" in scale.line({"what": "tiny", **row})


def test_a_whole_driver_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_BYTES", batching.BATCH_BYTES)
    row = scale.simulated(100_000_000, 300)
    assert list(row["stages"]) == ["plan", "count", "fit", "score", "resample", "write"]
    assert row["came_back"] < 10 * scale.MB
    assert row["leaves"] >= 10


def test_scheduling_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCH_BYTES", "MAX_BATCH"):
        monkeypatch.setattr(batching, name, getattr(batching, name))
    row = scheduling.scheduled(60, 2, True)
    assert row["shards"] == 60
    assert all(seconds > 0 for seconds in row["cpu_seconds"].values())
    assert "scheduler" in scheduling.line({"what": "tiny", **row})


def task(level: int, search: int, prefix: int) -> HistogramTask:
    searches = tuple(Search(Ranking(method, 0, 0, "log_weight"), ()) for method in ("importance", "top-k"))
    parts = tuple(WeightsPart(f"weights/{shard}-1000000.parquet", searches) for shard in range(3))
    return HistogramTask("", parts, 100, level, ((search, prefix),))


def drawn(level: int, search: int, prefix: int) -> Histogram:
    (histogram,) = histogram_statistics(task(level, search, prefix))
    return histogram


def test_a_draw_from_a_bin_holds_what_the_bin_held() -> None:
    prefix = 0
    n = 3_000_000
    for level in range(4):
        histogram = drawn(level, 0, prefix)
        assert histogram.documents.sum() == n
        largest = int(histogram.documents.argmax())
        n, prefix = int(histogram.documents[largest]), prefix << 16 | int(histogram.bins[largest])


def test_the_median_of_the_draws_is_that_of_their_distribution() -> None:
    def one(level: int, wanted: Any) -> list[HistogramSum]:
        total = HistogramSum()
        total.add(drawn(level, *wanted[0]))
        return [total]

    (threshold,) = find_thresholds(1, lambda sums: [Goal(0, 1_500_000)], one)
    assert keys_of_bits(np.array([threshold.bits], np.uint64))[0] == pytest.approx(MEAN, abs=1)
