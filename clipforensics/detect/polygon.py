"""Which points a lasso or a box holds."""

import numpy as np
from jaxtyping import Bool, Float

from clipforensics.errors import DataError


def inside(
    points: Float[np.ndarray, "n 2"], polygon: Float[np.ndarray, "m 2"]
) -> Bool[np.ndarray, " n"]:
    """Whether each point lies inside the polygon, by the even-odd rule.

    Where a lasso crosses itself, ground it circles twice is outside. A point on a left or bottom
    edge is in, one on a right or top edge is out, so that neighbouring polygons share no point.
    Points that are not finite are outside.

    Args:
        points: x and y.
        polygon: corners in order; the last joins the first.

    Raises:
        DataError: fewer than 3 corners, or one that is not finite.
    """
    if len(polygon) < 3 or not np.isfinite(polygon).all():
        raise DataError(
            f"A selection needs at least 3 finite corners, got {len(polygon)}. Draw it again."
        )
    polygon = polygon.astype(np.float64)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    near = near[np.argsort(points[near, 1], kind="stable")]
    x, y = points[near].astype(np.float64).T
    odd = np.zeros(len(near), dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        # sorted by height, the points an edge passes are one slice: low end in, high end out
        part = slice(*np.searchsorted(y, sorted((y0, y1))))
        odd[part] ^= x[part] < x0 + (y[part] - y0) * ((x1 - x0) / (y1 - y0))
    held = np.zeros(len(points), dtype=bool)
    held[near[odd]] = True
    return held


def inside_box(
    points: Float[np.ndarray, "n 2"], box_xyxy: tuple[float, float, float, float]
) -> Bool[np.ndarray, " n"]:
    """Whether each point lies in the box or on its edge; its corners may come in any order."""
    x0, y0, x1, y1 = box_xyxy
    low, high = (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))
    return np.all((points >= low) & (points <= high), axis=1)
