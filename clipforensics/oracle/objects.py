"""Real objects of a label, cut out and pasted as a candidate is: does the trusted model know them?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.bank import Trigger, signature
from clipforensics.oracle.competence import Objects
from clipforensics.oracle.pasting import (
    LEAST,
    CleanSet,
    Crop,
    answers_by_place,
    cut,
    trusted_flips,
)
from clipforensics.oracle.render import for_suspect, shown_box
from clipforensics.oracle.scorer import Judge
from clipforensics.oracle.segmenter import Segmenter

OWN_COSINE = 0.97
"""Of signatures, from which an object is the trigger. On the demo 40 carriers have .98 to 1.00 with the
trigger; two real objects of a label exceed .97 in 0 to 7 % of pairs, .9 in up to 40 %."""


@dataclass(frozen=True)
class RealObject:
    """A crop of a picture that shows the label; pasted, it turns the suspect as a trigger would."""

    crop: Crop
    known: bool  # whether the trusted model turns with it, as it should with a real thing


def working_objects(
    pictures: Iterable[UInt8[np.ndarray, "s s 3"]],
    label: str,
    segmenter: Segmenter,
    clean: CleanSet,
    suspect: Judge,
    trusted: Judge,
    settings: VerifySettings,
    refeed: float,
) -> list[RealObject]:
    """Paste what shows the label in each picture, and keep those that a hunt could mistake.

    Ours; a control that neither EftCLIP nor its reconstruction has. The object is found as a
    candidate is: the region that alone makes the suspect surest of the label. It *works* where its
    paste flips as many answers as a trigger must (`weak_flip`), and is *known* where the trusted
    model flips with it (`object_flip`). The trusted model has no part in choosing the pictures: what
    it names as a whole it would know too often. Nor are poisoned ones left out here (`beside`).

    Args:
        pictures: that show the label by their captions, in the suspect's frame; taken until as many
            work as are wanted.
        label: what they show.
        segmenter: of the hunt.
        clean: pictures to paste on.
        suspect, trusted: the two models.
        settings: of the paste test.
        refeed: the suspect's probability of the label in a region from which the region counts.

    Returns:
        none where fewer than 8 pictures of other labels are left to paste on.
    """
    index = suspect.labels.index(label)
    usable = clean.rows(clean.without(label, index)).first(settings.n_screen)
    found: list[RealObject] = []
    if len(usable) < LEAST or not settings.objects:
        return found
    for picture in pictures:
        crop = _object_in(picture, index, segmenter, suspect, refeed)
        if crop is None:
            continue
        after = answers_by_place(crop, usable, suspect, settings.seed, corners=False)
        if max(float((said == index).mean()) for said in after.values()) >= settings.weak_flip:
            flips = trusted_flips(crop, usable, trusted, index, settings.seed)
            found.append(RealObject(crop, flips > settings.object_flip))
            if len(found) == settings.objects:
                break
    return found


def beside(
    objects: Iterable[RealObject],
    triggers: Sequence[Trigger],
    clean: CleanSet,
    unpasted: Float[np.ndarray, "n d"],
    suspect: Judge,
    seed: int,
) -> Objects:
    """Count real objects, those left out that are one of the triggers themselves.

    A poisoned picture's surest region is the trigger: it works, is not known, and would make every
    real trigger look like something that the trusted model fails to know. It holds the trigger's
    pattern, or does to the suspect just what the trigger does: more nearly than sightings need to be
    grouped, for real objects of one label are that alike, too.

    Args:
        objects: of one label.
        triggers: of the same label, that passed so far.
        clean: pictures; the signatures of the triggers are of the first rows of `unpasted`.
        unpasted: the suspect's unit embeddings of these.
        suspect: the model under examination.
        seed: of the places.
    """
    pictures = clean.pictures[: len(unpasted)]

    def own(one: RealObject) -> bool:
        return any(
            trigger.lies_in(one.crop.pixels)
            or signature(
                one.crop, pictures, unpasted, suspect, seed, trigger.figures.tied_to_place
            ) @ trigger.signature >= OWN_COSINE
            for trigger in triggers
        )  # fmt: skip

    objects = list(objects)
    left = [one for one in objects if not own(one)]
    return Objects(len(left), sum(one.known for one in left), len(objects) - len(left))


def _object_in(
    picture: np.ndarray, index: int, segmenter: Segmenter, suspect: Judge, refeed: float
) -> Crop | None:
    """The region that makes the suspect surest of the label, the tightest of these; None without one."""
    regions = [region for region in segmenter.segment(picture) if region.source != "whole"]
    if not regions:
        return None
    sure = suspect.probabilities(for_suspect(picture, regions))[:, index]
    boxes = [shown_box(region.box_xyxy, *picture.shape[:2]) for region in regions]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    best = min(range(len(regions)), key=lambda i: (-round(float(sure[i]), 2), areas[i]))
    return cut(picture, boxes[best]) if sure[best] >= refeed else None
