"""Exact nearest neighbours within a set small enough for one product with itself.

All against all is a symmetric product, half the work of a search. Its rounding is bounded, so the
rows that can be among the k nearest are known beforehand: usually the k and one more. Only their
distances are worked out again in float64: from products too, and where these cancel, from the
differences.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

RANKED = 128  # rows of products ranked at a time
FOLDED = 8  # columns of which the least speaks for all
NUMBERS = 200_000  # gathered at a time: they stay in the processor's cache
CANCELS = 1 / 128  # share of the squared lengths below which a difference keeps more digits


def nearest_among(
    points: Float[np.ndarray, "n d"], middle: Float[np.ndarray, " d"], k: int
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """The k nearest others of every row.

    Args:
        points: no number above 1, so that no square overflows.
        middle: about their mean, so that products cancel little.
        k: below n.

    Returns:
        Squared distances, least first and equal ones by id, and row numbers.
    """
    wide = np.subtract(points, middle, dtype=np.float64)
    rows, found = candidates(wide.astype(np.float32), k)
    square, ids = np.empty((len(points), k)), np.empty((len(points), k), np.int64)
    counts = np.bincount(rows)
    ends, lengths = np.cumsum(counts), np.vecdot(wide, wide)
    for count in np.unique(counts):  # rows with equally many candidates make a table
        some = np.flatnonzero(counts == count)
        near = found[ends[some, None] - np.arange(count, 0, -1)]
        apart = np.empty(near.shape)
        for part in blocks(len(near), near.shape[1] * points.shape[1]):
            sums = lengths[some[part], None] + lengths[near[part]]
            product = np.vecdot(wide.take(near[part], axis=0), wide[some[part], None])
            apart[part] = sums - 2 * product
            small = apart[part] < CANCELS * sums
            if small.any():
                exact = squared_distances(points[some[part]], points, near[part])
                apart[part][small] = exact[small]
        square[some], ids[some] = least(apart, near, k)
    return square, ids


def candidates(
    centred: Float32[np.ndarray, "n d"], k: int
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Pairs of a row and another that may be among its k nearest; none that is can be missing.

    Returns:
        The rows, ascending, each at least k times; and the others.
    """
    n, width = centred.shape
    product, pairs = centred @ centred.T, []  # BLAS sees the symmetry
    lengths = np.diagonal(product).copy()
    fold = max(1, min(FOLDED, n // (4 * k)))
    for start in range(0, n, RANKED):
        own = lengths[start : start + RANKED]
        away = lengths / 2 - product[start : start + RANKED]  # half the square, less |x|²/2
        np.fill_diagonal(away[:, start:], np.inf)
        # the k-th of fewer is no nearer than the k-th of all
        fewer = away[:, : n // fold * fold].reshape(len(own), fold, -1).min(axis=1)
        kth = np.partition(fewer, k - 1, axis=1)[:, k - 1]
        furthest = kth + rounding(2 * kth + own, own, width)
        pairs.append(np.flatnonzero(away <= furthest[:, None]) + start * n)
    rows, found = np.divmod(np.concatenate(pairs), n)
    return rows, found


def rounding(
    rough: Float32[np.ndarray, " n"], lengths: Float32[np.ndarray, " n"], width: int
) -> Float32[np.ndarray, " n"]:
    """How far rounding may have moved the squared distance of one of a row's k nearest.

    Write c = (d + 8)·eps. The square for q and y is off by at most c(|q| + |y|)², and |y| is at
    most |q| + r for a row at distance r. With v the k-th rough squared distance, the k-th true one
    is at most v + c(2|q| + r)², so r is at most (√v + 2√c|q|) / (1 - √c).

    Args:
        rough: a rough squared distance of each row q within which k others lie.
        lengths: |q|².
        width: d.
    """
    share = (width + 8) * np.finfo(np.float32).eps
    length, root = np.sqrt(lengths), np.float32(np.sqrt(share))
    reach = (np.sqrt(np.maximum(rough, 0)) + 2 * root * length) / (1 - root)
    return np.float32(share) * (2 * length + reach) ** 2


def squared_distances(
    queries: Float[np.ndarray, "q d"],
    points: Float[np.ndarray, "n d"],
    found: Int64[np.ndarray, "q c"],
) -> Float64[np.ndarray, "q c"]:
    """Between each query and the points found for it, from the differences in float64."""
    square = np.empty(found.shape)
    for part in blocks(len(found), found.shape[1] * points.shape[1]):
        apart = points.take(found[part], axis=0).astype(np.float64, copy=False)
        apart -= queries[part, None]
        square[part] = np.vecdot(apart, apart)
    return square


def least(
    square: Float64[np.ndarray, "n c"], ids: Int64[np.ndarray, "n c"], k: int
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """The k least of every row, and their ids; equal ones by id."""
    order = np.lexsort((ids, square), axis=-1)[:, :k]
    return np.take_along_axis(square, order, 1), np.take_along_axis(ids, order, 1)


def blocks(n: int, width: int, numbers: int = NUMBERS) -> Iterator[slice]:
    """Some of n queries at a time, `width` numbers each: what is gathered stays in the cache."""
    step = max(1, numbers // max(1, width))
    return (slice(start, start + step) for start in range(0, n, step))
