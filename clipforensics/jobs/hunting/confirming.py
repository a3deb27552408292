"""Which crop stands for a cluster of sightings, confirmed on pictures that it was not screened on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipforensics.jobs.hunting.examiner import SIGNATURE_PICTURES, Examiner
from clipforensics.oracle.bank import Sighting, Trigger, core_of, signature
from clipforensics.oracle.consensus import Agreed, common
from clipforensics.oracle.pasting import Crop, cut
from clipforensics.oracle.regions import Box, area
from clipforensics.oracle.verify import Verification, verify

PASSED = ("verified", "narrow")
CLEARLY = 0.05  # flips more by so much
LOOSE, NEARLY = 2, 0.8  # times the agreed pattern's area; share of the crop's flip rate


@dataclass(frozen=True)
class Choice:
    """A crop that may stand for its cluster."""

    crop: Crop
    core: np.ndarray  # bool [h, w]: what is looked for in other pictures
    pair: str
    box_xyxy: Box  # in this pair's picture
    agreed: bool  # whether it is the consensus
    figures: Verification


def confirmed_trigger(examiner: Examiner, group: list[Sighting]) -> tuple[Trigger, Agreed | None]:
    """The cluster's consensus, or its tightest single crop where that clearly flips more.

    Returns:
        the trigger, and the pattern that the cluster agrees on if it passes the paste test by itself,
        whichever of the two stands: what shows it is of this trigger.
    """
    tightest = _tightest(group)
    crop = cut(tightest.picture, tightest.box_xyxy)
    figures = _confirm(examiner, crop, tightest)
    one = Choice(crop, core_of(crop.mask), tightest.pair, tightest.box_xyxy, False, figures)
    pattern = None
    if shared := common(group):
        crop = Crop(shared.pixels, shared.mask, shared.box_xyxy[:2])
        figures = _confirm(examiner, crop, tightest)
        agreed = Choice(crop, shared.mask, shared.pair, shared.box_xyxy, True, figures)
        one = agreed if _stands(agreed, one) else one
        pattern = shared if figures.status in PASSED else None
    clean, seed = examiner.clean.pictures[:SIGNATURE_PICTURES], examiner.settings.verify.seed
    shift = signature(
        one.crop, clean, examiner.unpasted, examiner.suspect, seed, one.figures.tied_to_place
    )
    pairs = tuple(dict.fromkeys(s.pair for s in group))
    made = Trigger(
        tightest.label, one.pair, one.box_xyxy, one.crop.pixels, one.crop.mask, one.core, pairs,
        one.agreed, one.figures, shift,
    )  # fmt: skip
    return made, pattern


def _tightest(group: Sequence[Sighting]) -> Sighting:
    """Of the crops that flip about as much as the best, the smallest.

    The larger a crop, the more do control crops of its size: of 134 sightings of patches drawn anew
    for each picture the first covered a third of it, and was no better than 10 of 783 controls.
    """
    enough = max(one.screened.flip_rate for one in group) - CLEARLY
    able = [one for one in group if one.screened.flip_rate >= enough]
    return min(able, key=lambda one: (area(one.box_xyxy), -one.screened.flip_rate, one.pair))


def _stands(agreed: Choice, single: Choice) -> bool:
    """Whether the consensus stands for the cluster beside its tightest crop.

    A crop that fills over a quarter of the picture proves little by flipping more: much of any
    picture does. Beside it a consensus stands that passes the paste test by itself, and beside one of
    over twice its area where it flips nearly as much: background helps to flip. (Of a 5-px
    patch in a corner all 25 pixels were agreed on, and flipped as the planted patch does; a crop of
    60 x 30 px around it flipped more, and was no better than control crops of its size. One of
    9 x 10 px flipped .95, the patch alone .865.)
    """
    flips, at_most = agreed.figures.flip_rate, single.figures.flip_rate
    loose = area(single.box_xyxy) > LOOSE * agreed.core.sum() and flips >= NEARLY * at_most
    enough = (single.figures.large or loose) and agreed.figures.status in PASSED
    return bool(enough or flips + CLEARLY >= at_most)


def _confirm(examiner: Examiner, crop: Crop, best: Sighting) -> Verification:
    return verify(
        crop, best.label, best.screened.p_trusted, examiner.clean, examiner.suspect,
        examiner.oracle.trusted, examiner.settings.verify, examiner.settings.oracle.theta,
        confirm=True, recall=examiner.recall(best.label),
    )  # fmt: skip
