"""The mixture fit and the split into safe and risky."""

import numpy as np
import pytest

from clipforensics.config.recipes import SafeClipSettings
from clipforensics.errors import DataError
from clipforensics.repair.split import Mixture, first_size, fit_mixture, size_at, split


def two(rng, low=(0.05, 0.03, 8000), high=(0.25, 0.08, 2000)):
    return np.concatenate([rng.normal(*low), rng.normal(*high)])


@pytest.mark.parametrize("seed", range(6))
def test_a_known_mixture_is_found(seed):
    m = fit_mixture(two(np.random.default_rng(seed)), seed)
    np.testing.assert_allclose(m.means, (0.05, 0.25), atol=0.01)
    assert m.weights[1] == pytest.approx(0.20, abs=0.01)
    assert 0.17 <= m.share <= 0.19
    assert m.tau == pytest.approx(0.148, abs=0.006)
    assert not m.degenerate


@pytest.mark.parametrize("n", [2_000, 5_000])
def test_the_order_of_the_rows_changes_nothing(n, rng, monkeypatch):
    monkeypatch.setattr("clipforensics.repair.split.FIT_ROWS", 3_000)  # the larger are drawn from
    c = two(rng, (0.15, 0.05, n * 3 // 4), (0.25, 0.06, n // 4))
    assert fit_mixture(rng.permutation(c)) == fit_mixture(c)


@pytest.mark.parametrize("seed", range(4))
def test_one_gaussian_is_cut_at_the_upper_mean_or_falls_back(seed):
    m = fit_mixture(np.random.default_rng(seed).normal(0.1, 0.05, 10_000))
    assert m.degenerate or m.tau == m.means[1]
    assert 0 < first_size(m, 1000, 0.05, 0.6, None) < 600


def test_no_mixture_falls_back_to_15_per_cent():
    m = Mixture((0.0, 0.1), (0.1, 0.1), (0.5, 0.5), 1.0, True, 0.1, 0.9)
    assert m.degenerate
    assert first_size(m, 1000, 0.05, 0.6, None) == 150


def test_turned_round_widths_never_give_an_empty_set(rng):
    c = two(rng, (0.10, 0.10, 8000), (0.25, 0.03, 2000))
    m = fit_mixture(c)
    assert m.means[0] <= m.tau <= m.means[1]
    assert 0 < first_size(m, len(c), 0.05, 0.6, None) < len(c)


@pytest.mark.parametrize("c", [np.full(10, 0.3), np.array([0.1, np.nan, 0.2])])
def test_collapsed_towers_are_named(c):
    with pytest.raises(DataError, match="collapsed"):
        fit_mixture(c)


def test_the_first_size_is_clamped_or_as_asked():
    m = Mixture((0, 1), (0.1, 0.1), (0.5, 0.5), 10.0, True, 0.5, 0.9)
    assert first_size(m, 100, 0.05, 0.6, None) == 60
    assert first_size(m, 100, 0.05, 0.6, 0.25) == 25


def test_safe_and_risky_share_out_all_rows(rng):
    c = rng.normal(size=101)
    safe, risky = split(c, 40)
    assert sorted([*safe, *risky]) == list(range(101))
    assert c[safe].min() >= c[risky].max()


def test_ties_go_to_the_lower_row():
    safe, _ = split(np.array([0.5, 0.5, 0.5, 0.9]), 2)
    assert safe.tolist() == [0, 3]


def test_a_higher_cosine_never_makes_a_row_risky(rng):
    c = rng.normal(size=50)
    safe, _ = split(c, 20)
    for row in safe:
        better = c.copy()
        better[row] += 1
        assert row in split(better, 20)[0]


def test_the_safe_set_grows_to_the_cap_and_never_falls():
    sizes = [size_at(e, 6000, 20_000, 0.04, 0.85) for e in range(30)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 17_000
    # the totals of the science page: 12 epochs at batch 256
    assert sum(size // 256 for size in sizes[:12]) == 481
    assert sum((20_000 - size) // 256 for size in sizes[:12]) == 444


def test_the_fallback_keeps_to_the_limits():
    m = Mixture((0.0, 0.1), (0.1, 0.1), (0.5, 0.5), 1.0, True, 0.1, 0.9)
    assert first_size(m, 100, 0.05, 0.10, None) == 10


def test_a_first_share_above_the_cap_is_refused():
    with pytest.raises(ValueError, match="first_share <= cap"):
        SafeClipSettings(first_share=0.95, cap=0.85)
