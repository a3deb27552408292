"""Every density score keeps its definition, whatever the order and the scale of the rows."""

from math import log

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from sklearn.neighbors import LocalOutlierFactor

from clipforensics.config.detect import DensitySettings
from clipforensics.detect import dao, dao_pow, kdist, lid, lof, slof
from clipforensics.detect.density import FROM_NEIGHBOURS, SCORES, lof_from_neighbours
from clipforensics.detect.neighbours import neighbours
from clipforensics.errors import ConfigError, DataError

LINE = np.array([[0.0], [1.0], [3.0], [7.0], [20.0]])


def slow_neighbours(x, k):
    """For each row: (distance, id) of its k nearest others, by plain loops."""
    near = []
    for i in range(len(x)):
        apart = [(sum((a - b) ** 2 for a, b in zip(x[i], x[j], strict=True)) ** 0.5, j)
                 for j in range(len(x)) if j != i]  # fmt: skip
        near.append(sorted(apart)[:k])
    return near


def slow_lid(near, i):
    radius = near[i][-1][0]
    return -1 / (sum(log(r / radius) for r, _ in near[i][:-1]) / (len(near[i]) - 1))


def slow_scores(name, x, k, k_lid):
    """The definitions, transcribed: one loop per sum."""
    near, near_lid = slow_neighbours(x, k), slow_neighbours(x, k_lid)
    kd = [row[-1][0] for row in near]
    reach = [sum(max(kd[o], r) for r, o in row) / k for row in near]
    by_name = {
        "kdist": lambda i: kd[i],
        "slof": lambda i: sum(kd[i] / kd[o] for _, o in near[i]) / k,
        "lof": lambda i: sum((1 / reach[o]) / (1 / reach[i]) for _, o in near[i]) / k,
        "lid": lambda i: slow_lid(near_lid, i),
        "dao": lambda i: sum(slow_lid(near_lid, o) * log(kd[i] / kd[o]) for _, o in near[i]) / k,
        "dao_pow": lambda i: sum((kd[i] / kd[o]) ** slow_lid(near_lid, o) for _, o in near[i]) / k,
    }
    return [by_name[name](i) for i in range(len(x))]


@pytest.mark.parametrize("name", SCORES)
def test_row_order_does_not_matter(name, rng):
    x, order = rng.normal(size=(80, 6)), rng.permutation(80)
    score, cfg = SCORES[name], DensitySettings()
    np.testing.assert_allclose(score(x[order], cfg), score(x, cfg)[order], rtol=1e-12)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("k", "k_lid"), [(5, None), (5, 9), (9, 4)])
def test_fast_equals_slow_and_obvious(name, k, k_lid, rng):
    x = rng.normal(size=(40, 3))
    fast = SCORES[name](x, DensitySettings(k=k, k_lid=k_lid))
    np.testing.assert_allclose(fast, slow_scores(name, x, k, k_lid or k), rtol=1e-10)


