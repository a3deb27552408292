"""Which pairs of a case carry the verified triggers: the pattern is looked for in every picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.errors import DataError
from clipforensics.jobs.hunting.examiner import Examiner
from clipforensics.jobs.hunting.examining import Tried, inspect
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.affected import Suspicion, carriers, probable
from clipforensics.oracle.bank import Trigger
from clipforensics.oracle.matching import is_flat, match_floor, peaks

Progress = Callable[..., None]
Stop = Callable[[], bool]
CHUNK = 512


def suspicions_of(
    case: Case,
    examiner: Examiner,
    bank: Sequence[Trigger],
    tried: Mapping[int, Sequence[Tried]],
    tell: Progress,
    halt: Stop,
) -> tuple[list[Suspicion], list[str]]:
    """Victims and carriers of the verified triggers, over all pairs; and which was not looked for.

    A pair that two triggers of one label may claim is of the one whose pattern it holds best.
    """
    verified = [t for t in bank if t.figures.status == "verified"]
    if not verified:
        return [], []
    named = tuple(frozenset(case.labels.named_in(caption)) for caption in case.pairs.captions)
    correlations = _correlations(case, examiner.suspect.side, verified, tell, halt)
    found: dict[tuple[str, str], Suspicion] = {}
    unsearched = []
    for at, (trigger, match) in enumerate(zip(verified, correlations, strict=True)):
        effects = _effects(case, tried, trigger.label)
        floor = None if is_flat(trigger.pixels, trigger.core) else _floor(trigger, named, match)
        if floor is None:
            unsearched.append(
                f"The trigger of {trigger.label} first seen in {trigger.pair} could not be looked for in "
                "every picture: it is too flat, or too many pictures whose captions name something else "
                "hold something like it. Its victims are only among the inspected pictures."
            )
        for one in carriers(trigger, case.pairs.ids, named, match, floor, effects):
            one, key = replace(one, trigger=at), (one.pair, one.label)
            found[key] = max(found.get(key, one), one, key=lambda s: s.strength)
    return list(found.values()), unsearched


def probable_pairs(
    case: Case,
    examiner: Examiner,
    bank: Sequence[Trigger],
    order: Sequence[int],
    ranked: np.ndarray,
) -> list[Suspicion]:
    """Inspected pairs whose caption and suspect agree against sight; none if a trigger is verified.

    Nor any for a label that the trusted model cannot judge: that it sees the thing nowhere in a
    picture says nothing then.
    """
    if any(t.figures.status == "verified" for t in bank):
        return []
    blind = {t.label for t in bank if t.figures.status == "unjudged"}
    rank = {int(row): i for i, row in enumerate(ranked)}
    found = []
    for row in order:
        named = frozenset(case.labels.named_in(case.pairs.captions[row]))
        share = rank[row] / max(1, len(ranked))
        one = probable(case.pairs.ids[row], named, inspect(case, row, examiner), share)
        if one is not None and one.label not in blind and examiner.knows(one.label):
            found.append(one)
    return found


def _floor(trigger: Trigger, named: Sequence[frozenset[str]], match: np.ndarray) -> float | None:
    # pictures whose caption names another label: poison that serves this trigger names its own
    others = np.array([trigger.label not in names for names in named], bool)
    return match_floor(match[others & np.isfinite(match)])


def _effects(case: Case, tried: Mapping[int, Sequence[Tried]], label: str) -> dict[str, np.ndarray]:
    return {
        case.pairs.ids[row]: one.signature
        for row, several in tried.items()
        for one in several
        if one.signature is not None and one.candidate.label == label
    }


def _correlations(
    case: Case, side: int, triggers: Sequence[Trigger], tell: Progress, halt: Stop
) -> np.ndarray:
    """Peak correlation of each trigger's core with each pair, float32 [triggers, pairs]."""
    n = len(case.pairs)
    out = np.full((len(triggers), n), np.nan, np.float32)
    for start, rows, pictures in _readable(case, side):
        if halt():
            raise Stopped("Stopped while looking for victims; inspected pictures are kept.")
        tell(start, n, "looking for the triggers in every picture")
        for i, trigger in enumerate(triggers):
            if len(rows):
                out[i, rows], _ = peaks(pictures, trigger.pixels, trigger.core)
    tell(n, n, "looking for the triggers in every picture")
    return out


def _readable(case: Case, side: int) -> Iterator[tuple[int, list[int], np.ndarray]]:
    """Chunks of pictures that can be read; the next chunk is decoded meanwhile."""
    starts = range(0, len(case.pairs), CHUNK)
    with ThreadPoolExecutor(1, "decode") as pool:
        waiting = pool.submit(_chunk, case, side, 0)
        for start in starts:
            rows, pictures = waiting.result()
            if start + CHUNK < len(case.pairs):
                waiting = pool.submit(_chunk, case, side, start + CHUNK)
            yield start, rows, pictures


def _chunk(case: Case, side: int, start: int) -> tuple[list[int], np.ndarray]:
    rows, pictures = [], []
    for row in range(start, min(start + CHUNK, len(case.pairs))):
        try:
            pictures.append(case.pairs.picture(row, side))
        except DataError:
            continue  # the scan lists it among the bad pictures
        rows.append(row)
    return rows, np.stack(pictures) if pictures else np.empty((0, side, side, 3), np.uint8)
