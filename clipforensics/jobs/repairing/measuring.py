"""The test set and its stamped twins that a run is measured on, made once before the first step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.errors import DataError
from clipforensics.jobs.attacking.testing import planted_set, targeted_set, testable_rows
from clipforensics.jobs.repairing.curating import (
    density_of,
    excluded_rows,
    names_per_row,
    scores_of,
)
from clipforensics.jobs.scanning.scan import is_embedded
from clipforensics.oracle.bank import Trigger

FOUND_SHOWN = 3
RETRIEVED = 1000
LABELLED = "the case's labelled test set"
HELD_OUT = (
    "held-out low-score pairs whose caption names exactly one label; the suspect learned from them"
)


@dataclass(frozen=True)
class Measure:
    """`evaluate(encoder)` gives one evaluation record; `held_out` are rows no run may learn from."""

    evaluate: Callable[[Any], dict[str, Any]]
    held_out: np.ndarray
    test_of: str
    asr_of: str | None


def measure(
    case: Case,
    triggers: Sequence[Trigger],
    side: int,
    pictures: int,
    used: np.ndarray,
    held_out: np.ndarray | None = None,
    seed: int = 0,
) -> Measure:
    """Frame and stamp the test pictures.

    The planted trigger comes first where the case knows the truth, so that a repair taught with a
    found trigger is judged by the real one; else the best found one.

    Args:
        case: the case.
        triggers: verified ones, best first; the first three are measured.
        side: the model's picture side.
        pictures: at most so many test pictures, a seeded sample.
        used: rows a fine-tuning run learns from, never tested on.
        held_out: rows for retrieval, see `retrieval_rows`; None or empty measures none.
        seed: of the sample and of the places.

    Raises:
        DataError: there is nothing to test on.
    """
    from clipforensics.train.evaluate import Evaluator, TestSet

    retrieval = _retrieval(case, side, pictures, held_out)
    kept = np.empty(0, np.int64) if held_out is None else held_out
    frames, truth, names, tested, test_of = _test_set(
        case, side, pictures, np.union1d(used, kept), seed
    )
    test = TestSet(frames, truth)
    made = case.truth
    planted = planted_set(made, case.labels, test, names) if made else None
    targeted = targeted_set(made, case.labels, case.test, side) if made and case.test else None
    found = [
        _found(t, f"found {i + 1}", case, test, seed) for i, t in enumerate(triggers[:FOUND_SHOWN])
    ]
    sets = [one for one in (planted, *found) if one is not None]
    asr_of = None if not sets else "planted" if planted else "found"
    evaluator = Evaluator(case.labels, test, sets, asr_of or "planted", targeted)

    def evaluate(encoder: Any) -> dict[str, Any]:
        return {**evaluator(encoder), **retrieval(encoder), "test_of": test_of}

    return Measure(evaluate, np.union1d(tested, kept), test_of, asr_of)


def retrieval_rows(case: Case, used: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Pairs held out of every run to measure retrieval on; none where the test set has captions.

    Args:
        case: the case; where it is embedded only pairs whose pictures lie less apart than the
            median are taken, so that what is held out is no poison, and the poison stays in a
            retraining. By density alone: a ranking that reads captions, too, would hold out those
            that the suspect retrieves best (demo, R@1: .80 for .67).
        used: rows a fine-tuning run learns from.
        count: at most so many, and at most a fortieth of all pairs: a retraining lacks them.
        seed: of the draw.
    """
    if case.test is not None and any(case.test.captions):
        return np.empty(0, np.int64)
    usable = ~excluded_rows(case)
    usable[used] = False
    if is_embedded(case):
        score = density_of(case)
        usable &= np.nan_to_num(score, nan=np.inf) <= np.nanmedian(score)
    return _drawn(usable, min(count, len(case.pairs) // 40), 59, seed)


def _drawn(usable: np.ndarray, count: int, stream: int, seed: int) -> np.ndarray:
    """Sorted rows: every row has its own lot, so runs that use other pairs are measured on nearly the same."""
    lots = np.random.default_rng([seed, stream]).permutation(len(usable))
    rows = np.flatnonzero(usable)
    return np.sort(rows[np.argsort(lots[rows])][:count]).astype(np.int64)


def most_held_out(case: Case, pictures: int, count: int) -> int:
    """How many pairs a retraining lacks, at most: those for retrieval, and test pictures where the
    case has no labelled test set. See `measure` and `retrieval_rows`."""
    n, test = len(case.pairs), case.test
    retrieved = 0 if test is not None and any(test.captions) else min(count, n // 40)
    tested = 0 if test is not None and test.truth is not None else most_tested(case, pictures)
    return retrieved + tested


def most_tested(case: Case, pictures: int) -> int:
    """How many test pictures a run measures with, at most. See `_test_set`."""
    labelled = case.test is not None and case.test.truth is not None
    there = len(case.test) if labelled else len(case.pairs) // 10  # pyright: ignore
    return min(pictures, there)


def _retrieval(
    case: Case, side: int, pictures: int, held_out: np.ndarray | None
) -> Callable[[Any], dict[str, Any]]:
    """Retrieval on the test set's own captions, else on held-out pairs; nothing without either."""
    from clipforensics.train.retrieval import RetrievalSet

    source, rows = case.pairs, held_out
    if case.test is not None and any(case.test.captions):
        named = [row for row, text in enumerate(case.test.captions) if text.strip()]
        source, rows = case.test, np.array(named[: min(pictures, RETRIEVED)])
    frames, captions = [], []
    for row in [] if rows is None else rows:
        try:
            frames.append(source.picture(int(row), side))
            captions.append(source.captions[int(row)])
        except DataError:
            continue  # the scan lists bad pictures
    return RetrievalSet(np.stack(frames), captions) if frames else lambda encoder: {}


def _test_set(
    case: Case, side: int, pictures: int, used: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray, str]:
    labels = case.labels
    if case.test is not None and case.test.truth is not None:
        rng = np.random.default_rng([seed, 51])
        rows = np.sort(rng.permutation(testable_rows(case.truth, case.test))[:pictures])
        truth = np.array([labels.index(case.test.truth[row]) for row in rows])
        names = [case.test.ids[row] for row in rows]
        return case.test.frames(rows, side), truth, names, np.empty(0, np.int64), LABELLED
    named, low = names_per_row(case), scores_of(case)
    usable = np.isfinite(low) & ~excluded_rows(case)
    usable &= np.array([len(names) == 1 for names in named], bool)
    usable[used] = False
    usable[usable] = low[usable] <= np.nanmedian(low)
    rows = _drawn(usable, min(pictures, len(case.pairs) // 10), 51, seed)
    if not len(rows):
        raise DataError(
            "The case has no labelled test set, and no pair scores low and names exactly one label. "
            "Make a case that names a test set."
        )
    truth = np.array([named[row][0] for row in rows])
    return case.pairs.frames(rows, side), truth, [case.pairs.ids[r] for r in rows], rows, HELD_OUT


def _found(trigger: Trigger, name: str, case: Case, test: Any, seed: int) -> Any:
    """The found crop at a random place of each picture, at its own size."""
    from clipforensics.repair.eftclip import Stamp, stamped_copy
    from clipforensics.train.evaluate import StampedSet

    target = case.labels.index(trigger.label)
    rows = np.flatnonzero(test.truth != target)
    if not len(rows):
        return None
    stamp = Stamp(trigger.pixels, trigger.mask, trigger.label)
    stamped = [
        stamped_copy(test.pictures[row], stamp, np.random.default_rng([seed, int(row), 53]))
        for row in rows
    ]
    return StampedSet(name, np.stack(stamped), rows, target)
