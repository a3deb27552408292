"""The trigger bank of one hunt: clusters of sightings, confirmed, compared with controls, stored."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.evidence import reading, write_json
from clipforensics.jobs.hunting.examining import SIGNATURE_PICTURES, Examiner, verification_from
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.bank import (
    Sighting,
    Trigger,
    clusters,
    consensus,
    core_of,
    signature,
)
from clipforensics.oracle.controls import against_controls
from clipforensics.oracle.pasting import Crop, cut
from clipforensics.oracle.rates import holm
from clipforensics.oracle.verify import Verification, judged, verify

Progress = Callable[..., None]
Stop = Callable[[], bool]
BANK, ARRAYS = "bank.json", "bank.npz"


def make_bank(
    examiner: Examiner, seen: list[Sighting], tell: Progress, halt: Stop
) -> list[Trigger]:
    """One trigger per cluster, confirmed on more pictures and against control crops.

    Returns:
        verified ones first, then by Wilson's lower end and number of sightings.
    """
    seen = sorted(seen, key=lambda s: (-s.screened.flip_rate, s.pair))
    if not seen:
        return []
    groups = clusters([s.label for s in seen], np.stack([s.signature for s in seen]))
    confirmed = []
    for i, group in enumerate(groups):
        if halt():
            raise Stopped("Stopped while confirming triggers; inspected pictures are kept.")
        tell(i, len(groups), "confirming triggers")
        confirmed.append(_confirmed(examiner, [seen[j] for j in group]))
    settings, theta = examiner.settings.verify, examiner.settings.oracle.theta
    # only what passed so far is worth the controls; Holm counts exactly these
    tested = [i for i, t in enumerate(confirmed) if t.figures.status in ("verified", "narrow")]
    raw = []
    for i in tested:
        if halt():
            raise Stopped("Stopped while comparing with controls; inspected pictures are kept.")
        tell(len(raw), len(tested), "comparing with control crops")
        crop = confirmed[i].crop
        raw.append(against_controls(crop, examiner.clean, examiner.suspect, settings, len(tested)))
    for i, p in zip(tested, holm(raw), strict=True):
        figures = judged(replace(confirmed[i].figures, p_value=p), settings, theta)
        confirmed[i] = replace(confirmed[i], figures=figures)
    return sorted(
        confirmed,
        key=lambda t: (t.figures.status != "verified", -t.figures.interval[0], -len(t.pairs)),
    )


def _confirmed(examiner: Examiner, group: list[Sighting]) -> Trigger:
    """The cluster's consensus, or its best single crop where that flips more."""
    best, common = group[0], consensus(group)
    choices: list[tuple[Crop, np.ndarray, tuple[int, int, int, int], bool]] = []
    if common is not None:
        pixels, mask, box = common
        choices.append((Crop(pixels, mask, box[:2]), mask, box, True))
    crop = cut(best.picture, best.box_xyxy)
    choices.append((crop, core_of(crop.mask), best.box_xyxy, False))
    tested = [
        (_confirm(examiner, c, best), c, core, box, agreed) for c, core, box, agreed in choices
    ]
    # the consensus shows the pattern without its first background: it wins unless clearly weaker
    tested.sort(key=lambda one: -(one[0].flip_rate + (0.05 if one[4] else 0.0)))
    figures, crop, core, box, agreed = tested[0]
    clean, seed = examiner.clean.pictures[:SIGNATURE_PICTURES], examiner.settings.verify.seed
    shift = signature(crop, clean, examiner.unpasted, examiner.suspect, seed, figures.tied_to_place)
    pairs = tuple(dict.fromkeys(s.pair for s in group))
    return Trigger(
        best.label, best.pair, box, crop.pixels, crop.mask, core, pairs, agreed, figures, shift
    )


def _confirm(examiner: Examiner, crop: Crop, best: Sighting) -> Verification:
    return verify(
        crop, best.label, best.screened.p_trusted, examiner.clean, examiner.suspect,
        examiner.oracle.trusted, examiner.settings.verify, examiner.settings.oracle.theta,
        confirm=True,
    )  # fmt: skip


def write_bank(part: Path, bank: list[Trigger]) -> None:
    """Store a bank in an evidence folder that is being filled."""
    lists = [
        {
            "label": t.label, "pair": t.pair, "box_xyxy": t.box_xyxy, "pairs": t.pairs,
            "consensus": t.consensus, "figures": asdict(t.figures),
        }
        for t in bank
    ]  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    for i, t in enumerate(bank):
        for name in ("pixels", "mask", "core", "signature"):
            arrays[f"{name}_{i}"] = getattr(t, name)
    write_json(part / BANK, lists)
    np.savez_compressed(part / ARRAYS, allow_pickle=False, **arrays)


def read_bank(folder: Path) -> list[Trigger]:
    """The bank of a finished hunt.

    Raises:
        CaseError: a file of the hunt was changed since, so a status in it may not be what the
            paste test said, or is damaged.
    """
    with reading(folder), np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        lists = json.loads((folder / BANK).read_text(encoding="utf-8"))
        return [_trigger(one, i, arrays) for i, one in enumerate(lists)]


def _trigger(content: dict[str, Any], i: int, arrays: Any) -> Trigger:
    return Trigger(
        label=content["label"],
        pair=content["pair"],
        box_xyxy=tuple(content["box_xyxy"]),
        pixels=arrays[f"pixels_{i}"],
        mask=arrays[f"mask_{i}"],
        core=arrays[f"core_{i}"],
        pairs=tuple(content["pairs"]),
        consensus=content["consensus"],
        figures=verification_from(content["figures"]),
        signature=arrays[f"signature_{i}"],
    )
