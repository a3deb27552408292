"""What random crops of the same mask do where a candidate was pasted: the paste test's controls."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil

import numpy as np

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.pasting import CleanSet, Crop, Protocol, pasted_at, random_crop
from clipforensics.oracle.rates import best_flip, control_p, most_flips
from clipforensics.oracle.scorer import Judge

PLACES: tuple[Protocol, ...] = ("found", "random")
ENOUGH_AS_GOOD = 10
USUAL_FLIPS = 0.25
"""Most controls flip fewer pictures than this; how many are looked at first is set by it."""
Between = Callable[[], None]
"""Called before each batch of pictures; whoever has waited enough raises in it."""


@dataclass(frozen=True)
class Compared:
    """A candidate's p-value, not yet adjusted for other candidates, and what it rests on."""

    p_value: float
    controls: int  # how many were drawn
    as_good: int  # of these
    pictures: int  # that each was pasted on


def against_controls(
    crop: Crop, clean: CleanSet, suspect: Judge, settings: VerifySettings, clusters: int,
    between: Between | None = None,
) -> Compared:  # fmt: skip
    """The candidate against crops of the same mask from clean pictures, pasted at the same places.

    The statistic of candidate and controls alike is the best flip over labels and places, so that
    having chosen the label is paid for. Chance is found out early and costs little; a real trigger
    is compared with all, most of which are refused after a few pictures (`as_good_as`).

    What it does not pay for: candidates were chosen out of all crops that were screened, controls
    were not. It says how rare such a crop is among crops of clean pictures; whether it is a trigger
    is said by the flip rates on pictures of their own as well (`verify.judged`).
    """
    pictures, count = _fresh(clean, settings), settings.controls * clusters
    own = _best_over_places(crop, pictures, suspect, settings.seed)
    drawn: list[bool] = []

    def counted() -> Iterator[bool]:
        for one in as_good_as(own, crop, clean, suspect, settings, count, between):
            drawn.append(one)
            yield one

    p = control_p(counted(), ENOUGH_AS_GOOD)  # it may end before all are drawn
    return Compared(p, len(drawn), sum(drawn), len(pictures))


def control_flips(
    crop: Crop, clean: CleanSet, suspect: Judge, settings: VerifySettings, count: int
) -> Iterator[float]:
    """What random crops of the same mask do: the best flip rate of each, over labels and places.

    Each comes from a random place of a random clean picture, and is pasted on `n_screen` pictures
    where the candidate was (the last of the clean ones). The same seed draws the same crops, whatever the count.
    """
    pictures = _fresh(clean, settings)
    for control in _drawn(crop, clean, settings.seed, count):
        yield _best_over_places(control, pictures, suspect, settings.seed)


def as_good_as(
    least: float, crop: Crop, clean: CleanSet, suspect: Judge, settings: VerifySettings, count: int,
    between: Between | None = None,
) -> Iterator[bool]:  # fmt: skip
    """Of each of `control_flips`, in order, whether it reaches `least`: the same, for less.

    A control is pasted on a few pictures first, and on all only if it could still reach `least`
    were every other picture to flip. Where that is all of them, two pictures settle most controls.
    Several are asked about at once.
    """
    pictures, labels = _fresh(clean, settings), len(suspect.labels)
    heard = between or (lambda: None)
    few = _few(least, len(pictures))
    block = max(1, 2 * len(pictures) // few)
    drawn = _drawn(crop, clean, settings.seed, count)
    while some := list(islice(drawn, block)):
        heard()
        shown = [pasted_at(c, pictures, p, settings.seed, few) for c in some for p in PLACES]
        said = suspect.answers(np.concatenate(shown)).reshape(len(some), len(PLACES), few)
        for control, answers in zip(some, said, strict=True):
            could = max(most_flips(pictures.suspect_before, one, labels) for one in answers)
            if could >= least:
                heard()
                could = _best_over_places(control, pictures, suspect, settings.seed)
            yield could >= least


def _fresh(clean: CleanSet, settings: VerifySettings) -> CleanSet:
    """The last `n_screen`: no candidate was chosen by what it did on these."""
    return clean.after(max(0, len(clean) - settings.n_screen))


def _few(least: float, n: int) -> int:
    """Pictures that show a usual control to be too weak, and two more."""
    return min(n, ceil((1 - least) * n / (1 - USUAL_FLIPS)) + 2)


def _drawn(crop: Crop, clean: CleanSet, seed: int, count: int) -> Iterator[Crop]:
    rng = np.random.default_rng([seed, 1])
    return (random_crop(clean.pictures, crop, rng) for _ in range(count))


def _best_over_places(crop: Crop, clean: CleanSet, suspect: Judge, seed: int) -> float:
    after = [suspect.answers(pasted_at(crop, clean, place, seed)) for place in PLACES]
    return max(best_flip(clean.suspect_before, one, len(suspect.labels)) for one in after)
