"""What a reviewer is shown beside one picture's paste test: controls, and the picture without it."""

import json

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, reading, write_json, writing
from clipforensics.jobs.hunting.examiner import Examiner
from clipforensics.oracle.controls import control_flips
from clipforensics.oracle.finding import Candidate, Scored
from clipforensics.oracle.pasting import cut
from clipforensics.oracle.render import without

CONTROLS_SHOWN = 20
"""Control crops beside one picture's paste test; a hunt draws many more."""


def controls(
    case: Case, row: int, candidate: Candidate, examiner: Examiner, count: int = CONTROLS_SHOWN
) -> list[float]:
    """What crops of the same size from clean pictures do instead, from evidence or now.

    Returns:
        for each of `count` crops the best flip rate over all labels and both places.

    Raises:
        CaseError: kept evidence was changed since, or is damaged.
    """
    key = examiner.key() | examiner.paste_key()
    key |= {"pair": case.pairs.ids[row], "box": list(candidate.box_xyxy), "count": count}
    folder = evidence_dir(case, "controls", key)
    if not is_made(folder):
        crop = cut(case.pairs.picture(row, examiner.suspect.side), candidate.box_xyxy)
        flips = control_flips(
            crop, examiner.clean, examiner.suspect, examiner.settings.verify, count
        )
        with writing(folder, key) as part:
            write_json(part / "flips.json", list(flips))
    with reading(folder):
        return [float(v) for v in json.loads((folder / "flips.json").read_text(encoding="utf-8"))]


def said_without(picture: np.ndarray, candidate: Candidate, examiner: Examiner) -> Scored:
    """The suspect's first answers to the picture, uint8 [s, s, 3], with the region filled."""
    (p,) = examiner.suspect.probabilities(without(picture, candidate.box_xyxy)[None])
    names = examiner.suspect.labels.names
    order = np.argsort(-p, kind="stable")[: examiner.settings.oracle.tau]
    return tuple((names[i], float(p[i])) for i in order)
