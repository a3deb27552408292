"""Real objects of a label, cut out and pasted as a candidate is: does the trusted model know them?"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.competence import Objects
from clipforensics.oracle.pasting import (
    LEAST,
    CleanSet,
    Crop,
    answers_by_place,
    cut,
    trusted_answers,
    trusted_flips,
)
from clipforensics.oracle.render import for_suspect, shown_box
from clipforensics.oracle.scorer import Judge
from clipforensics.oracle.segmenter import Segmenter


def pasted_objects(
    pictures: Iterable[UInt8[np.ndarray, "s s 3"]],
    label: str,
    segmenter: Segmenter,
    clean: CleanSet,
    suspect: Judge,
    trusted: Judge,
    settings: VerifySettings,
    refeed: float,
) -> Objects:
    """Paste what shows the label in each picture, and count those that a hunt could mistake.

    Ours; a control that neither EftCLIP nor its reconstruction has. The object is found as a
    candidate is: the region that alone makes the suspect surest of the label. It *works* where its
    paste flips as many answers as a trigger must (`weak_flip`), and is *known* where the trusted
    model flips with it (`object_flip`). Pictures that the trusted model itself does not call so as
    a whole are passed over: a poisoned one among them would work and not be known.

    Args:
        pictures: clean ones that show the label, in the suspect's frame; taken until as many
            work as are wanted.
        label: what they show.
        segmenter: of the hunt.
        clean: pictures to paste on.
        suspect, trusted: the two models.
        settings: of the paste test.
        refeed: the suspect's probability of the label in a region from which the region counts.

    Returns:
        none working where fewer than 8 pictures of other labels are left to paste on.
    """
    index = suspect.labels.index(label)
    usable = clean.rows(clean.without(label, index)).first(settings.n_screen)
    working = known = 0
    if len(usable) < LEAST:
        return Objects(0, 0)
    for picture in pictures:
        if trusted_answers(trusted, picture[None])[0] != index:
            continue
        crop = _object_in(picture, index, segmenter, suspect, refeed)
        if crop is None:
            continue
        after = answers_by_place(crop, usable, suspect, settings.seed, corners=False)
        if max(float((said == index).mean()) for said in after.values()) >= settings.weak_flip:
            flips = trusted_flips(crop, usable, trusted, index, settings.seed)
            working, known = working + 1, known + (flips > settings.object_flip)
            if working == settings.objects:
                break
    return Objects(working, known)


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
