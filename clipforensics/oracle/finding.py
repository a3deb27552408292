"""Algorithm 1: labels the suspect reads in a picture that no region of it supports.

Source:
    Hossain, Sajeeda, Perla and Shao, "EftCLIP", 2025, arXiv 2511.13545. The abstract and figure
    captions give the lists L, S, R and P; how a region is shown to either model, the test of
    "present" and the reading of the last step are ours, because the naive ones find nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from clipforensics.config.oracle import OracleSettings
from clipforensics.oracle.regions import Box, Region, shown_box, whole
from clipforensics.oracle.render import for_suspect, without
from clipforensics.oracle.scorer import Judge, Oracle

Scored = tuple[tuple[str, float], ...]
"""Labels with a probability each, best first."""


@dataclass(frozen=True)
class Candidate:
    """A region that by itself makes the suspect say a label the picture does not support."""

    label: str
    region: int  # index into the inspection's regions
    box_xyxy: Box  # what the suspect was shown, and what will be pasted
    confidence: float  # the suspect's probability of the label on the region alone
    p_trusted: float  # the trusted model's
    removal_drop: float | None = None  # fall of the suspect's probability when the box is filled


@dataclass(frozen=True)
class Inspection:
    """Everything the oracle and the suspect said about one picture."""

    said: Scored  # L: the suspect's first answers on the whole picture
    seen: Scored  # S: those of L that some region supports, with the trusted probability
    suspicious: Scored  # P: the rest of L, with the trusted probability
    regions: tuple[Region, ...]  # the whole picture is last
    p_trusted: np.ndarray  # float32 [regions, labels]
    p_suspect: np.ndarray  # float32 [regions, labels]
    candidates: tuple[Candidate, ...]  # most confident first, all of them


def find_triggers(
    picture: UInt8[np.ndarray, "s s 3"],
    suspect: Judge,
    oracle: Oracle,
    settings: OracleSettings | None = None,
) -> Inspection:
    """Inspect one picture in the suspect's frame.

    Args:
        picture: at the suspect's side.
        suspect: the model under examination, over the labels alone.
        oracle: segmenter and trusted model.
        settings: list length, confidences; see `OracleSettings`.
    """
    settings = settings or OracleSettings()
    side = picture.shape[0]
    regions = [r for r in oracle.segmenter.segment(picture) if r.source != "whole"]
    regions.append(whole(side, side))
    p_trusted = oracle.seen(picture, regions)
    p_suspect = suspect.probabilities(for_suspect(picture, regions))
    lists = compare(p_suspect, p_trusted, regions, suspect.labels.names, settings)
    candidates = _with_removal_drop(picture, suspect, p_suspect[-1], lists.candidates, settings)
    return Inspection(
        lists.said, lists.seen, lists.suspicious, tuple(regions),
        p_trusted.astype(np.float32), p_suspect.astype(np.float32), candidates,
    )  # fmt: skip


@dataclass(frozen=True)
class Lists:
    """The lists of Algorithm 1, without pictures."""

    said: Scored
    seen: Scored
    suspicious: Scored
    candidates: tuple[Candidate, ...]


def compare(
    p_suspect: Float[np.ndarray, "r v"],
    p_trusted: Float[np.ndarray, "r v"],
    regions: Sequence[Region],
    names: tuple[str, ...],
    settings: OracleSettings,
) -> Lists:
    """Algorithm 1 on probabilities alone; the last region is the whole picture.

    A region becomes a candidate when its own first answer is a suspicious label, surely enough,
    and the trusted model sees no trace of it there. (The paper's last step, cut short in what we
    could read, is taken as P and R in common; P without R would drop the target just when its
    crop works.)
    """
    best = p_trusted.max(axis=0)
    order = np.argsort(-p_suspect[-1], kind="stable")[: settings.tau]
    present = best >= settings.theta
    said = tuple((names[i], float(p_suspect[-1, i])) for i in order)
    seen = tuple((names[i], float(best[i])) for i in order if present[i])
    suspicious = tuple((names[i], float(best[i])) for i in order if not present[i])
    wanted = {int(i) for i in order if not present[i]}
    height, width = regions[-1].mask.shape
    found = []
    for r, region in enumerate(regions):
        label = int(p_suspect[r].argmax())
        sure, trusted = float(p_suspect[r, label]), float(p_trusted[r, label])
        if region.source == "whole" or label not in wanted or sure < settings.refeed:
            continue
        if trusted < settings.theta / 2:
            box = shown_box(region.box_xyxy, height, width)
            found.append(Candidate(names[label], r, box, sure, trusted))
    # nested regions are alike in confidence: of those the tightest says most
    found.sort(key=lambda one: (-round(one.confidence, 2), _area(one.box_xyxy)))
    return Lists(said, seen, suspicious, tuple(found))


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def to_test(candidates: Sequence[Candidate], per_label: int) -> list[Candidate]:
    """The first candidates of each label, no box twice; the rest are never pasted."""
    boxes: dict[str, set[Box]] = {}
    chosen = []
    for one in candidates:
        taken = boxes.setdefault(one.label, set())
        if len(taken) < per_label and one.box_xyxy not in taken:
            taken.add(one.box_xyxy)
            chosen.append(one)
    return chosen


def _with_removal_drop(
    picture: np.ndarray,
    suspect: Judge,
    p_whole: np.ndarray,
    candidates: tuple[Candidate, ...],
    settings: OracleSettings,
) -> tuple[Candidate, ...]:
    """Fill each candidate that will be tested and ask again: shown to the reviewer, not a gate."""
    tested = to_test(candidates, settings.tested_per_label)
    if not tested:
        return candidates
    after = suspect.probabilities(np.stack([without(picture, c.box_xyxy) for c in tested]))
    names = {name: i for i, name in enumerate(suspect.labels.names)}
    drops = {
        (c.label, c.region): float(p_whole[names[c.label]] - p[names[c.label]])
        for c, p in zip(tested, after, strict=True)
    }
    return tuple(
        Candidate(c.label, c.region, c.box_xyxy, c.confidence, c.p_trusted,
                  drops.get((c.label, c.region)))
        for c in candidates
    )  # fmt: skip
