"""A scan over scales: one ranking without truth, equal to its single scores, and resumable."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.config.settings import parse
from clipforensics.detect.metrics import auroc
from clipforensics.detect.reference import State, score
from clipforensics.detect.scales import Scale, combine, robust_z, scales_for, score_scales
from clipforensics.errors import ConfigError, RunError

CFG = ScaleSettings(reference_sizes=(64, 128, 256), neighbours=(4, 8, 16), draws=2)


@pytest.fixture
def world(planted_poison, rng):
    return planted_poison(rng)


def test_every_scale_is_the_single_score_of_its_own(world):
    x, _ = world
    found = score_scales(x, CFG)
    assert len(found.scales) == 8  # 64 rows do not hold 8 times 16
    for at, scale in enumerate(found.scales):
        reference = ReferenceSettings(reference_size=scale.reference_size, draws=2, collapse=False)
        alone = score(x, "lof", DensitySettings(k=scale.k), reference)
        np.testing.assert_allclose(found.mean[at], alone.mean, rtol=1e-12)
        np.testing.assert_allclose(found.spread[at], alone.spread, rtol=1e-7, atol=1e-12)


def test_the_combined_ranking_is_as_good_as_the_best_scale_at_any_rate(planted_poison, rng):
    x, truth = planted_poison(rng)
    for keep in (24, 8, 3):
        rows = np.concatenate([np.flatnonzero(truth)[:keep], np.flatnonzero(~truth)])
        found = score_scales(x[rows], CFG)
        best = max(auroc(one, truth[rows]) for one in found.mean)
        assert auroc(found.combined, truth[rows]) >= best - 0.02


def test_it_says_where_a_row_stands_out(world):
    x, _ = world
    found = score_scales(x, CFG)
    row = np.argmax(found.combined)
    assert found.z[found.best[row], row] == found.combined[row] == found.z[:, row].max()
    shares = [one["top_percent_standing_out_here"] for one in found.info["scales"]]
    assert sum(shares) == pytest.approx(1)


def test_shuffling_rows_of_one_set_shuffles_the_combination(rng):
    z = rng.normal(size=(3, 50))
    order = rng.permutation(50)
    for one, other in zip(combine(z[:, order]), combine(z), strict=True):
        np.testing.assert_array_equal(one, other[order])


def test_shuffling_rows_shuffles_the_whole_answer(world, rng):
    x, _ = world
    order = rng.permutation(len(x))
    shuffled, plain = score_scales(x[order], CFG), score_scales(x, CFG)
    np.testing.assert_allclose(shuffled.z, plain.z[:, order], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(shuffled.best, plain.best[order])


def test_robust_z_by_hand():
    np.testing.assert_allclose(
        robust_z(np.array([0.0, 1, 2, 3, 9])), np.array([-2, -1, 0, 1, 7]) / 1.4826
    )
    assert robust_z(np.array([1.0, 1, 1, 5])).tolist() == [0, 0, 0, 0]


def test_an_interrupted_scan_goes_on_to_the_same_scores(world):
    x, _ = world
    whole, held = score_scales(x, CFG), []

    def keep(state):
        held[:] = [State(state.done, state.mean.copy(), state.square.copy())]

    asked = iter(range(1000))
    with pytest.raises(RunError, match="was stopped after"):
        score_scales(x, CFG, stop=lambda: next(asked) == 80, keep=keep)
    assert held[0].done == 80
    told = []
    again = score_scales(x, CFG, lambda done, total: told.append((done, total)), state=held[0])
    assert told[0][0] == 81
    assert told[-1][0] == told[-1][1]
    np.testing.assert_array_equal(again.combined, whole.combined)
    np.testing.assert_array_equal(again.spread, whole.spread)


def test_scales_that_do_not_fit_are_left_out_and_none_is_an_error():
    assert scales_for(600, CFG) == (
        Scale(64, 4),
        Scale(64, 8),
        Scale(128, 4),
        Scale(128, 8),
        Scale(128, 16),
    )
    assert scales_for(255, CFG) == (Scale(63, 4),)  # 31 rows do not hold 8 times 4
    assert scales_for(200, CFG) == (Scale(50, 4),)
    assert scales_for(127, CFG) == (Scale(127, 4),)  # nor do 31 here
    with pytest.raises(ConfigError, match="k=4 needs at least 5 embeddings, got 3"):
        scales_for(3, CFG)
    with pytest.raises(ConfigError, match="at least 2"):
        parse(ScaleSettings, {"neighbours": [0]})


def test_few_rows_are_scored_against_parts_of_themselves(planted_poison, rng):
    x, poisoned = planted_poison(rng)
    clean, few = np.flatnonzero(~poisoned), np.flatnonzero(poisoned)
    for n in (400, 1000):
        own = np.concatenate([few[: n // 100], clean[: n - n // 100]])
        found = score_scales(x[own], ScaleSettings())
        assert max(one.reference_size for one in found.scales) <= n // 4
        assert auroc(found.combined, poisoned[own]) > 0.95


def test_a_small_set_is_its_own_only_scale(rng):
    x = rng.normal(size=(60, 3))
    found = score_scales(x, CFG)
    alone = score(x, "lof", DensitySettings(k=4), ReferenceSettings(reference_size="all"))
    np.testing.assert_allclose(found.mean[0], alone.mean, rtol=1e-12)
    assert np.isfinite(found.combined).all()
