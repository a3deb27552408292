"""The map as a picture: no point is lost."""

import numpy as np
import pytest

from clipforensics.detect.raster import density_raster, extent_of, max_score_raster
from clipforensics.errors import DataError


def test_every_point_is_counted_where_histogram2d_counts_it(rng):
    points = rng.normal(size=(5000, 2)).astype(np.float32)
    counts, (x0, x1, y0, y1) = density_raster(points, cells=50)
    theirs, _, _ = np.histogram2d(points[:, 1], points[:, 0], bins=50, range=[[y0, y1], [x0, x1]])
    assert (counts.shape, counts.sum()) == ((50, 50), 5000)
    assert np.abs(counts - theirs).sum() <= 4  # a point on a line may round either way


def test_a_lone_high_score_leaves_a_mark(rng):
    points, scores = rng.normal(size=(3000, 2)), rng.random(3000)
    scores[7] = 99
    highest, _ = max_score_raster(points, scores, cells=20)
    counts, _ = density_raster(points, cells=20)
    assert np.nanmax(highest) == 99
    np.testing.assert_array_equal(np.isnan(highest), counts == 0)


def test_rows_go_up_and_columns_go_right():
    counts, extent = density_raster(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 5.0]]), cells=4)
    assert (counts[0, 0], counts[0, 3], counts[3, 3], counts[3, 0]) == (1, 1, 1, 0)
    assert extent == (-0.2, 10.2, -0.1, 5.1)


def test_one_place_still_has_an_extent():
    assert extent_of(np.array([[3.0, 4.0]])) == (2.5, 3.5, 3.5, 4.5)
    for broken in (np.empty((0, 2)), np.array([[np.nan, 1.0]])):
        with pytest.raises(DataError, match="no points"):
            density_raster(broken)
