"""The paste test: only what makes the label on clean pictures, on one model alone, is a trigger.

Flip rate and entropy by themselves convict the innocent: a pasted real object flips answers too,
as does a large crop of anything. An object works on both models; a trigger works on one, shows
nothing the trusted model can name, is small, and works whatever surrounds it.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.competence import Objects, Recall, trusted_recall
from clipforensics.oracle.pasting import (
    LEAST,
    CleanSet,
    Crop,
    Protocol,
    answers_by_place,
    trusted_flips,
)
from clipforensics.oracle.rates import answer_entropy, wilson
from clipforensics.oracle.scorer import Judge

Status = Literal["untested", "unjudged", "object", "weak", "chance", "narrow", "verified"]
PLACE_MATTERS = 0.25


@dataclass(frozen=True)
class Verification:
    """Figures of one paste test. Rates are shares of the n pictures it was pasted on."""

    label: str
    n: int
    flips: dict[str, float]  # by place: found, random, and the corners when confirmed
    flip_rate: float  # f_s: the better of found and random
    interval: tuple[float, float]  # Wilson, 95 %
    entropy: float  # of the suspect's answers at the better place, in [0, 1]
    flip_rate_trusted: float  # f_t: the same paste on the trusted model
    p_trusted: float  # the trusted model's probability of the label on the region itself
    labels_flipped: int  # how many different labels the flipped pictures had before
    labels_tested: int  # how many different labels the pictures had before
    area_share: float
    p_value: float | None  # against control crops; None when only screened
    status: Status
    large: bool
    # what the p-value rests on; None without one, and in hunts that did not keep it
    controls: int | None = None  # crops that the candidate was compared with
    controls_as_good: int | None = None  # of these
    control_pictures: int | None = None  # clean pictures that each of these was pasted on
    recall: Recall | None = None  # of the trusted model on clean pictures; older tests lack it
    objects: Objects | None = None  # real ones of the label, pasted likewise; None before that

    @property
    def tied_to_place(self) -> bool:
        """Whether it works where it was found and hardly anywhere else."""
        return self.flips["found"] - self.flips["random"] > PLACE_MATTERS


def verify(
    crop: Crop,
    label: str,
    p_trusted: float,
    clean: CleanSet,
    suspect: Judge,
    trusted: Judge,
    settings: VerifySettings,
    theta: float,
    confirm: bool,
    recall: Recall | None = None,
) -> Verification:
    """Paste the crop on clean pictures of other labels and read both models.

    Args:
        crop: what may be a trigger, at its native size.
        label: what it is said to force.
        p_trusted: the trusted model's probability of the label on the region itself.
        clean: clean pictures; rows that show or were answered the label are left out.
        suspect, trusted: the two models.
        settings: how many pictures, and the limits of each status.
        theta: probability at which the trusted model counts as seeing a label.
        confirm: paste on `n_confirm` pictures that were not screened on, and in the corners too;
            else screen on `n_screen`, or half of what there is.
        recall: of the trusted model on the label; by default that on the clean pictures, which
            may hold few of the label's own.

    Returns:
        the figures; where fewer than 8 pictures of other labels are left, with status "untested".
    """
    index = suspect.labels.index(label)
    usable = clean.rows(clean.without(label, index))
    screened = min(settings.n_screen, len(usable) // 2)
    usable = usable.after(screened).first(settings.n_confirm) if confirm else usable.first(screened)
    share = float(crop.mask.sum()) / clean.pictures[0, :, :, 0].size
    if len(usable) < LEAST:
        return _untested(label, len(usable), p_trusted, share, share > settings.large_share)
    after = answers_by_place(crop, usable, suspect, settings.seed, corners=confirm)
    flips = {place: float((a == index).mean()) for place, a in after.items()}
    better: Protocol = max(("found", "random"), key=lambda place: flips[place])
    flipped = after[better] == index
    figures = Verification(
        label=label,
        n=len(usable),
        flips=flips,
        flip_rate=flips[better],
        interval=wilson(int(flipped.sum()), len(flipped)),
        entropy=answer_entropy(after[better], len(suspect.labels)),
        flip_rate_trusted=trusted_flips(crop, usable, trusted, index, settings.seed),
        p_trusted=p_trusted,
        labels_flipped=len(np.unique(usable.trusted_before[flipped])),
        labels_tested=len(np.unique(usable.trusted_before)),
        area_share=share,
        p_value=None,
        status="verified",
        large=False,
        recall=recall or _recall(clean, suspect, label),
    )
    return judged(figures, settings, theta)


def judged(figures: Verification, settings: VerifySettings, theta: float) -> Verification:
    """The figures with their status; first match wins."""
    cfg, f_s, f_t = settings, figures.flip_rate, figures.flip_rate_trusted
    # where few labels exist, all of them are asked for
    wanted = min(cfg.labels_flipped, figures.labels_tested)
    status: Status
    if figures.n < LEAST:
        status = "untested"
    elif figures.recall is not None and figures.recall.too_low(cfg):
        status = "unjudged"
    elif figures.p_trusted >= theta or f_t > cfg.object_flip:
        status = "object"
    elif figures.interval[0] < cfg.weak_flip or f_s - f_t < cfg.weak_flip:
        status = "weak"
    elif figures.p_value is not None and figures.p_value > cfg.alpha:
        status = "chance"
    elif figures.labels_flipped < wanted:
        status = "narrow"
    else:
        status = "verified"
    return replace(figures, status=status, large=figures.area_share > cfg.large_share)


def _recall(clean: CleanSet, judge: Judge, label: str) -> Recall:
    return trusted_recall(clean.named, clean.trusted_before, judge.labels.names, label)


def _untested(label: str, n: int, p_trusted: float, share: float, large: bool) -> Verification:
    return Verification(
        label, n, {"found": 0.0, "random": 0.0}, 0.0, (0.0, 1.0), 0.0, 0.0, p_trusted, 0, 0, share,
        None, "untested", large,
    )  # fmt: skip
