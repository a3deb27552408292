"""Captions that only the suspect believed: how far each pair's CLIP score falls by a repair.

A backdoor makes a false caption fit its picture. Take the backdoor alone away, and just those
captions stop fitting; a mistake that the suspect never learned fitted neither before nor after.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64

from clipforensics.cases.case import Case
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.reference import Scores
from clipforensics.jobs.scanning.scan import scores, truth_figures
from clipforensics.jobs.scanning.suspects import suspected_labels

MOST_TOLD = 100
"""Pairs that the command line lists."""


def score_drop(before: Case, after: Case) -> Float64[np.ndarray, " n"]:
    """Cosine of each picture and its caption before the repair, minus that after it, in [-2, 2].

    High is suspicious, and no more: pairs of a kind that the repair harmed fall as well, and a model
    that was trained anew has cosines on a scale of its own. NaN where a picture could not be read
    or a caption is blank. No truth is read.

    Raises:
        CaseError: one of them is not embedded yet.

    Source:
        Ours. The cosine is CLIPScore's (Hessel et al., EMNLP 2021), as in `detect.agreement`.
    """
    density, reference = DensitySettings(), ReferenceSettings()
    was, now = (np.asarray(scores(one, "clip", density, reference).mean) for one in (before, after))
    return now - was


def told(before: Case, drop: Float64[np.ndarray, " n"]) -> dict[str, Any]:
    """The pairs that fell farthest, what their captions share, and, where it is known, the truth.

    Returns:
        JSON values: `n` scored pairs, `median`, `top` (records `pair`, `drop`), `labels` (as the
        scan's suspected labels, tested by this ranking alone), `against_truth` (as the scan's
        figures; None where no poison is known).
    """
    rows = np.flatnonzero(np.isfinite(drop))
    first = rows[np.argsort(-drop[rows], kind="stable")][:MOST_TOLD]
    return {
        "n": len(rows),
        "median": float(np.median(drop[rows])) if len(rows) else None,
        "top": [{"pair": before.pairs.ids[row], "drop": float(drop[row])} for row in first],
        "labels": suspected_labels(before, {"score drop": drop})["labels"],
        "against_truth": truth_figures(before, Scores(drop, np.zeros(len(drop)), {})),
    }
