"""What the outliers have in common, and at which scale they stand out: two parts of the Map page."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.detect import DETECTOR_TITLES, ReferenceSettings
from clipforensics.ui import picks, state

ROWS = 5


def suspects(case: Any) -> None:
    """Suspected target labels of the latest scan, with their evidence and a pick each."""
    from clipforensics.jobs import scan

    found = (scan.latest_scan(case) or {}).get("suspects")
    if found is None:
        return
    st.markdown("#### What the outliers have in common")
    if not found["labels"]:
        st.text("No label is named more often among the top-scored pairs than chance allows.")
    else:
        st.dataframe(
            [_row(one) for one in found["labels"][:ROWS]], hide_index=True, width="stretch"
        )
        _pick(case, found["labels"][0]["name"])
    terms = [one["name"] for one in found["terms"]][:ROWS]
    if terms:
        st.text("Words that stand out: " + ", ".join(terms))
    st.text(
        f"{found['tests']:,} tests, corrected together; shown are those of q under "
        f"{found['max_q']:.0%} against chance. Labels that are rare in kind pass it, too: the leading "
        "one is a candidate, to be confirmed on the Triggers page."
    )


def duplicates(case: Any) -> None:
    """Groups of nearly the same pictures, which a density score cannot see."""
    from clipforensics.jobs import scan

    found = (scan.latest_scan(case) or {}).get("duplicates")
    if not found or not found["groups"]:
        return
    with st.expander(
        f"Near-duplicates: {found['groups']:,} groups of {found['rows']:,} pictures",
        icon=":material/content_copy:",
    ):
        st.dataframe(
            [
                {
                    "Pictures": one["rows"],
                    "Captions": one["captions"],
                    "Most frequent caption": one["caption"],
                    "Worth a look": one["striking"],
                }
                for one in found["shown"]
            ],
            hide_index=True, width="stretch",
        )  # fmt: skip


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "Suspected target label": one["name"],
        "Found among": f"{one['flagged']:,} of the top {one['top']:,}",
        "Times chance": f"{one['lift']:.1f}",
        "log10 p": f"{one['log10_p']:.0f}",
        "Ranked by": DETECTOR_TITLES.get(one["detector"], one["detector"]),
    }


def _pick(case: Any, name: str) -> None:
    """A verdict on the leading label, from here."""
    held = case.store.current("label").get(name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Mark the leading label", width="content")
        picks.pick_button(case, "label", name, held, "map.suspect", label=state.plain(name))


def scales(case: Any, detector: str, reference: ReferenceSettings, flagged: np.ndarray) -> None:
    """For the ranking over all scales: how many flagged pairs stand out most at each."""
    if detector != "scales":
        return
    from clipforensics.jobs import scan

    found = scan.scale_scores(case, reference)
    if found is None or not len(flagged):
        return
    _, best, records = found
    place = np.searchsorted(scan.scored_rows(case), flagged)
    counts = np.bincount(best[place], minlength=len(records))
    st.markdown("**Scale at which the flagged pairs stand out**")
    st.dataframe(
        [
            {
                "Reference": f"{one['reference_size']:,}",
                "Neighbours": one["k"],
                "Groups rarer than": f"{one['guards_up_to_rate']:.2%}",
                "Pairs": int(count),
            }
            for one, count in zip(records, counts, strict=True)
            if count
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip
