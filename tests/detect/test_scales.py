"""A scan over scales: one ranking without truth, equal to its single scores, and resumable."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.config.settings import parse
from clipforensics.detect.combined import Footings, votes
from clipforensics.detect.metrics import auroc
from clipforensics.detect.reference import State, score
from clipforensics.detect.scales import (
    Scale,
    asked_at,
    combine,
    robust_z,
    scales_for,
    score_scales,
)
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


@pytest.mark.parametrize("normalize", [False, True])
def test_the_other_measures_are_single_scores_at_the_usual_scale(world, normalize):
    """Of sizes 64 to 256 the largest; k = 16, and 15 where a set has 16 rows."""
    x, cfg = world[0], CFG.model_copy(update={"normalize": normalize})
    apart = score_scales(x, cfg).apart
    reference = ReferenceSettings(reference_size=256, draws=2, collapse=False, normalize=normalize)
    for name, single in (("kdist", "kdist"), ("dimension", "lid")):
        alone = score(x, single, DensitySettings(k=16), reference).mean
        np.testing.assert_allclose(getattr(apart, name), np.log(alone), rtol=1e-9, atol=1e-12)
    norm = np.ones(len(x)) if normalize else np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(apart.norm, norm, rtol=1e-6)
    np.testing.assert_array_equal(apart.scales, score_scales(x, cfg).combined)


def test_they_are_measured_up_to_the_usual_size_and_below_the_rows_of_a_set():
    scales = [Scale(size, 4) for size in (16, 1024, 4096)]
    assert [name for name, _ in asked_at(1024, scales)] == ["lof", "kdist", "dimension"]
    assert [name for name, _ in asked_at(4096, scales)] == ["lof"]
    assert [one.k for _, one in asked_at(16, scales[:1])] == [4, 15, 15]
    assert len(asked_at(4096, scales[2:])) == 3  # the least there is


def test_rows_that_lie_equally_far_have_scores(rng):
    """No dimension can be told there; that is no reason to refuse all scales."""
    x, zero = np.eye(300), np.zeros(300)
    apart = score_scales(x, CFG).apart
    assert all(np.isfinite(one).all() for one in apart.tables().values())
    nudged = score_scales(x * (1 + 1e-15 * rng.integers(0, 3, (300, 1))), CFG).apart
    for one in (apart, nudged):  # what only rounding tells has no vote
        said = votes(one, Footings.of(one, zero))
        assert all((said[name] == 0).all() for name in ("kdist", "dimension", "norm"))


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
    for name, one in shuffled.apart.tables().items():
        np.testing.assert_allclose(one, getattr(plain.apart[order], name), rtol=1e-9, err_msg=name)


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
    for name, one in again.apart.tables().items():
        np.testing.assert_array_equal(one, getattr(whole.apart, name), err_msg=name)


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
