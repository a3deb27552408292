"""Rows that are the same or nearly so: pictures by their embeddings, captions by their words.

Copies hide from a local-density score, so groups are listed on their own, and may be collapsed to
one row each before scoring.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64

from clipforensics.detect.embeddings import Copies, content_words, find_copies, take, unit_rows
from clipforensics.detect.neighbours import approximate_neighbours, neighbours
from clipforensics.errors import RunError

LEAST_COSINE = 0.97
LEAST_PICTURES = 20  # near-identical pictures of one caption that are worth a look
LEAST_LABELS = 3  # different labels that captions of one picture must name to be worth a look
LEAST_CAPTIONS = 3  # different captions of one very picture that are worth a look
MOST_CAPTIONED = 0.5
"""Share of rows; beyond it, several captions a picture are how the data is made."""
ONE_CAPTION, MANY_LABELS = "many copies, one caption", "one picture, many labels"
MANY_CAPTIONS = "exact copies, many captions"
NEAR, EXACT_ROWS, ROWS = 15, 50_000, 16_384


@dataclass(frozen=True)
class Group:
    """The same picture, or nearly.

    Attributes:
        rows: int64, ascending.
        captions: how many different captions they have, but for case, punctuation and spaces.
        caption: the most frequent one, as it stands in the data.
        labels: how many different labels their captions name.
        agreed: share of the captions naming any label that name the most frequent one; 1 when
            none names any.
        telling: whether all rows are one very picture, and so many captions for it are unusual
            in this data.
    """

    rows: np.ndarray
    captions: int
    caption: str
    labels: int
    agreed: float
    telling: bool = False

    @property
    def striking(self) -> str:
        """Why it is worth a look, or an empty string.

        Many wordings of one label for nearly the same pictures are honest. Captions that name at
        least three labels, none of them in more than half, disagree about what the picture shows.
        Exact copies under several captions are how a chosen picture is taught a wrong label; the
        captions may all agree on it.
        """
        if len(self.rows) >= LEAST_PICTURES and self.captions == 1:
            return ONE_CAPTION
        if self.labels >= LEAST_LABELS and self.agreed <= 0.5:
            return MANY_LABELS
        return MANY_CAPTIONS if self.telling and self.captions >= LEAST_CAPTIONS else ""


def near_copies(
    x: Float[np.ndarray, "n d"],
    ids: Int64[np.ndarray, "n k"] | None = None,
    least_cosine: float = LEAST_COSINE,
    stop: Callable[[], bool] | None = None,
    exact: Copies | None = None,
) -> Copies:
    """Which rows are nearly the same: linked through neighbours of at least this cosine.

    Links chain, so the ends of a large group may differ more than its neighbours do.

    Args:
        x: embeddings [n, d], none of them zero.
        ids: nearest others of every row, of any graph, as candidates; None searches by angle,
            exactly up to 50,000 different rows.
        least_cosine: in (0, 1].
        stop: asked between blocks of rows; true ends the work.
        exact: which rows are the same by angle, where that is known already.

    Raises:
        DataError: x is not finite, or a row is zero.
        RunError: stopped on request.
    """

    def watch(done: int, total: int) -> None:
        if stop is not None and stop():
            raise RunError(f"Stopped while finding near-copies, after {done:,} of {total:,} rows.")

    exact = exact or find_copies(x, normalize=True, stop=stop)
    own, other = [np.arange(len(x))], [exact.first[exact.place]]
    if ids is None:
        unit = unit_rows(x[exact.first])
        k = min(NEAR, len(unit) - 1)
        search = neighbours if len(unit) <= EXACT_ROWS else approximate_neighbours
        near = (
            exact.first[search(unit, k, progress=watch).ids]
            if k
            else np.empty((len(unit), 0), np.int64)
        )
        rows = exact.first
    else:
        near, rows = ids, np.arange(len(x))
    for start in range(0, len(rows), ROWS):
        watch(start, len(rows))
        part = slice(start, start + ROWS)
        one = take(x, rows[part], normalize=True)
        for column in range(near.shape[1]):
            far = take(x, near[part, column], normalize=True)
            close = np.einsum("nd,nd->n", one, far) >= least_cosine
            own.append(rows[part][close])
            other.append(near[part, column][close])
    place = components(len(x), np.concatenate(own), np.concatenate(other))
    # a group's row is the same wherever it stands in the table
    words = content_words(x, exact.first, normalize=True)[exact.place]
    by_content = np.lexsort((words, place))
    first = by_content[np.unique(place[by_content], return_index=True)[1]]
    order = np.argsort(first)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return Copies(first[order].astype(np.int64), position[place].astype(np.int64))


def components(
    n: int, one: Int64[np.ndarray, " p"], other: Int64[np.ndarray, " p"]
) -> Int64[np.ndarray, " n"]:
    """A number for each of n rows, the same for rows that these pairs link, over others too."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)


def picture_groups(
    copies: Copies,
    captions: Sequence[str],
    named_in: Callable[[str], Sequence[str]],
    exact: Copies | None = None,
) -> list[Group]:
    """Groups of two or more rows with what their captions say, striking ones first, then by size.

    Args:
        copies: which rows are nearly the same.
        captions: one a row.
        named_in: the labels that a caption names, each once.
        exact: which rows are exactly the same. Those with many captions are groups of their own,
            also inside a larger one, unless most rows are such: then each picture of the data has
            several captions, and that tells nothing.

    Source:
        One picture under many captions is targeted data poisoning: Carlini and Terzis, ICLR 2022.
        The numbers are our choice.
    """
    near = [_group(rows, captions, named_in) for rows in copies.groups()]
    same = [_group(rows, captions, named_in) for rows in (exact.groups() if exact else ())]
    several = sum(len(one.rows) for one in same if one.captions > 1)
    if several <= MOST_CAPTIONED * len(captions):
        own = [replace(one, telling=True) for one in same if one.captions >= LEAST_CAPTIONS]
        listed = {tuple(one.rows) for one in own}
        near = own + [one for one in near if tuple(one.rows) not in listed]
    return sorted(near, key=lambda one: (not one.striking, -len(one.rows)))


def _group(
    rows: np.ndarray, captions: Sequence[str], named_in: Callable[[str], Sequence[str]]
) -> Group:
    """What the captions of these rows say."""
    said: dict[str, list[int]] = {}
    for row in rows:
        said.setdefault(plain_caption(captions[int(row)]), []).append(int(row))
    often = max(said.values(), key=len)
    named = [some for row in rows if (some := named_in(captions[int(row)]))]
    times = Counter(label for some in named for label in some)
    agreed = max(times.values()) / len(named) if named else 1.0
    return Group(np.sort(rows), len(said), captions[often[0]], len(times), agreed)


def caption_groups(captions: Sequence[str], least: int = 2) -> list[np.ndarray]:
    """Rows of every caption that occurs at least so often, most frequent first."""
    said: dict[str, list[int]] = {}
    for row, caption in enumerate(captions):
        said.setdefault(plain_caption(caption), []).append(row)
    groups = [np.array(rows, np.int64) for rows in said.values() if len(rows) >= least]
    return sorted(groups, key=len, reverse=True)


def plain_caption(caption: str) -> str:
    """A caption but for case, punctuation and spaces."""
    return " ".join(re.findall(r"\w+", caption.casefold()))
