"""Exact nearest neighbours within a set small enough for one product with itself.

All against all is a symmetric product, half the work of a search. Its rounding is bounded, so the
rows that can be among the k nearest are known beforehand: usually the k and one or two more. Only
their distances are worked out again, from the differences in float64.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

RANKED = 256  # rows of products ranked at a time
DIFFERENCES = 100_000  # held at a time: they stay in the processor's cache


def nearest_among(
    points: Float[np.ndarray, "n d"], centred: Float32[np.ndarray, "n d"], k: int
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """The k nearest others of every row.

    Args:
        points: no number above 1, so that no square overflows.
        centred: the same less their mean, for products that cancel little.
        k: below n.

    Returns:
        Squared distances, least first and equal ones by id, and row numbers.
    """
    wide = points.astype(np.float64, copy=False)
    product = centred @ centred.T  # BLAS sees the symmetry
    lengths = np.diagonal(product).copy()
    square, ids = np.empty((len(points), k)), np.empty((len(points), k), np.int64)
    for start in range(0, len(points), RANKED):
        part = slice(start, min(start + RANKED, len(points)))
        away = np.subtract(lengths / 2, product[part])  # half the squared distance, less |x|²/2
        np.fill_diagonal(away[:, start:], np.inf)
        kth = np.partition(away, k - 1, axis=1)[:, k - 1]
        furthest = kth + rounding(2 * kth + lengths[part], lengths[part], points.shape[1])
        rows, found = np.divmod(np.flatnonzero(away <= furthest[:, None]), len(points))
        apart = squared_distances(wide[part], rows, wide, found)
        square[part], ids[part] = least(apart, rows, found, part.stop - start, k)
    return square, ids


def rounding(
    rough: Float32[np.ndarray, " n"], lengths: Float32[np.ndarray, " n"], width: int
) -> Float32[np.ndarray, " n"]:
    """How far rounding may have moved the squared distance of one of a row's k nearest.

    Write c = (d + 8)·eps. The product of q and y is off by at most c(|q| + |y|)², and |y| is at
    most |q| + r for a row at distance r. With v the k-th rough squared distance, the k-th true one
    is at most v + c(2|q| + r)², so r is at most (√v + 2√c|q|) / (1 - √c).

    Args:
        rough: the k-th least rough squared distance of each row q.
        lengths: |q|².
        width: d.
    """
    share = (width + 8) * np.finfo(np.float32).eps
    length, root = np.sqrt(lengths), np.float32(np.sqrt(share))
    reach = (np.sqrt(np.maximum(rough, 0)) + 2 * root * length) / (1 - root)
    return np.float32(share) * (2 * length + reach) ** 2


def squared_distances(
    queries: Float[np.ndarray, "q d"],
    rows: Int64[np.ndarray, " p"],
    points: Float[np.ndarray, "n d"],
    found: Int64[np.ndarray, " p"],
) -> Float64[np.ndarray, " p"]:
    """Of each pair of a query and a point, from the differences in float64."""
    square, step = np.empty(len(rows)), max(1, DIFFERENCES // points.shape[1])
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        apart = points.take(found[part], axis=0).astype(np.float64, copy=False)
        apart -= queries.take(rows[part], axis=0).astype(np.float64, copy=False)
        square[part] = np.vecdot(apart, apart)
    return square


def least(
    square: Float64[np.ndarray, " p"],
    rows: Int64[np.ndarray, " p"],
    found: Int64[np.ndarray, " p"],
    n: int,
    k: int,
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """The k least of each row's pairs, of which there are at least k, by size then id.

    Args:
        square, found: of each pair.
        rows: from 0 to n - 1, ascending.
    """
    counts = np.bincount(rows, minlength=n)
    table = np.full((n, counts.max()), np.inf), np.zeros((n, counts.max()), np.int64)
    place = rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[0][place], table[1][place] = square, found
    order = np.lexsort(table[::-1], axis=-1)[:, :k]
    return np.take_along_axis(table[0], order, 1), np.take_along_axis(table[1], order, 1)
