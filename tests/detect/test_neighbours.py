"""Neighbours are the nearest others: exactly, and never the row itself."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clipforensics.detect.neighbours import neighbours, whole_set_graph
from clipforensics.errors import ConfigError, DataError


def slow_distances(x, k):
    apart = np.linalg.norm(x[:, None].astype(np.float64) - x[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.sort(apart, axis=1)[:, :k]


@given(n=st.integers(2, 30), k=st.integers(1, 8))
@settings(max_examples=60)
def test_neighbours_are_the_nearest_others(n, k):
    assume(k < n)
    x = np.random.default_rng(n).normal(size=(n, 4))
    _, ids = neighbours(x, k)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        assert list(ids[i]) == sorted(others, key=lambda j: np.linalg.norm(x[i] - x[j]))[:k]


@given(
    seed=st.integers(0, 10_000),
    copies=st.integers(0, 12),
    exponent=st.integers(-30, 30),
    offset=st.sampled_from([0.0, 1.0, 1e4]),
)
@settings(max_examples=40)
def test_distances_are_exact_with_copies_and_at_any_scale_and_place(seed, copies, exponent, offset):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 5))
    x = (np.vstack([x, np.repeat(x[:1], copies, axis=0)]) + offset).astype(np.float32)
    x = np.ldexp(x, exponent)
    dist, ids = neighbours(x, 6)
    np.testing.assert_allclose(dist, slow_distances(x, 6), rtol=1e-12, atol=0)
    assert (ids != np.arange(len(x))[:, None]).all()
    assert all(len(set(row)) == 6 for row in ids.tolist())


def test_a_tight_crowd_far_from_the_rest_is_still_ordered_rightly(rng):
    # in float32, |x|^2 + |y|^2 - 2xy says that everyone in the crowd is at the same place
    x = rng.normal(size=(400, 8))
    x[:100] = 1e4 + 1e-3 * x[:100]
    dist, _ = neighbours(x.astype(np.float32), 10)
    np.testing.assert_allclose(dist, slow_distances(x.astype(np.float32), 10), rtol=1e-12)


def test_many_copies_do_not_push_a_row_out_of_its_own_list(rng):
    x = np.vstack([np.ones((50, 4)), rng.normal(size=(5, 4))]).astype(np.float32)
    dist, ids = neighbours(x, 3)
    assert (ids != np.arange(55)[:, None]).all()
    np.testing.assert_array_equal(dist[:50], 0)


def test_searching_in_parts_changes_nothing(rng, monkeypatch):
    x = rng.normal(size=(300, 6))
    module = __import__("sys").modules[neighbours.__module__]
    monkeypatch.setattr(module, "PRODUCTS", 0)
    whole, seen = neighbours(x, 5), []
    monkeypatch.setattr(module, "QUERIES", 64)
    monkeypatch.setattr(module, "CANDIDATES", 100)
    parts = neighbours(x, 5, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(parts.ids, whole.ids)
    np.testing.assert_array_equal(parts.dist, whole.dist)
    assert seen == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300)]


@pytest.mark.parametrize("kind", ["far crowd", "copies", "one direction", "one giant", "wide"])
def test_a_set_multiplied_out_has_the_neighbours_that_a_search_finds(kind, rng, monkeypatch):
    x = rng.normal(size=(300, 200 if kind == "wide" else 8)).astype(np.float32)
    if kind == "far crowd":
        x[:60] = 1e4 + 1e-3 * x[:60]
    elif kind == "copies":
        x[40:60] = x[0]
        x[60:80] = np.nextafter(x[0], 1)
    elif kind == "one direction":
        x = 100 + x[:, :1] * np.ones(8, np.float32)
    elif kind == "one giant":
        x[7] = 1e30
    products = neighbours(x, 12)
    module = __import__("sys").modules[neighbours.__module__]
    monkeypatch.setattr(module, "PRODUCTS", 0)
    searched = neighbours(x, 12)
    np.testing.assert_allclose(products.dist, searched.dist, rtol=1e-12, atol=0)
    differ = products.ids != searched.ids  # equal but for the last digit
    np.testing.assert_allclose(products.dist[differ], searched.dist[differ], rtol=1e-12, atol=0)
    assert differ.mean() < 0.01 or kind == "one direction"


def test_another_set_may_be_the_reference(rng):
    x, reference = rng.normal(size=(7, 3)), rng.normal(size=(30, 3))
    dist, ids = neighbours(x, 4, reference)
    apart = np.linalg.norm(x[:, None] - reference[None], axis=2)
    np.testing.assert_array_equal(ids, np.argsort(apart, axis=1)[:, :4])
    np.testing.assert_allclose(dist, np.sort(apart, axis=1)[:, :4], rtol=1e-12)
    # a copy of a query in the reference is another row, so it is found
    assert neighbours(x, 1, x).ids[:, 0].tolist() == list(range(7))


def test_the_graph_that_is_kept_is_compact(rng):
    graph = whole_set_graph(rng.normal(size=(20, 3)), 4)
    assert (graph.dist.dtype, graph.ids.dtype, graph.ids.shape) == (np.float32, np.int64, (20, 4))


@pytest.mark.parametrize(
    ("rows", "k", "complaint"),
    [
        (10, 16, "k=16 needs at least 17 embeddings, got 10. Lower k to 9 or less."),
        (1, 1, "k=1 needs at least 2 embeddings, got 1. Add embeddings."),
        (5, 0, "k=0 asks for no neighbour. Raise k to 1 or more."),
    ],
)
def test_an_impossible_k_is_refused_with_its_cure(rows, k, complaint, rng):
    with pytest.raises(ConfigError) as refused:
        neighbours(rng.normal(size=(rows, 3)), k)
    assert str(refused.value) == complaint


def test_k_may_be_all_of_another_reference_but_no_more(rng):
    x = rng.normal(size=(3, 2))
    assert neighbours(x, 5, rng.normal(size=(5, 2))).ids.shape == (3, 5)
    with pytest.raises(ConfigError, match="k=6 needs at least 6 embeddings, got 5"):
        neighbours(x, 6, rng.normal(size=(5, 2)))
    with pytest.raises(DataError, match="3 numbers per row, the embeddings have 2"):
        neighbours(x, 1, rng.normal(size=(5, 3)))
