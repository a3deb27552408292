"""Pairs whose caption the suspect believed and the repaired model does not, with a pick each."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import gallery, mapview, ranking, suspectview

MOST = 240
"""Pairs that can be paged through."""


def shown(case: Any, drop: np.ndarray, labels: list[dict[str, Any]]) -> None:
    """How far each pair's CLIP score fell by the repair, the farthest first.

    Args:
        case: the shown case; picks are made in it.
        drop: float [n], NaN where a pair has no score.
        labels: what the captions of the farthest share, as the scan's suspected labels.
    """
    ranked = ranking.ranked(drop, np.zeros(len(drop)), {})
    fallen = ranked.order[ranked.score[ranked.order] > 0]
    st.markdown(
        "**What only the suspect believed**: how far picture and caption agree less after the repair "
        "(CLIP score before minus after)"
    )
    st.markdown(
        "A backdoor makes a false caption fit its picture; without it the caption stops fitting. A "
        "mistake that the suspect never learned fitted neither before nor after. So poison comes first here where a repair took the "
        "backdoor and left the rest alone. A repair that harmed clean pictures makes clean pairs fall, too, "
        "and a high place is a reason to look, no more."
    )
    if not len(fallen):
        st.text("No pair's score fell.")
        return
    left, right = st.columns([2, 1], gap="medium")
    with left:
        st.text(
            f"The score of {len(fallen):,} of {len(ranked.order):,} pairs fell, the first by "
            f"{ranked.score[fallen[0]]:.3f}; the median change is {-np.nanmedian(drop):+.3f}."
        )
        suspectview.label_table(labels)
    with right:
        mapview.truth_panel(case, ranked)
    gallery.gallery(case, fallen[:MOST], ranked, "drop", "score drop", near=False)
