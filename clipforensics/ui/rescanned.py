"""Before and after a repair: the map, the paste tests and the answers of two cases, side by side."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.ui import cache, mapcharts, scanned, shell

PLACES = {
    "found": "Where it was found", "random": "Random places", "top_left": "Top left",
    "top_right": "Top right", "bottom_left": "Bottom left", "bottom_right": "Bottom right",
}  # fmt: skip
MOST_ANSWERS = 200


def compared(case: Any) -> None:
    """This case beside the one it was repaired from, or beside a re-scan that a repair of it made."""
    from clipforensics.jobs.repairing import lineage, rescanned

    pairs = [(case, other) for other in rescanned.children_of(case)]
    try:
        parent = lineage.parent_of(case)
    except ForensicsError as problem:
        shell.complain(problem)
        parent = None
    if parent is not None and scanned.is_scanned(parent):
        pairs.insert(0, (parent, case))
    if not pairs:
        return
    if parent is None:
        st.divider()
    st.subheader("Before and after the repair", anchor=False)
    before, after = pairs[0]
    if len(pairs) > 1:
        at = st.selectbox(
            "Re-scan", range(len(pairs)), key=f"rescanned.{case.dir.name}.{len(pairs)}",
            format_func=lambda i: pairs[i][1].name,
        )  # fmt: skip
        before, after = pairs[at]
    else:
        st.text(after.name)
    try:
        _drawn(before, after)
    except ForensicsError as problem:
        shell.complain(problem)


def _drawn(before: Any, after: Any) -> None:
    key = f"{cache.version(before)} {cache.version(after)}"
    found = _found(before, after, key)
    marked = found["marked"]
    if not any(map(len, marked.values())):
        st.info(
            "Nothing is picked yet: pick samples on the Map page to follow them through the repair."
        )
    texts = {
        one.row: f"{before.pairs.ids[one.row]}: {one.before}, then {one.after}"
        for one in found["answers"]
    }
    figure = cache.map_figure(
        f"before-after {key}",
        lambda: mapcharts.before_after_figure(*found["places"], marked, texts),
    )
    st.plotly_chart(
        figure, key=f"rescanned.map.{after.dir.name}", config={"displaylogo": False, "scrollZoom": True},
        alt="The map before the repair, and the repaired model's pairs on the same map",
    )  # fmt: skip
    kept = ", ".join(f"{kind} {share:.0%}" for kind, share in found["kept"].items())
    st.markdown(
        "One projection: **Before** is the map of the first scan. **After** places every pair on that "
        "same map where its neighbours lie under the repaired model (UMAP's transform). Each model has "
        "its own space, so only neighbourhoods can be compared, never coordinates."
    )
    st.text(f"Neighbours that stayed, in the full embedding space: {kept}.")
    _pastes(found["pastes"])
    _answers(before, found["answers"])


@st.cache_resource(max_entries=4, show_spinner="Comparing both scans…")
def _found(_before: Any, _after: Any, key: str) -> dict[str, Any]:
    from clipforensics.jobs.repairing import rescanned

    marked = rescanned.marked_rows(_before)
    rows = np.concatenate(list(marked.values()))
    return {
        "marked": marked, "places": rescanned.places(_before, _after),
        "kept": rescanned.neighbours_kept(_before, _after, marked),
        "pastes": rescanned.paste_tests(_before, _after),
        "answers": rescanned.answers(_before, _after, rows),
    }  # fmt: skip


def _pastes(pastes: list[dict[str, Any]]) -> None:
    """Each found trigger pasted on the same clean pictures for both models."""
    if not pastes:
        return
    st.markdown(
        "**Paste test of the found triggers**: share of clean pictures of other labels that become "
        "the trigger's label, the same pictures and places for both models"
    )
    st.dataframe(
        [
            {
                "Trigger": f"{i}: {one['label']}", "Place": title, "n": f"{one['n']:,}",
                "Before": _rate(one["before"][place]), "After": _rate(one["after"][place]),
                "95 % interval after": f"{one['after'][place]['low']:.1%} to {one['after'][place]['high']:.1%}",
            }
            for i, one in enumerate(pastes, start=1)
            for place, title in PLACES.items()
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip


def _rate(figures: dict[str, Any]) -> str:
    return "no picture" if figures["rate"] is None else f"{figures['rate']:.1%}"


def _answers(before: Any, answers: list[Any]) -> None:
    """What both models call the followed pictures."""
    if not answers:
        return
    changed = sum(one.before != one.after for one in answers)
    st.markdown(
        f"**Answers to the {len(answers):,} marked pictures**: {changed:,} differ between before and after"
    )
    st.dataframe(
        [
            {
                "Picture": cache.data_uri(before, one.row), "Pair": before.pairs.ids[one.row],
                "Caption": before.pairs.captions[one.row][:160],
                "Before": f"{one.before} ({one.p_before:.0%})",
                "After": f"{one.after} ({one.p_after:.0%})",
            }
            for one in answers[:MOST_ANSWERS]
        ],
        hide_index=True, width="stretch", row_height=56,
        column_config={"Picture": st.column_config.ImageColumn("Picture", width="small")},
    )  # fmt: skip
    if len(answers) > MOST_ANSWERS:
        st.text(f"The first {MOST_ANSWERS} of {len(answers):,} are shown.")
