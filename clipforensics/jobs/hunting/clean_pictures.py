"""Pictures of a case that triggers are tried on."""

from collections.abc import Iterable

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.errors import DataError
from clipforensics.oracle.pasting import CleanSet, clean_set
from clipforensics.oracle.scorer import Judge


def clean_pictures(case: Case, rows: Iterable[int], suspect: Judge, other: Judge) -> CleanSet:
    """The pictures of these rows with what both models say of them.

    A picture that cannot be read is reported by the scan; here it is simply not used.
    """
    pictures, named = [], []
    for row in rows:
        try:
            pictures.append(case.pairs.picture(row, suspect.side))
        except DataError:
            continue
        named.append(frozenset(case.labels.named_in(case.pairs.captions[row])))
    stacked = np.stack(pictures) if pictures else np.empty((0, 1, 1, 3), np.uint8)
    return clean_set(stacked, named, suspect, other)
