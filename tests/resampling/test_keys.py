"""Which documents may be chosen, and which a list of cuts chooses, with the rows of a shard cut anyhow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dsir_core.resampling.keys import Chooser, Cut, GlobalCut, Pool, Ranking, View, eligible
from dsir_core.resampling.radix import order_bits
from dsir_core.resampling.scaling import WeightScaling
from dsir_core.resampling.weight_rows import Rows

TOP = Ranking("top-k", 0, 0, "log_weight")


def rows(weights: Sequence[float], **more: object) -> Rows:
    n = len(weights)
    tokens = np.full(n, 10, np.int32)
    columns = {"log_weight": np.array(weights, np.float64)}
    return Rows(**{"file_codes": np.zeros(n, np.int32), "files": ["a"], "positions": np.arange(n), "n_tokens": tokens,
                   "log_weights": columns, **more})  # type: ignore[arg-type]  # fmt: skip


def bits(key: float) -> int:
    return int(order_bits(np.array([key]))[0])


def test_documents_that_are_short_unscored_or_copies_are_not_eligible() -> None:
    found = rows(
        [1, 1, np.nan, 1, 1],
        n_tokens=np.array([10, 9, 10, 10, 11], np.int32),
        copies=np.array([0, 0, 0, 1, 2], np.int8),
    )
    assert eligible(found, 10).tolist() == [True, False, False, False, False]
    unmarked = rows([1, 1, np.nan, 1, 1], n_tokens=np.array([10, 9, 10, 10, 11], np.int32))
    assert eligible(unmarked, 10).tolist() == [True, False, False, True, True]
    assert Chooser((Cut(TOP, 0, 0),), 10).choose(found).tolist() == [0, -1, -1, -1, -1]


@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_ties_go_to_the_first_documents_however_the_rows_come(cut: int) -> None:
    weights = [1.0, 3.0, 1.0, 0.0, 1.0, 1.0]
    chooser = Chooser((Cut(TOP, bits(1.0), 3),), 0)
    chosen = [chooser.choose(rows(part)).tolist() for part in (weights[:cut], weights[cut:])]
    assert [*chosen[0], *chosen[1]] == [0, 0, 0, -1, 0, -1]


def test_a_later_cut_chooses_among_what_earlier_ones_have_left() -> None:
    cuts = (Cut(TOP, bits(2.0), 1), Cut(TOP, bits(1.0), 2), Cut(TOP, 0, 0))
    assert Chooser(cuts, 0).choose(rows([1.0, 2.0, 3.0, 2.0, 1.0, 0.0])).tolist() == [1, 0, 0, 1, 1, 2]
    assert Chooser(cuts[:2], 0).choose(View(rows([1.0, 0.0]), 0)).tolist() == [1, -1]


def test_a_pool_is_a_stratum_or_the_documents_nearest_to_a_target() -> None:
    strata = {"stratum_codes": np.array([0, 1, 0, 1], np.int32), "strata": ("x", "y")}
    view = View(rows([1.0, 2.0, 3.0, np.nan], **strata), 0)
    in_y = Ranking("top-k", 0, 0, "log_weight", pool=Pool("y"))
    assert view.candidates(TOP).tolist() == [True, True, True, False]
    assert view.candidates(in_y).tolist() == [False, True, False, False]
    assert Chooser((Cut(in_y, 0, 0),), 0).choose(view.rows).tolist() == [-1, 0, -1, -1]

    weights = {"log_weight.a": np.array([1.0, 5.0, 2.0]), "log_weight.b": np.array([2.0, 4.0, 2.0])}
    two = View(rows([0, 0, 0], log_weights=weights, n_tokens=np.array([10, 1, 10], np.int32)), 5)
    spread = WeightScaling()
    near = [Ranking("top-k", 0, i, column, spread, Pool(nearest=tuple(weights))) for i, column in enumerate(weights)]
    assert two.candidates(near[0]).tolist() == [False, False, True], "equal weights count for the first target"
    assert two.candidates(near[1]).tolist() == [True, False, False]
    assert near[0].columns == ("log_weight.a", "log_weight.a", "log_weight.b")
    assert TOP.columns == ("log_weight",)
    assert Ranking("heuristic", 0, 0, "log_weight.a").columns == ("log_weight.a", "log_odds.a")


def test_each_shard_takes_its_own_ties() -> None:
    assert [GlobalCut(TOP, 7, np.array([2, 0])).at(shard) for shard in (0, 1)] == [Cut(TOP, 7, 2), Cut(TOP, 7, 0)]
    assert GlobalCut(TOP, 7, None).at(1) == Cut(TOP, 7, 0)
