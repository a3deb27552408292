"""Cuts, and what they flag."""

import numpy as np
import pytest
from scipy.stats import norm

from clipforensics.detect.thresholds import (
    clean_rate,
    count_flagged,
    cut_at_percentile,
    cut_from_clean,
    flagged,
    percentile_ranks,
    top_n,
    unlike,
)
from clipforensics.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("percentile", "count"), [(0, 1000), (50, 500), (99, 10), (99.9, 1), (100, 1)]
)
def test_a_percentile_flags_its_share(percentile, count, rng):
    scores = rng.permutation(1000).astype(np.float64)
    cut = cut_at_percentile(scores, percentile)
    assert cut in scores
    # between two ranks the cut goes up: it never flags more than its share and one row
    assert abs(count_flagged(scores, cut) - count) <= 1
    assert flagged(scores, cut).sum() == count_flagged(scores, cut)


def test_rows_that_tie_with_the_cut_are_flagged_together():
    assert count_flagged(np.array([1.0, 2.0, 2.0, 2.0]), 2.0) == 3
    assert count_flagged(np.ones(7), cut_at_percentile(np.ones(7), 99)) == 7


def test_top_n_is_highest_first_and_ties_keep_row_order():
    scores = np.array([1.0, 5.0, 3.0, 5.0])
    assert top_n(scores, 3).tolist() == [1, 3, 2]
    assert top_n(scores, 99).tolist() == [1, 3, 2, 0]


def test_ranks_share_a_tie_and_stay_between_0_and_100():
    assert percentile_ranks(np.array([3.0, 1.0, 3.0, 7.0])).tolist() == [50, 12.5, 50, 87.5]


def test_impossible_cuts_are_refused():
    for percentile in (-1, 101, float("nan")):
        with pytest.raises(ConfigError, match="not in 0 to 100"):
            cut_at_percentile(np.ones(3), percentile)
    with pytest.raises(ConfigError, match="no scores"):
        cut_at_percentile(np.ones(0), 50)
    with pytest.raises(ConfigError, match="asks for no row"):
        top_n(np.ones(3), 0)


def test_a_cut_from_a_clean_reference_keeps_its_promise(rng):
    clean = rng.normal(size=1999)
    made = cut_from_clean(clean, 0.01)
    assert (clean >= made.cut).sum() == made.alarms == 19
    assert made.false_rate == 0.01 < made.high < 0.02
    # on other clean rows of the same kind the alarms stay within the interval
    expected, high = made.expected(50_000)
    assert expected == pytest.approx(500)
    assert count_flagged(rng.normal(size=50_000), made.cut) <= high


def test_over_many_clean_references_the_share_flagged_is_the_one_expected(rng):
    """Conformal: (9 + 1) / (99 + 1) is exact on average, though each reference is small."""
    cuts = [cut_from_clean(rng.normal(size=99), 0.1).cut for _ in range(4000)]
    shares = 1 - norm.cdf(cuts)
    assert np.mean(shares) == pytest.approx(0.1, abs=4 * np.std(shares) / 4000**0.5)
    assert np.std(shares) > 0.02


def test_a_cut_that_flags_no_clean_row_is_not_called_free_of_alarms():
    made = clean_rate(np.zeros(99), 1.0)
    assert (made.alarms, made.false_rate, made.clean) == (0, 0.01, 99)
    assert made.high == pytest.approx(1 - 0.025 ** (1 / 99))
    assert clean_rate(np.zeros(9), 0.0).high == 1
    with pytest.raises(ConfigError, match="no clean rows"):
        clean_rate(np.ones(0), 1.0)


def test_ties_in_a_clean_reference_are_not_flagged():
    made = cut_from_clean(np.array([1.0] * 50 + [2.0] * 50), 0.1)
    assert (made.alarms, count_flagged(np.array([2.0, 2.1]), made.cut)) == (0, 1)


def test_a_clean_reference_must_be_large_enough_and_finite():
    with pytest.raises(ConfigError, match="needs at least 999 clean rows, got 998"):
        cut_from_clean(np.ones(998), 0.001)
    assert cut_from_clean(np.ones(999), 0.001).alarms == 0
    with pytest.raises(ConfigError, match="not between 0 and 1"):
        cut_from_clean(np.ones(9), 0)
    with pytest.raises(DataError, match="1 of 100 clean scores are not finite"):
        cut_from_clean(np.append(np.ones(99), np.nan), 0.1)


def test_clean_rows_of_another_kind_are_noticed_and_poison_is_not_mistaken_for_it(rng):
    case = rng.normal(size=20_000)
    assert all(unlike(rng.normal(size=500), case) is None for _ in range(200))
    case[:300] += 9  # 1.5 % poisoned
    assert all(unlike(rng.normal(size=500), case) is None for _ in range(50))
    found = unlike(rng.normal(-0.5, 1, size=2000), case)
    assert found is not None
    assert found.clean < found.case - 0.05
    narrow = unlike(rng.normal(0, 0.5, size=2000), case)  # the median alone would not tell
    assert narrow is not None
    assert narrow.case < 0.5


def test_a_rate_near_one_still_has_a_cut():
    assert cut_from_clean(np.array([1.0, 2.0]), 1 - 1e-12).alarms == 1
