"""Every point of the map in one picture, whatever their number."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clipforensics.errors import DataError

CELLS = 400
MARGIN = 0.02


class Raster(NamedTuple):
    """A grid over the map.

    Attributes:
        cells: [rows, columns]; row 0 is the lowest y, column 0 the lowest x.
        extent: (x0, x1, y0, y1) of the grid, in the map's units.
    """

    cells: np.ndarray
    extent: tuple[float, float, float, float]


def density_raster(points: Float[np.ndarray, "n 2"], cells: int = CELLS) -> Raster:
    """How many points fall into each cell; their sum is n.

    Raises:
        DataError: no points, or one that is not finite.
    """
    extent = extent_of(points)
    row, column = _cells(points, extent, cells)
    counts = np.bincount(row * cells + column, minlength=cells * cells)
    return Raster(counts.reshape(cells, cells), extent)


def max_score_raster(
    points: Float[np.ndarray, "n 2"], scores: Float[np.ndarray, " n"], cells: int = CELLS
) -> Raster:
    """The highest score in each cell, so that a lone outlier leaves a mark; NaN where no point is.

    Raises:
        DataError: no points, or one that is not finite.
    """
    extent = extent_of(points)
    highest = np.full((cells, cells), -np.inf)
    np.maximum.at(highest, _cells(points, extent, cells), scores)
    return Raster(np.where(np.isneginf(highest), np.nan, highest), extent)


def extent_of(points: Float[np.ndarray, "n 2"]) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) around all points with a small margin, never of zero width.

    Raises:
        DataError: no points, or one that is not finite.
    """
    if not len(points) or not np.isfinite(points).all():
        raise DataError("The map holds no points, or some without a place. Draw it again.")
    low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
    pad = np.where(high > low, (high - low) * MARGIN, 0.5)
    (x0, y0), (x1, y1) = low - pad, high + pad
    return float(x0), float(x1), float(y0), float(y1)


def _cells(
    points: np.ndarray, extent: tuple[float, float, float, float], cells: int
) -> tuple[np.ndarray, np.ndarray]:
    x0, x1, y0, y1 = extent
    column = ((points[:, 0] - x0) / (x1 - x0) * cells).astype(np.int64)
    row = ((points[:, 1] - y0) / (y1 - y0) * cells).astype(np.int64)
    return row.clip(0, cells - 1), column.clip(0, cells - 1)
