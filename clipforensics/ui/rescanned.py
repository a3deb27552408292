"""Before and after a repair: the map, the paste tests and the answers of two cases, side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.jobs.runs.run_folder import Run
from clipforensics.ui import cache, mapcharts, scanned, scoredrop, shell

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
        _made_by(before, after)
        _drawn(case, before, after)
    except ForensicsError as problem:
        shell.complain(problem)


def _made_by(before: Any, after: Any) -> None:
    """Which run the repaired weights come from, and what it was measured at its end."""
    made = after.settings.repair_run
    if not made or Path(made).name != made or not (before.dir / "runs" / made).is_dir():
        return
    result = Run(before.dir / "runs" / made).result() or {}
    said = [f"Made by run {made}"]
    for title, field, n in (("ASR", "asr", "n_asr"), ("clean accuracy", "ca", "n_ca")):
        was, now = result.get(f"{field}_before"), result.get(f"{field}_after")
        if was is not None and now is not None:
            said.append(
                f"{title} at its end {now:.2%} (before {was:.2%}, n = {result.get(n) or 0:,})"
            )
    said.append(f"weights' SHA-256 {str(after.fingerprints.get('weights'))[:8]}…")
    st.text(" · ".join(said))


def _drawn(case: Any, before: Any, after: Any) -> None:
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
    kept = ", ".join(
        f"{kind} {one['share']:.0%} (n = {one['n']:,})" for kind, one in found["kept"].items()
    )
    k = next(iter(found["kept"].values()))["k"] if found["kept"] else 0
    st.markdown(
        "One projection: **Before** is the map of the first scan. **After** places every pair on that "
        "same map where its neighbours lie under the repaired model (UMAP's transform). Each model has "
        "its own space, so only neighbourhoods can be compared, never coordinates."
    )
    st.text(
        f"Of each pair's {k} nearest neighbours in the full embedding space stayed, on average: {kept}."
    )
    _pastes(found["pastes"])
    _answers(before, found["answers"], found["right"])
    scoredrop.shown(case, found["drop"], found["labels"])


@st.cache_resource(max_entries=4, show_spinner="Comparing both scans…")
def _found(_before: Any, _after: Any, key: str) -> dict[str, Any]:
    from clipforensics.jobs.repairing import rescanned, score_drop

    marked, drop = rescanned.marked_rows(_before), score_drop.score_drop(_before, _after)
    rows = np.concatenate(list(marked.values()))
    said = rescanned.answers(_before, _after, rows)
    return {
        "right": rescanned.called_right(_before, said),
        "answers": said, "marked": marked, "places": rescanned.places(_before, _after),
        "kept": rescanned.neighbours_kept(_before, _after, marked),
        "pastes": rescanned.paste_tests(_before, _after),
        "drop": drop, "labels": score_drop.told(_before, drop)["labels"],
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


def _answers(before: Any, answers: list[Any], right: dict[str, int] | None) -> None:
    """What both models call the followed pictures; where the truth is known, how often rightly."""
    if not answers:
        return
    from clipforensics.jobs.repairing import rescanned

    changed = sum(one.before != one.after for one in answers)
    st.markdown(
        f"**Answers to the {len(answers):,} marked pictures**, each with the model's probability of it among all "
        f"labels: {changed:,} differ between before and after."
        + (
            f" Of the {right['n']:,} that are known to be poisoned, {right['before']:,} were called by a label of "
            f"their own caption before the repair, {right['after']:,} are now."
            if right
            else ""
        )
    )
    own = rescanned.captions_before(before) if right else {}
    st.dataframe(
        [
            {
                "Picture": cache.data_uri(before, one.row), "Pair": before.pairs.ids[one.row],
                "Caption": before.pairs.captions[one.row][:160],
                **({"Its own caption": own.get(before.pairs.ids[one.row], "")[:160]} if own else {}),
                "Before": f"{one.before} ({one.p_before:.0%})",
                "After": f"{one.after} ({one.p_after:.0%})",
            }
            for one in answers[:MOST_ANSWERS]
        ],
        hide_index=True, width="stretch", row_height=72,
        column_config={"Picture": st.column_config.ImageColumn("Picture", width=88)},
    )  # fmt: skip
    if len(answers) > MOST_ANSWERS:
        st.text(f"The first {MOST_ANSWERS} of {len(answers):,} are shown.")