@pytest.mark.parametrize("name", ["lof", "slof", "dao", "dao_pow", "lid"])
@pytest.mark.parametrize("factor", [1e-30, 0.37, 1e30])
def test_scaling_all_embeddings_alike_changes_nothing(name, factor, rng):
    x = rng.normal(size=(80, 6))
    score, cfg = SCORES[name], DensitySettings()
    np.testing.assert_allclose(score(factor * x, cfg), score(x, cfg), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_moving_all_embeddings_alike_changes_nothing(name, rng):
    x = rng.normal(size=(80, 6))
    score, cfg = SCORES[name], DensitySettings()
    np.testing.assert_allclose(score(x + 50, cfg), score(x, cfg), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_half_precision_scores_like_the_same_values_in_full(name, rng):
    half, cfg = rng.normal(size=(80, 6)).astype(np.float16), DensitySettings()
    for wider in (np.float32, np.float64):
        np.testing.assert_array_equal(
            SCORES[name](half, cfg), SCORES[name](half.astype(wider), cfg)
        )


def test_known_value_on_a_line():
    x = np.array([[0.0], [1.0], [2.0], [10.0]])
    np.testing.assert_allclose(slof(x, DensitySettings(k=1)), [1, 1, 1, 8])


def test_known_values_of_the_last_of_five_points():
    cfg = DensitySettings(k=2)
    np.testing.assert_array_equal(kdist(LINE, cfg), [3, 2, 3, 6, 17])
    known = {slof: 4.25, lof: 4.5, lid: 3.7277, dao: 3.4233, dao_pow: 42.573}
    for score, value in known.items():
        np.testing.assert_allclose(score(LINE, cfg)[-1], value, rtol=2e-5, err_msg=score.__name__)


@pytest.mark.parametrize("k", [5, 16, 40])
def test_lof_on_the_whole_set_is_scikit_learns(k, rng):
    x = rng.normal(size=(400, 12)) * rng.gamma(2, size=(400, 1))
    theirs = -LocalOutlierFactor(n_neighbors=k).fit(x).negative_outlier_factor_
    np.testing.assert_allclose(lof(x, DensitySettings(k=k)), theirs, rtol=1e-5)


@pytest.mark.parametrize("name", SCORES)
def test_more_than_k_copies_are_refused_by_row(name, rng):
    x = np.vstack([rng.normal(size=(20, 4)), np.ones((9, 4))])
    with pytest.raises(DataError, match=r"9 of 29 embeddings .*first: row 20.*more than k=4 rows"):
        SCORES[name](x, DensitySettings(k=4))


@pytest.mark.parametrize("name", SCORES)
def test_fewer_than_k_copies_score_finite(name, rng):
    x = np.vstack([rng.normal(size=(40, 4)), np.ones((4, 4))])
    assert np.isfinite(SCORES[name](x, DensitySettings(k=8))).all()


@pytest.mark.parametrize("name", SCORES)
def test_k_must_leave_room_for_the_point_itself(name, rng):
    with pytest.raises(ConfigError) as refused:
        SCORES[name](rng.normal(size=(10, 4)), DensitySettings())
    assert str(refused.value) == "k=16 needs at least 17 embeddings, got 10. Lower k to 9 or less."


def test_lid_of_one_neighbour_is_refused(rng):
    for score in (lid, dao, dao_pow):
        with pytest.raises(ConfigError, match="at least 2 neighbours"):
            score(rng.normal(size=(10, 4)), DensitySettings(k=1))


def test_equal_distances_have_no_lid():
    with pytest.raises(DataError, match="lid has no value for 6 of 6"):
        lid(np.eye(6), DensitySettings(k=3))
    np.testing.assert_allclose(slof(np.eye(6), DensitySettings(k=3)), 1)


def test_the_power_form_says_when_it_overflows(rng):
    # points that are all nearly equally far from each other have a huge LID
    simplex = np.eye(30) + 1e-9 * rng.normal(size=(30, 30))
    x = np.vstack([simplex, np.linspace(100, 200, 30)])
    with pytest.raises(DataError, match=r"dao_pow has no value for 1 of 31 .*row 30.*or use slof"):
        dao_pow(x, DensitySettings(k=5))
    assert np.isfinite(dao(x, DensitySettings(k=5))).all()


def test_a_graph_can_be_scored_at_any_smaller_k(rng):
    x = rng.normal(size=(60, 5))
    graph, cfg = neighbours(x, 20), DensitySettings(k=7)
    np.testing.assert_array_equal(lof_from_neighbours(*graph, cfg), lof(x, cfg))
    with pytest.raises(ConfigError, match="this graph holds 20"):
        lof_from_neighbours(*graph, DensitySettings(k=21))


def test_shape_contract_is_live():
    with pytest.raises(TypeCheckError):
        slof(np.ones(5), DensitySettings())


def test_the_fixture_separates_what_it_plants(planted_outliers):
    for seed in range(500):
        x = planted_outliers(np.random.default_rng(seed))
        scores = slof(x, DensitySettings(k=10))
        assert scores[95:].min() > scores[:95].max(), f"seed {seed} plants nothing to find"


@pytest.mark.parametrize("name", ["lof", "slof", "dao", "dao_pow", "kdist"])
def test_planted_outliers_come_first(name, planted_outliers):
    for seed in range(20):
        scores = SCORES[name](planted_outliers(np.random.default_rng(seed)), DensitySettings(k=10))
        assert set(np.argsort(-scores)[:5]) == set(range(95, 100)), f"seed {seed}"


def test_the_joined_ranking_s_dimension_is_lid_where_that_is_defined(rng):
    near, cfg = neighbours(rng.normal(size=(90, 4)), 9), DensitySettings(k=9)
    dimension = FROM_NEIGHBOURS["dimension"](*near, cfg)
    np.testing.assert_allclose(dimension, FROM_NEIGHBOURS["lid"](*near, cfg), rtol=1e-12)
