"""The trigger bank of one hunt: clusters of sightings, confirmed, compared with controls, stored."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.evidence import reading, write_json
from clipforensics.jobs.hunting.confirming import PASSED, confirmed_trigger
from clipforensics.jobs.hunting.examiner import Examiner
from clipforensics.jobs.hunting.examining import verification_from
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.bank import Sighting, Trigger, clusters, lies_in
from clipforensics.oracle.consensus import Agreed, distinct, parted
from clipforensics.oracle.controls import against_controls
from clipforensics.oracle.objects import beside
from clipforensics.oracle.rates import holm
from clipforensics.oracle.verify import judged

Progress = Callable[..., None]
Stop = Callable[[], bool]
BANK, ARRAYS = "bank.json", "bank.npz"


def make_bank(
    examiner: Examiner, seen: list[Sighting], tell: Progress, halt: Stop
) -> list[Trigger]:
    """One trigger per cluster and pattern, confirmed on more pictures and against control crops.

    What was seen in one picture alone must be equalled by no control: it is the best of all crops
    that were screened, and its p-value does not pay for that. With a noisy trusted model a real
    crown that 3 of 700 controls equalled had passed. Copies of a picture under other ids are one.

    Returns:
        verified ones first, then by Wilson's lower end and number of sightings.
    """
    seen = sorted(seen, key=lambda s: (-s.screened.flip_rate, s.pair))
    if not seen:
        return []
    groups = clusters([s.label for s in seen], np.stack([s.signature for s in seen]))

    def waited() -> None:
        tell(0, len(groups), "finding what sightings share")
        if halt():
            raise Stopped("Stopped before confirming triggers; inspected pictures are kept.")

    parts = [part for group in groups for part in parted([seen[j] for j in group], waited)]
    confirmed = _all_confirmed(examiner, parts, tell, halt)
    settings, theta = examiner.settings.verify, examiner.settings.oracle.theta
    # only what passed so far is worth the controls; Holm counts exactly these
    tested = [i for i, t in enumerate(confirmed) if t.figures.status in PASSED]

    def heard() -> None:  # between batches, too: the controls of a cluster can take half a minute
        if halt():
            raise Stopped("Stopped while comparing with controls; inspected pictures are kept.")

    raw = []
    for i in tested:
        heard()
        tell(len(raw), len(tested), "comparing with control crops")
        crop, clean, suspect = confirmed[i].crop, examiner.clean, examiner.suspect
        raw.append(against_controls(crop, clean, suspect, settings, len(tested), heard))
    for i, one, p in zip(tested, raw, holm([one.p_value for one in raw]), strict=True):
        figures = replace(
            confirmed[i].figures, p_value=p, controls=one.controls,
            controls_as_good=one.as_good, control_pictures=one.pictures,
        )  # fmt: skip
        figures = judged(figures, settings, theta)
        if figures.status in PASSED and one.as_good and _in_one_picture(confirmed[i], seen):
            figures = replace(figures, status="chance")
        confirmed[i] = replace(confirmed[i], figures=figures)
    return sorted(
        _beside_objects(examiner, confirmed, tell, halt),
        key=lambda t: (t.figures.status != "verified", -t.figures.interval[0], -len(t.pairs)),
    )


def _in_one_picture(trigger: Trigger, seen: Sequence[Sighting]) -> bool:
    return len(distinct([one for one in seen if one.pair in trigger.pairs])) == 1


def _all_confirmed(
    examiner: Examiner, groups: list[list[Sighting]], tell: Progress, halt: Stop
) -> list[Trigger]:
    """A trigger for each group, the largest first; groups that show an agreed pattern join it.

    The shift of a loose crop is partly that of its background, so sightings of a small trigger fall
    into many groups: what they have in common is seen once the largest one has agreed on it.
    """
    left, total = sorted(groups, key=len, reverse=True), len(groups)
    confirmed: list[Trigger] = []
    while left:
        if halt():
            raise Stopped("Stopped while confirming triggers; inspected pictures are kept.")
        tell(total - len(left), total, "confirming triggers")
        made, pattern = confirmed_trigger(examiner, left.pop(0))
        if pattern is not None and made.figures.status in PASSED:
            joins = [all(_shows(one, made.label, pattern) for one in group) for group in left]
            more = [one.pair for group in compress(left, joins) for one in group]
            made = replace(made, pairs=tuple(dict.fromkeys([*made.pairs, *more])))
            left = [group for group, same in zip(left, joins, strict=True) if not same]
        confirmed.append(made)
    return confirmed


def _shows(one: Sighting, label: str, pattern: Agreed) -> bool:
    """Whether a sighting of this label holds the pattern somewhere in its box."""
    return one.label == label and lies_in(one.crop.pixels, pattern.pixels, pattern.mask)


def _beside_objects(
    examiner: Examiner, confirmed: Sequence[Trigger], tell: Progress, halt: Stop
) -> list[Trigger]:
    """Where the trusted model does not know real objects of the label, pasted likewise, none is judged.

    Asked last, of what no control equalled: cutting a label's pictures takes seconds.
    """
    settings = examiner.settings.verify
    passed = [one for one in confirmed if one.figures.status in PASSED]

    def heard() -> None:
        if halt():
            raise Stopped("Stopped while pasting real objects; inspected pictures are kept.")

    made, done = [], 0
    for one in confirmed:
        if one.figures.status in PASSED and settings.objects:
            tell(done, len(passed), "pasting real objects of the label")
            done += 1
            objects = beside(
                examiner.objects(one.label, heard), [t for t in passed if t.label == one.label],
                examiner.clean, examiner.unpasted, examiner.suspect, settings.seed,
            )  # fmt: skip
            if objects.below(settings.objects_known):
                one = replace(one, figures=replace(one.figures, status="unjudged"))
            one = replace(one, figures=replace(one.figures, objects=objects))
        made.append(one)
    return made


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
