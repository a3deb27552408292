"""Near-copies so many that they would crowd a reference set: they count there as one row.

A picture that comes a hundred times, a little changed each time, makes places of a density that no
honest picture has: the copies and all that lies near them score as outliers, above the poison.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt64

from clipforensics.config.detect import ReferenceSettings
from clipforensics.detect.draws import sample_of
from clipforensics.detect.embeddings import Copies, content_words, find_copies, take
from clipforensics.detect.groups import LEAST_COSINE, LEAST_PICTURES, NEAR, components
from clipforensics.detect.neighbours import neighbours
from clipforensics.errors import RunError

LOOKED_AT = 8192
"""Different rows among which groups are looked for: as many as the largest usual reference set."""
LEAST_SEEN = 5
"""Of a group, among these: fewer do not fill the nearest 8 of a row."""
LARGEST_SHARE, MOST_SHARE = 0.25, 0.5
"""Of the rows looked at: one group, and all; beyond it, it is the embedding that makes all alike, not the pictures."""
PIVOTS, ROWS = 64, 4096  # of a group, that others are compared with; rows compared at a time
RULE = {
    "least_cosine": LEAST_COSINE, "least_rows": LEAST_PICTURES, "looked_at": LOOKED_AT,
    "least_seen": LEAST_SEEN, "largest_share": LARGEST_SHARE, "most_share": MOST_SHARE,
}  # fmt: skip
"""What decides which rows count as one, as the key of scores that rest on it."""


def counted(
    x: np.ndarray,
    reference: ReferenceSettings,
    stop: Callable[[], bool] | None = None,
    copies: Copies | None = None,
) -> tuple[Copies, UInt64[np.ndarray, " m"]]:
    """Which rows of embeddings count as one, and `content_words` of the different ones.

    Args:
        x: embeddings [n, d].
        reference: whether by angle, and whether near-copies count once.
        stop: asked all along; true ends the work.
        copies: if they are known already.

    Raises:
        DataError: x is no table of finite floats, or (if normalize) a row is zero.
        RunError: stopped on request.
    """
    if copies is not None:
        return copies, content_words(x, copies.first, reference.normalize, stop)
    exact = find_copies(x, reference.normalize, stop)
    words = content_words(x, exact.first, reference.normalize, stop)
    if not reference.collapse:
        return exact, words
    found = frequent_copies(x, exact, words, reference.normalize, stop)
    return found, words[np.searchsorted(exact.first, found.first)]


def frequent_copies(
    x: np.ndarray,
    exact: Copies,
    words: UInt64[np.ndarray, " m"],
    normalize: bool = False,
    stop: Callable[[], bool] | None = None,
) -> Copies:
    """Which rows count as one: exact copies, and near-copies in groups of 20 or more.

    Near are a and b with |a - b|² <= 2 (1 - .97) |a||b|: of unit rows, a cosine of .97. Raw rows
    have to be about as long, too, since a trigger may show in the length alone. Links chain, as in
    `groups.near_copies`. Smaller groups are left as they are: they do little harm (ten pictures, 15
    copies each: average precision .992 for .999 on the demo), and counting every pair of
    near-copies once took recall from targeted poisoning (.24 to .15 in the top 1 %) and up to .03 of
    AUROC from clean-label poison, since natural pictures of one kind are near, too. This rule
    changed average precision by .002 at most on five attacks at 1 %, and poison that consists of near-copies
    of one picture ranks no lower for it (100 of them: median place .46 % from the top for .52 %).

    Of more than 8,192 different rows as many are drawn by content, and groups looked for among
    them: those with 5 members or more there, and 20 or more in all if they are as frequent
    elsewhere. The other rows join the group of a member that they are near to. A group too rare to
    be found is too rare to crowd a reference set of that size. Groups that hold over a quarter of the
    rows, or together over half, are the shape of the embedding (few kinds of picture, all of a kind
    alike) and no copies.

    Args:
        x: embeddings [n, d]; may be memory-mapped.
        exact: its exact copies.
        words: `content_words` of the different rows.
        normalize: compare angles alone.
        stop: asked all along; true ends the work.

    Returns:
        The same for the same rows in any order. A group is represented by the member nearest to its
        mean, of those looked at; whatever is done with that one row holds for all.

    Raises:
        RunError: stopped on request.

    Source:
        Ours, as are the numbers: chosen on one suspect each of five attacks and the demo case.
    """
    own = sample_of(words, LOOKED_AT)
    rows = exact.first[own]
    points = take(x, rows, normalize)
    lengths = np.sqrt(np.vecdot(points, points, dtype=np.float64))
    if not lengths.all():  # a zero row is near to nothing
        own, points, lengths = own[lengths > 0], points[lengths > 0], lengths[lengths > 0]
    group = _groups(points, lengths, _least(len(exact.first)), stop)
    if not (group >= 0).any():
        return exact
    joined = np.full(len(exact.first), -1)
    joined[own] = group
    if len(exact.first) > LOOKED_AT:
        _join(x, exact, joined, points, group, normalize, stop)
    middles = [own[at] for at in _middles(points, group)]
    return _merged(exact, joined, np.array(middles))


def _least(n: int) -> int:
    """How many of the rows looked at make a group worth counting once."""
    return max(LEAST_SEEN, int(np.ceil(LEAST_PICTURES * min(1.0, LOOKED_AT / n))))


def _groups(
    points: Float[np.ndarray, "m d"],
    lengths: Float[np.ndarray, " m"],
    least: int,
    stop: Callable[[], bool] | None,
) -> Int64[np.ndarray, " m"]:
    """The group of each row that is in one of at least so many, from 0; else -1."""
    found = np.full(len(points), -1)
    if len(points) <= least:
        return found

    def watch(done: int, total: int) -> None:
        if stop is not None and stop():
            raise RunError(f"Stopped while finding near-copies, after {done:,} of {total:,} rows.")

    near = neighbours(points, min(NEAR, len(points) - 1), progress=watch)
    close = _is_near(near.dist**2, lengths[:, None] * lengths[near.ids])
    row, column = np.nonzero(close)
    place = components(len(points), row, near.ids[row, column])
    size = np.bincount(place)
    wanted = np.flatnonzero((size >= least) & (size <= LARGEST_SHARE * len(points)))
    if size[size >= least].sum() > MOST_SHARE * len(points):
        return found
    for number, one in enumerate(wanted):
        found[place == one] = number
    return found


def _is_near(square: np.ndarray, lengths: np.ndarray) -> Bool[np.ndarray, "..."]:
    """By squared distances and products of lengths."""
    return square <= 2 * (1 - LEAST_COSINE) * lengths


def _join(
    x: np.ndarray,
    exact: Copies,
    joined: Int64[np.ndarray, " m"],
    points: Float[np.ndarray, "s d"],
    group: Int64[np.ndarray, " s"],
    normalize: bool,
    stop: Callable[[], bool] | None,
) -> None:
    """Give rows that were not looked at the group of a member they are near to, in place."""
    members = [np.flatnonzero(group == one)[:PIVOTS] for one in range(group.max() + 1)]
    chosen = np.concatenate(members)
    exponent = -int(np.frexp(np.abs(points).max())[1])  # exact, and keeps squares within float32
    pivots = np.ldexp(points[chosen], exponent).astype(np.float32)
    square = np.vecdot(pivots, pivots)
    others = np.flatnonzero(joined < 0)
    for start in range(0, len(others), ROWS):
        if stop is not None and stop():
            raise RunError(
                f"Stopped while finding near-copies, after {start:,} of {len(others):,} rows."
            )
        some = others[start : start + ROWS]
        with np.errstate(over="ignore", invalid="ignore"):  # such a row is near to none of them
            part = np.ldexp(take(x, exact.first[some], normalize), exponent).astype(np.float32)
            own = np.vecdot(part, part)
            apart = own[:, None] + square - 2 * (part @ pivots.T)
            close = _is_near(apart, np.sqrt(own)[:, None] * np.sqrt(square))
        close &= (own > 0)[:, None]
        best = np.where(close, apart, np.inf).argmin(axis=1)
        hit = close.any(axis=1)
        joined[some[hit]] = group[chosen[best[hit]]]


def _middles(points: Float[np.ndarray, "s d"], group: Int64[np.ndarray, " s"]) -> list[int]:
    """Of every group the member nearest to its mean: the first of equal ones."""
    middles = []
    for one in range(group.max() + 1):
        members = np.flatnonzero(group == one)
        wide = points[members].astype(np.float64)
        away = wide - wide.mean(axis=0)
        middles.append(int(members[np.argmin(np.vecdot(away, away))]))
    return middles


def _merged(
    exact: Copies, joined: Int64[np.ndarray, " m"], middles: Int64[np.ndarray, " g"]
) -> Copies:
    """Exact copies and groups of them as one row each."""
    first = np.where(joined >= 0, middles[joined], np.arange(len(joined)))
    kept, place = np.unique(first, return_inverse=True)
    return Copies(exact.first[kept], place[exact.place].astype(np.int64))
