"""The figures of a ranking keep their definitions, ties included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from clipforensics.detect.metrics import (
    auroc,
    average_precision,
    evaluate,
    recall_at_budget,
    rows_in_budget,
)
from clipforensics.errors import ConfigError, DataError

FEW_VALUES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40)


def slow_auroc(scores, truth):
    pairs = [(p, c) for p in scores[truth] for c in scores[~truth]]
    return sum(1.0 if p > c else 0.5 if p == c else 0.0 for p, c in pairs) / len(pairs)


@given(FEW_VALUES)
def test_ties_count_half_in_auroc_and_together_in_precision(rows):
    scores = np.array([value for value, _ in rows], dtype=np.float64)
    truth = np.array([poisoned for _, poisoned in rows])
    truth[:2] = True, False
    assert auroc(scores, truth) == pytest.approx(slow_auroc(scores, truth))
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    theirs = average_precision_score(truth, scores)
    assert average_precision(scores, truth) == pytest.approx(theirs)


@given(FEW_VALUES, st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_recall_is_its_mean_over_the_orders_within_a_tie(rows, budget):
    scores = np.array([value for value, _ in rows], dtype=np.float64)
    truth = np.array([poisoned for _, poisoned in rows])
    truth[0] = True
    reviewed = rows_in_budget(len(scores), budget)
    cut = np.sort(scores)[::-1][reviewed - 1]
    above, tied = scores > cut, scores == cut
    part = (reviewed - above.sum()) / tied.sum()
    expected = (truth[above].sum() + part * truth[tied].sum()) / truth.sum()
    assert recall_at_budget(scores, truth, budget) == pytest.approx(expected)


def test_figures_worked_out_by_hand():
    scores = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    truth = np.isin(np.arange(10), [0, 3])
    assert auroc(scores, truth) == 14 / 16
    assert average_precision(scores, truth) == (1 / 1 + 2 / 4) / 2
    assert [recall_at_budget(scores, truth, b) for b in (0.1, 0.3, 0.4, 1.0)] == [0.5, 0.5, 1, 1]


def test_a_budget_reads_at_least_one_row_and_never_more_than_its_share():
    assert [rows_in_budget(20_000, b) for b in (0.001, 0.01, 0.05, 1)] == [20, 200, 1000, 20_000]
    assert (rows_in_budget(10, 0.01), rows_in_budget(199, 0.01)) == (1, 1)
    for budget in (0, -1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="no share of the rows"):
            rows_in_budget(10, budget)


def test_every_figure_comes_with_its_n_and_its_chance(rng):
    truth = np.arange(1000) < 5
    figures = evaluate(rng.random(1000), truth)
    assert (figures["n"], figures["poisoned"]) == (1000, 5)
    assert figures["average_precision_by_chance"] == 0.005
    assert list(figures["recall_at_budget"]) == ["0.001", "0.01", "0.05", "0.1"]
    assert figures["rows_in_budget"] == {"0.001": 1, "0.01": 10, "0.05": 50, "0.1": 100}


def test_nothing_to_measure_is_said(rng):
    scores = rng.random(10)
    for measure in (auroc, average_precision, lambda s, t: recall_at_budget(s, t, 0.1)):
        with pytest.raises(DataError, match="None of the 10 rows is poisoned"):
            measure(scores, np.zeros(10, dtype=bool))
        with pytest.raises(DataError, match="1 of 10 scores are not finite"):
            measure(np.where(np.arange(10) == 3, np.nan, scores), np.arange(10) < 2)
    with pytest.raises(DataError, match="None of the 10 rows is clean"):
        auroc(scores, np.ones(10, dtype=bool))
