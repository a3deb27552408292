"""The hit test of lasso and box."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipforensics.detect.polygon import inside, inside_box
from clipforensics.errors import DataError

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])


def slow_inside(point, polygon):
    x, y = point
    odd = False
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)):
            odd = not odd
    return odd


@given(st.integers(0, 10_000), st.integers(3, 12), st.booleans())
@settings(max_examples=100)
def test_fast_equals_slow_even_on_corners_and_edges(seed, corners, coarse):
    rng = np.random.default_rng(seed)
    polygon, points = rng.normal(size=(corners, 2)), rng.normal(size=(200, 2))
    if coarse:  # many points on corners, edges and level with corners
        polygon, points = np.round(2 * polygon), np.round(2 * points)
    held = inside(points, polygon)
    assert held.tolist() == [slow_inside(point, polygon) for point in points]


def test_a_square_holds_its_middle_and_its_left_and_bottom_edge():
    points = np.array([[1, 1], [0, 1], [1, 0], [2, 1], [1, 2], [3, 1], [1, -1], [0, 0], [2, 2.0]])
    assert inside(points, SQUARE).tolist() == [True, True, True, *[False] * 4, True, False]


def test_ground_circled_twice_is_outside():
    star = np.array([[np.sin(4 * np.pi * i / 5), np.cos(4 * np.pi * i / 5)] for i in range(5)])
    assert inside(np.array([[0.0, 0.0], [0.0, 0.8]]), star).tolist() == [False, True]


def test_neighbouring_polygons_share_no_point_and_lose_none(rng):
    points = np.round(4 * rng.random((500, 2)), 1)
    points = points[(points < 4).all(axis=1)]
    tiles = [SQUARE + [x, y] for x in (0, 2) for y in (0, 2)]
    assert (sum(inside(points, tile).astype(int) for tile in tiles) == 1).all()


def test_points_without_a_place_are_outside_and_float32_is_welcome():
    points = np.array([[np.nan, 1], [1, np.inf], [1, 1]], dtype=np.float32)
    assert inside(points, SQUARE).tolist() == [False, False, True]
    assert inside(np.empty((0, 2)), SQUARE).tolist() == []


def test_no_area_holds_nothing_and_no_polygon_is_refused():
    assert not inside(np.array([[1.0, 1.0]]), np.array([[0.0, 0], [1, 1], [2, 2]])).any()
    for broken in (SQUARE[:2], np.where(SQUARE == 2, np.nan, SQUARE)):
        with pytest.raises(DataError, match="at least 3 finite corners"):
            inside(SQUARE, broken)


def test_a_box_holds_its_edge_from_any_corner():
    points = np.array([[0.0, 0.0], [2.0, 1.0], [2.1, 1.0], [np.nan, 1.0]])
    for box in [(0, 0, 2, 1), (2, 1, 0, 0), (0, 1, 2, 0)]:
        assert inside_box(points, box).tolist() == [True, True, False, False]
