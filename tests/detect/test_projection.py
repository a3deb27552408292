"""The map: seeded, quiet, and drawn from the graph it is given."""

import numpy as np
import pytest

from clipforensics.detect import whole_set_graph
from clipforensics.detect.neighbours import neighbours
from clipforensics.detect.projection import placed_on, umap_2d
from clipforensics.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def crowds():
    rng = np.random.default_rng(0)
    member = rng.integers(4, size=240)
    x = (20 * np.eye(4, 8)[member] + rng.normal(size=(240, 8))).astype(np.float32)
    x[1:4] = x[0]  # exact copies must not stop the map
    member[1:4] = member[0]
    return x, member, whole_set_graph(x, 14)


def test_equal_seeds_draw_equal_maps_and_crowds_stay_together(crowds):
    x, member, graph = crowds
    told = []
    first = umap_2d(x, graph, seed=0, progress=lambda done, total: told.append((done, total)))
    again, other = umap_2d(x, graph, seed=0), umap_2d(x, graph, seed=1)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first.dtype, first.shape) == (np.float32, (240, 2))
    nearest = neighbours(first, 5).ids
    assert (member[nearest] == member[:, None]).mean() > 0.99
    assert told[-1] == (500, 500)
    assert told == sorted(told)


@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("d", [1, 5])
def test_a_handful_of_points_has_a_map(n, d, rng):
    x = rng.normal(size=(n, d))
    places = umap_2d(x, whole_set_graph(x, n - 1), seed=0, n_neighbours=n)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_equal_embeddings_have_a_map():
    x = np.ones((30, 4))
    assert np.isfinite(umap_2d(x, whole_set_graph(x, 14), seed=0)).all()


def test_a_graph_that_does_not_fit_is_refused(crowds):
    x, _, graph = crowds
    with pytest.raises(DataError, match="Build the graph from the same embeddings"):
        umap_2d(x[:-1], graph, seed=0)
    with pytest.raises(ConfigError, match="n_neighbours=30 needs 29 neighbours per row"):
        umap_2d(x, graph, seed=0, n_neighbours=30)
    with pytest.raises(DataError, match="at least 3 embeddings"):
        umap_2d(x[:2], whole_set_graph(x[:2], 1), seed=0)


def test_another_model_of_the_same_crowds_is_placed_where_they_are(crowds):
    x, member, graph = crowds
    places = umap_2d(x, graph, seed=0)
    turned = np.concatenate(
        [-3 * x[:, ::-1], np.zeros((240, 2), np.float32)], axis=1
    )  # its own space
    again = placed_on(places, whole_set_graph(turned, 14), seed=0)
    assert (again.dtype, again.shape) == (np.float32, (240, 2))
    middles = np.stack([places[member == one].mean(axis=0) for one in range(4)])
    nearest = np.linalg.norm(again[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == member).all()
    np.testing.assert_array_equal(again, placed_on(places, whole_set_graph(turned, 14), seed=0))


def test_a_row_that_changed_company_moves_to_it(crowds):
    x, member, graph = crowds
    places = umap_2d(x, graph, seed=0)
    mover, home = int(np.flatnonzero(member == 1)[0]), int(np.flatnonzero(member == 2)[0])
    healed = x.copy()
    healed[mover] = x[home] + 0.01
    again = placed_on(places, whole_set_graph(healed, 14), seed=0)
    middles = np.stack([places[member == one].mean(axis=0) for one in range(4)])
    assert np.linalg.norm(again[mover] - middles, axis=1).argmin() == 2


def test_placing_refuses_other_rows_and_short_graphs(crowds):
    x, _, graph = crowds
    places = np.zeros((240, 2), np.float32)
    with pytest.raises(DataError, match="of the same pairs"):
        placed_on(places[:-1], graph, seed=0)
    with pytest.raises(DataError, match="of the same pairs"):
        placed_on(np.full((240, 2), np.nan, np.float32), graph, seed=0)
    with pytest.raises(ConfigError, match="n_neighbours=30 needs 29"):
        placed_on(places, graph, seed=0, n_neighbours=30)
