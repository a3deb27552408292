"""Pairs that repeat, on the Map page: nearly the same pictures, and captions that occur again."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.detect.groups import MANY_CAPTIONS, MANY_LABELS, ONE_CAPTION
from clipforensics.ui import scanned, state, suspectview
from clipforensics.ui.ranking import labels_named

LABELS, GROUPS = 5, 3
REASONS = (ONE_CAPTION, MANY_LABELS, MANY_CAPTIONS)
"""Scans of older versions called many wordings of near copies striking, too."""


def repeated(case: Any) -> None:
    """Groups of pictures and of captions of the latest scan, which a density score cannot see."""
    from clipforensics.jobs.scanning import scan

    kept = scan.latest_scan(case) or {}
    if kept.get("duplicates"):
        _pictures(case, kept)
        _captions(kept["duplicates"])


def _pictures(case: Any, kept: dict[str, Any]) -> None:
    found = kept["duplicates"]
    st.markdown("#### Near-duplicate pictures")
    if not found["groups"]:
        st.text(f"No two pictures have a cosine of {found['least_cosine']:g} or more.")
        return
    st.text(
        f"{found['groups']:,} groups of {found['rows']:,} pictures (cosine "
        f"{found['least_cosine']:g} or more). Copies hide from a density score: they are each "
        "other's neighbours. Many wordings for nearly the same are natural; worth a look are many "
        "copies with one caption, captions of one picture that name different labels, and exact "
        "copies under several captions, which teach the model one picture by heart."
    )
    once = kept.get("counted_once")
    if once and once["groups"]:
        st.text(
            f"{once['rows']:,} pictures in {once['groups']:,} groups, exact copies or 20 and more of a "
            "kind, counted once in the latest scan's reference sets: all of a group have one density."
        )
    striking = [one for one in found["shown"] if one["striking"] in REASONS]
    for one in striking[:GROUPS]:
        rows = [row for name in one["examples"] if (row := scanned.row_of(case, name)) is not None]
        named = [name for name, _ in labels_named(case, np.array(rows, np.int64))][:LABELS]
        said = f"; captions name {', '.join(named)}" if named else "; captions name no label"
        st.markdown(
            f"**{one['striking'].capitalize()}**: {one['rows']:,} pictures{state.plain(said)}"
        )
        suspectview.show_pairs(case, one["examples"])
    with st.expander("The first groups", icon=":material/content_copy:", expanded=not striking):
        st.dataframe(
            [
                {
                    "Pictures": one["rows"],
                    "Captions": one["captions"],
                    "Labels": one.get("labels"),
                    "Most frequent caption": one["caption"],
                    **_places(one),
                    "Worth a look": one["striking"] if one in striking else "",
                }
                for one in found["shown"]
            ],
            hide_index=True, width="stretch",
        )  # fmt: skip


def _captions(found: dict[str, Any]) -> None:
    shown = found.get("captions_shown")
    if shown is None:  # of a scan that counted them only
        return
    st.markdown("#### Captions that repeat")
    if not shown:
        st.text("No caption occurs twice.")
        return
    st.text(
        f"{found['repeated_captions']:,} captions occur more than once, but for case, punctuation and "
        f"spaces, in {found['repeated_pairs']:,} pairs. Templates repeat honestly; worth a look is one "
        f"with more pairs in the top {found['top_share']:.0%} of the latest scan's ranking than its share."
    )
    with st.expander(
        f"The {len(shown):,} most frequent" if len(shown) > 1 else "The only one",
        icon=":material/notes:",
    ):
        st.dataframe(
            [
                {
                    "Pairs": one["pairs"],
                    "Caption": one["caption"] if one["caption"].strip() else "(blank)",
                    "Wordings": one["wordings"],
                    **_places(one),
                }
                for one in shown
            ],
            hide_index=True, width="stretch",
        )  # fmt: skip


def _places(one: dict[str, Any]) -> dict[str, str]:
    """How the pairs of a group score: the middle one's place, and how many are in the top."""
    if "middle_rank" not in one:
        return {}
    middle = one["middle_rank"]
    return {
        "Middle pair above": "no score" if middle is None else f"{middle:.0%} of all",
        "In the top 1 %": f"{one['in_top']:,}",
    }
