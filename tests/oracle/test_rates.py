"""Rates against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipforensics.oracle.rates import (
    anomaly_index,
    answer_entropy,
    best_flip,
    control_p,
    holm,
    most_flips,
    wilson,
)


def test_wilson_of_46_in_50():
    assert wilson(46, 50) == pytest.approx((0.812, 0.968), abs=5e-4)


def test_wilson_without_trials_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_entropy_of_six_and_two_among_forty_labels():
    answers = np.array([3] * 6 + [17] * 2)
    assert answer_entropy(answers, labels=40) == pytest.approx(0.270, abs=5e-4)


def test_entropy_runs_from_none_to_one():
    assert answer_entropy(np.zeros(30, int), 40) == 0
    assert answer_entropy(np.arange(30), 40) == pytest.approx(1)
    assert answer_entropy(np.zeros(1, int), 40) == 0
    assert answer_entropy(np.zeros(9, int), 1) == 0


def test_none_of_39_controls_is_one_in_forty():
    assert control_p([False] * 39) == 0.025
    assert control_p([False] * 39, enough=2) == 0.025


def test_a_control_as_good_as_the_candidate_counts_against_it():
    assert control_p([True, False, True]) == 0.75


ANSWERS = st.integers(0, 4)


@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=30), st.data())
def test_what_the_first_answers_allow_is_never_less_than_what_comes(pairs, data):
    before, after = np.array(pairs).T
    few = data.draw(st.integers(0, len(pairs)))
    assert most_flips(before, after[:few], 5) >= best_flip(before, after, 5)
    assert most_flips(before, after, 5) == best_flip(before, after, 5)


def test_most_flips_by_hand():
    before = np.zeros(4, int)
    assert most_flips(before, np.array([0]), 4) == 0.75
    assert most_flips(before, np.array([0, 0, 0]), 4) == 0.25
    assert most_flips(before, np.array([3]), 4) == 1
    assert most_flips(before, np.array([3, 2]), 4) == 0.75


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([]) == []


def test_anomaly_index_of_a_doubling_series():
    assert anomaly_index(5, [10, 20, 40, 80, 160]) == pytest.approx(2.023, abs=5e-4)


def test_best_flip_leaves_out_pictures_of_the_label():
    before, after = np.array([0, 0, 1, 2]), np.array([1, 0, 1, 1])
    # label 1: of three pictures that were not 1, two became 1; the one that was 1 is not counted
    assert best_flip(before, after, labels=3) == pytest.approx(2 / 3)


@given(st.permutations(range(12)))
def test_order_does_not_matter(order):
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 4, 12), rng.integers(0, 4, 12)
    assert best_flip(before[order], after[order], 4) == best_flip(before, after, 4)
    assert answer_entropy(after[order], 4) == pytest.approx(answer_entropy(after, 4))
