"""What ranks of hidden documents say: recovery down to what the sample tells, and a choice that does not waver."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dsir_core.resampling.ranks import RESOLVED, SHARES, Curve, Ranks, pick


def ranks_of(*above: int, n_raw: int = 1000) -> Ranks:
    """Hidden documents with so many raw documents above them."""
    return Ranks(2 * np.array(above, np.int64), n_raw)


def test_recovery_grows_with_the_share_up_to_everything_eligible() -> None:
    ranks = Ranks(np.array([0, 1, 20, 199, 200, -1]), 100)
    assert [ranks.recovered(share) for share in (0.0, 0.005, 0.1, 1.0)] == [0, 1, 2, 4]
    assert ranks.ineligible == 1
    low, high = ranks.interval(0.1)
    assert 0 < low < ranks.recovery(0.1) < high < 1


def test_the_curve_begins_at_the_smallest_share_that_the_sample_tells() -> None:
    ranks = ranks_of(0, 5, 30, 400)
    curve = Curve.of(ranks)
    assert curve.shares[0] == ranks.resolution == RESOLVED / 1000
    assert curve.shares[1:] == tuple(share for share in SHARES if share > 0.01)
    assert list(curve.recovery) == sorted(curve.recovery)
    assert Curve.of(ranks_of(0, 1, n_raw=RESOLVED - 1)).shares == (1.0,)


def test_the_knee_is_no_share_that_the_sample_does_not_tell() -> None:
    """All hidden documents above a sample of 100: the best share may be anything below a tenth."""
    curve = Curve.of(ranks_of(0, 0, 0, 0, n_raw=100))
    assert curve.knee == curve.enough == 0.1


def test_a_share_of_less_than_one_sampled_document_is_overestimated_and_one_of_ten_is_not() -> None:
    """In samples of 200 of raw, of which 10,000 documents hold 1 % above each hidden document."""
    rng = np.random.default_rng(0)

    def estimate(share: float) -> float:
        above = rng.binomial(200, 0.01, size=(2000, 1))
        return float(np.mean([Ranks(2 * row, 200).recovery(share) for row in above]))

    assert estimate(0.002) > 0.1  # nothing is recovered there
    ranks = Ranks(np.zeros(1, np.int64), 200)
    assert estimate(ranks.resolution) > 0.95  # and all there


def test_the_best_candidate_is_by_recovery_then_auc_then_the_earlier() -> None:
    worst, better_auc = ranks_of(*[900] * 8), ranks_of(*[900] * 4, *[700] * 4)
    best = ranks_of(*[0] * 5, *[999] * 3)
    assert pick([worst, better_auc, best], 0.1) == 2
    assert pick([worst, better_auc], 0.1) == 0
    assert pick([worst, worst], 0.1) == 0


def hidden(recovered: int, of: int = 50) -> npt.NDArray[np.int64]:
    return np.where(np.arange(of) < recovered, 0, 1800)


def test_a_candidate_that_is_better_by_chance_alone_is_not_taken() -> None:
    default, by_one, clearly = (Ranks(hidden(n), 1000) for n in (40, 41, 45))
    assert pick([default, by_one], 0.1) == 0  # one document
    swapped = Ranks(np.roll(hidden(41), 4), 1000)
    assert pick([default, swapped], 0.1) == 0  # five won, four lost
    assert pick([default, clearly], 0.1) == 1


def test_the_choice_at_a_share_below_what_the_sample_tells_is_that_at_the_smallest_told() -> None:
    first, second = ranks_of(0, *[500] * 9), ranks_of(*[3] * 10)
    assert pick([first, second], 1e-6) == pick([first, second], 0.01) == 1
