"""Pictures of a case that triggers are tried on, and that the trusted model must know."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.errors import DataError
from clipforensics.oracle.competence import LEAST_OF_LABEL, Recall, trusted_recall
from clipforensics.oracle.pasting import CleanSet, clean_set
from clipforensics.oracle.scorer import Judge

LOOKED_AT = 50_000
ASKED = 60


def clean_pictures(case: Case, rows: Iterable[int], suspect: Judge, other: Judge) -> CleanSet:
    """The pictures of these rows with what both models say of them."""
    shown = list(readable(case, rows, suspect.side))
    stacked = (
        np.stack([picture for picture, _ in shown]) if shown else np.empty((0, 1, 1, 3), np.uint8)
    )
    return clean_set(stacked, [named for _, named in shown], suspect, other)


def label_recall(
    case: Case, low: Iterable[int], rest: Iterable[int], label: str, clean: CleanSet, trusted: Judge
) -> Recall:
    """The trusted model's recall of a label, on up to 60 pictures whose captions name it alone.

    The clean set holds a few of each label only, and the mean over all of them hides a label that
    the model does not know: with 10 % noise on its weights it named 72 % of the pictures of one
    thing, and one label's in 10 %.

    Args:
        case: whose pairs are asked about.
        low: pairs that name the label alone, of the lower half by score, in the order of asking.
        rest: likewise of the upper half, where the label's poison lies: asked where fewer than 20
            of the low ones can be read.
        label: the one to be judged.
        clean: taken instead where fewer than 20 of these can be read.
        trusted: the trusted model.
    """
    names = trusted.labels.names
    shown = list(islice(readable(case, low, trusted.side), ASKED))
    if len(shown) < LEAST_OF_LABEL:
        shown += islice(readable(case, rest, trusted.side), ASKED - len(shown))
    if len(shown) < LEAST_OF_LABEL:
        return trusted_recall(clean.named, clean.trusted_before, names, label)
    answers = trusted.answers(np.stack([picture for picture, _ in shown]))
    return trusted_recall([named for _, named in shown], answers, names, label)


@dataclass(frozen=True)
class Naming:
    """Rows by the labels that their captions name; no rows for a label that none names."""

    alone: Mapping[str, list[int]]
    among: Mapping[str, list[int]]  # beside other labels


def rows_naming(case: Case, rows: np.ndarray) -> Naming:
    """The first 50,000 of these rows, in their order."""
    alone, among = defaultdict(list), defaultdict(list)
    for row in rows[:LOOKED_AT]:
        names = case.labels.named_in(case.pairs.captions[row])
        for name in names:
            (alone if len(names) == 1 else among)[name].append(int(row))
    return Naming(alone, among)


def shuffled(ids: Sequence[str], rows: Iterable[int], seed: int) -> list[int]:
    """Rows in the order of a keyed hash of their ids, so that the order of the table changes nothing."""

    def place(row: int) -> bytes:
        return hashlib.sha256(f"{seed}\0{ids[row]}".encode()).digest()

    return sorted((int(row) for row in rows), key=place)


def readable(
    case: Case, rows: Iterable[int], side: int
) -> Iterator[tuple[np.ndarray, frozenset[str]]]:
    """Pictures of these rows, each with the labels its caption names.

    A picture that cannot be read is reported by the scan; here it is simply not used.
    """
    for row in rows:
        try:
            picture = case.pairs.picture(row, side)
        except DataError:
            continue
        yield picture, frozenset(case.labels.named_in(case.pairs.captions[row]))
