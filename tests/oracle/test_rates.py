"""Rates against numbers worked out by hand."""

from math import atan, log, pi, sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clipforensics.oracle.rates import (
    LEAST_SPREAD,
    anomaly_chance,
    anomaly_index,
    answer_entropy,
    any_chance,
    best_flip,
    control_p,
    holm,
    most_flips,
    wilson,
)


def test_wilson_of_46_in_50():
    assert wilson(46, 50) == pytest.approx((0.812, 0.968), abs=5e-4)


def test_wilson_of_none_and_of_all_ends_at_the_bound_itself():
    for n in (*range(1, 400), 10_000):
        assert wilson(0, n)[0] == 0.0
        assert wilson(n, n)[1] == 1.0


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


def test_anomaly_index_of_controls_without_spread():
    # five of eight are equal, so the MAD is 0: ln 1000 / .05, and ln(100 / 99) / .05
    controls = [1.0] * 5 + [0.9, 1.1, 1.2]
    assert anomaly_index(1e-3, controls) == pytest.approx(138.155, abs=1e-3)
    assert anomaly_index(0.99, controls) == pytest.approx(0.201, abs=1e-3)
    assert anomaly_index(1.0, controls) == 0


SIZES = st.floats(1e-6, 1e4)
SOME_SIZES = st.lists(SIZES, min_size=1, max_size=12)


@given(SIZES, SIZES, SOME_SIZES)
def test_a_smaller_size_is_odder(one, other, controls):
    small, large = sorted((one, other))
    assert anomaly_index(small, controls) >= anomaly_index(large, controls)


@given(SIZES, SOME_SIZES, st.floats(0.01, 100))
def test_the_unit_of_size_does_not_matter(size, controls, unit):
    there = anomaly_index(size, controls)
    assert anomaly_index(unit * size, [unit * one for one in controls]) == pytest.approx(
        there, rel=1e-6, abs=1e-6
    )


@given(SIZES, SOME_SIZES)
def test_the_least_spread_bounds_the_index_and_else_changes_nothing(size, controls):
    logs = np.log(controls)
    middle = np.median(logs)
    spread = 1.4826 * np.median(abs(logs - middle))
    index = anomaly_index(size, controls)
    assert abs(index) <= abs(middle - log(size)) / LEAST_SPREAD + 1e-9
    assume(spread >= LEAST_SPREAD)
    assert index == pytest.approx((middle - log(size)) / spread)


@given(SIZES, st.lists(st.floats(-0.05, 0.05, allow_subnormal=False), min_size=9, max_size=30))
def test_sizes_within_five_per_cent_are_never_odd(size, offsets):
    own, *controls = size * np.exp(offsets)
    assert anomaly_index(own, controls) <= 2 + 1e-6


def drawn_chance(controls, limit, spread, draws=20_000):
    """The chance as it is defined: draw all sizes, and count."""
    rng, odd = np.random.default_rng(7), 0
    for own, *others in np.exp(rng.normal(2, spread, (draws, controls + 1))):
        odd += anomaly_index(own, others) > limit and own < min(others)
    return odd / draws


@pytest.mark.parametrize(("controls", "limit"), [(8, 3.0), (8, 2.0), (9, 3.0), (16, 3.0)])
def test_anomaly_chance_is_that_of_drawn_sizes(controls, limit):
    drawn = drawn_chance(controls, limit, spread=1)
    assert anomaly_chance(controls, limit) == pytest.approx(drawn, abs=4 * sqrt(drawn / 20_000))


def test_anomaly_chance_by_hand():
    # one control has no spread: half of all sizes are below it
    assert anomaly_chance(1, 3.0) == pytest.approx(1 / 2, abs=0.003)
    # of two, d apart, the MAD is d / 2: normal own size less their middle, sd sqrt(3 / 2), must be
    # below -3 * 1.4826 * d / 2, d the absolute of a normal of sd sqrt(2): a wedge of the plane
    wedge = atan(sqrt(3 / 2) / (3 * 1.4826 / 2 * sqrt(2))) / pi
    assert anomaly_chance(2, 3.0) == pytest.approx(wedge, abs=0.003)
    # at limit near 0 only the rank counts: one of nine alike is the smallest
    assert anomaly_chance(8, 1e-9) == pytest.approx(1 / 9, abs=0.001)
    assert anomaly_chance(8, 3.0) == pytest.approx(0.026, abs=5e-4)
    assert anomaly_chance(0, 3.0) == 1


def test_more_controls_and_a_higher_limit_lower_the_chance():
    by_controls = [anomaly_chance(count, 3.0) for count in (8, 16, 32, 64, 128, 1000)]
    assert by_controls == sorted(by_controls, reverse=True)
    by_limit = [anomaly_chance(8, limit) for limit in (0.5, 1.0, 2.0, 3.0, 4.0)]
    assert by_limit == sorted(by_limit, reverse=True)
    assert all(
        one <= 1 / (count + 1)
        for one, count in zip(by_controls, (8, 16, 32, 64, 128, 1000), strict=True)
    )


def test_sizes_closer_than_the_least_spread_are_odd_less_often_than_told():
    assert drawn_chance(8, 3.0, spread=0.03, draws=5000) < anomaly_chance(8, 3.0) / 2


def test_any_of_several_by_hand():
    assert any_chance([]) == 0
    assert any_chance([0.5, 0.5]) == 0.75
    assert any_chance([0.026] * 12) == pytest.approx(0.271, abs=5e-4)


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
