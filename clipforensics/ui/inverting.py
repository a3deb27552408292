"""The part of the Triggers page for triggers that leave no region: inversion against controls."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.inversion import FAMILY_NAMES, INVERSION_PRESETS, InversionSettings
from clipforensics.ui import cache, charts, forms, live, picks, pictures, shell, state

FAMILY_TITLES = {
    "mask": "Mask: a pattern in part of the picture",
    "blend": "Blend: a faint pattern over all of it",
    "colour": "Colour: a filter",
    "warp": "Warp: a smooth shift",
}
SHOWN = 3
PICTURE_PX = 200


def section(case: Any) -> None:
    """Launch, progress and result of an inversion."""
    st.markdown("#### Triggers that cover the whole picture")
    st.markdown(
        "A faint blend, a filter or a warp leaves no region to cut out. For each suspected label "
        "the smallest change is searched that makes the suspect say it, and compared with the "
        "same search for control labels."
    )
    run = _launch(case)
    from clipforensics.jobs.hunting.inverting import latest_inversion

    result = latest_inversion(case)
    if result is None:
        if run is None:
            st.markdown("No inversion has finished yet. What it finds will stand here.")
        return
    _verdict(case, result)
    _table(result)
    rows = sorted(result["rows"], key=lambda row: (not row["flagged"], -row["anomaly_index"]))
    names = [f"{row['label']} · {row['family']}" for row in rows]
    at = st.selectbox(
        "Look at", range(len(rows)), format_func=lambda place: names[place], key="invert.look"
    )
    _row(case, rows[at or 0], result["settings"])


def _launch(case: Any) -> Any | None:
    from clipforensics.jobs.hunting.inverting import suspected

    run = live.latest(case.dir, "invert")
    most = InversionSettings().most_labels
    with st.container(border=True):
        slots = st.columns([2, 2, 1], vertical_alignment="bottom")
        with slots[0]:
            labels = st.multiselect(
                "Labels", case.labels.names, list(suspected(case, most)), key="invert.labels",
                help="Suspected target labels; at first those that the latest scan suspects",
                placeholder="The scan suspects no label: choose some",
            )  # fmt: skip
        with slots[1]:
            families = st.multiselect(
                "Families", FAMILY_NAMES, list(FAMILY_NAMES), key="invert.families",
                format_func=lambda name: FAMILY_TITLES[name],
            )  # fmt: skip
        with slots[2]:
            quick = st.toggle(
                "Quick", False, key="invert.quick",
                help="Half the steps and half the pictures a step: a quarter of the time",
            )  # fmt: skip
        controls = forms.widget(InversionSettings, "controls", key="invert.controls", width=200)
        if labels and families:
            config = INVERSION_PRESETS["quick" if quick else "full"].model_dump(mode="json") | {
                "labels": labels, "families": families, "controls": controls,
            }  # fmt: skip
            st.text(f"{(len(labels) + controls) * len(families):,} searches at most.")
            live.start_button("Invert triggers", case.dir, "invert", config, "invert.start")
        else:
            st.text("Choose at least one label and one family.")
        if run is not None:
            live.watch(run, _progress)
    return run


def _progress(run: Any) -> None:
    asked = run.config
    st.text(
        f"{', '.join(asked.get('labels', []))} · {', '.join(asked.get('families', []))} · "
        f"{asked.get('steps', 0):,} steps · {asked.get('controls', 0):,} control labels"
    )
    live.status_line(run)
    live.details(run)


def _verdict(case: Any, result: dict[str, Any]) -> None:
    flagged = list(dict.fromkeys(one["label"] for one in result["flagged"]))
    if not flagged:
        st.info(
            f"{result['verdict'][0].upper()}{result['verdict'][1:]}. That is no proof of "
            "innocence: another label, or another kind of change, may still hold one.",
            icon=":material/info:",
        )
        _chance(result)
        return
    held = case.store.current("label")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Oddly small trigger for**", width="content")
        for label in flagged:
            picks.pick_button(
                case, "label", label, held.get(label), "invert", "inversion", state.plain(label)
            )
    st.text(
        "A reason to look, and no proof: an inverted trigger is one that works, not the one planted."
    )
    _chance(result)


def _chance(result: dict[str, Any]) -> None:
    """What chance alone would flag; results of older versions do not tell."""
    if told := result.get("chance"):
        st.text(told["sentence"])


def _table(result: dict[str, Any]) -> None:
    st.dataframe(
        [
            {
                "Label": row["label"],
                "Family": row["family"],
                "Size": f"{row['size']:.3g} {row['unit']}",
                "Controls": f"{row['controls'][0]['size']:.3g} to {row['controls'][-1]['size']:.3g}",
                "Anomaly index": f"{row['anomaly_index']:.1f}",
                "Held-out success": f"{row['success']:.0%} of {row['n']:,}",
                "Trusted model": f"{row['f_t']:.0%}",
                "Flagged": "yes" if row["flagged"] else "no",
            }
            for row in result["rows"]
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip


def _row(case: Any, row: dict[str, Any], settings: dict[str, Any]) -> None:
    """One label and family: the conditions in words, the sizes as a strip, and the pictures."""
    left, right = st.columns([1.1, 1], gap="medium")
    with left:
        st.markdown(f"**{state.plain(row['label'])}** by {row['family']}")
        for name, sentence in _conditions(row, settings).items():
            holds = row["checks"][name]
            icon = ":material/check_circle:" if holds else ":material/cancel:"
            st.markdown(f"{icon} {'Yes' if holds else 'No'}: {sentence}")
        st.text(
            "Flagged: all five hold." if row["flagged"] else "Not flagged: a flag needs all five."
        )
    with right:
        st.altair_chart(
            charts.size_strip(
                row["label"], row["size"],
                [(one["label"], one["size"]) for one in row["controls"]], row["unit"],
            ),
            width="stretch", key=f"invert.strip.{row['evidence']}",
        )  # fmt: skip
    _pictures(case, row)


def _conditions(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, str]:
    low, high = row["interval"]
    n = len(row["controls"])
    return {
        "reached": "the search found a change that makes the suspect say the label",
        "rank": f"no control label needs as small a change (rank {row['rank']} of {n + 1})",
        "anomaly_index": f"anomaly index {row['anomaly_index']:.1f}, above "
        f"{settings['anomaly_limit']:g}: robust deviations below the controls' median, on logarithms",
        "held_out": f"on {row['n']:,} held-out pictures {row['success']:.0%} become the label "
        f"(95 % {low:.0%} to {high:.0%}), at least {settings['held_out_limit']:.0%}",
        "trusted": f"on the trusted model {row['f_t']:.0%} do, at most {settings['trusted_limit']:.0%}: "
        "no real object",
    }


def _pictures(case: Any, row: dict[str, Any]) -> None:
    """Clean pictures, the same with the inverted trigger, and what changed."""
    from clipforensics.errors import CaseError, DataError
    from clipforensics.jobs.hunting.inverting import worn_examples

    try:
        before, after = worn_examples(case, row["evidence"], cache.side(case), SHOWN)
    except (CaseError, DataError) as problem:
        shell.complain(problem)
        return
    gain = pictures.gain_of(before, after)
    slots = st.columns(3)
    captions = (
        "Clean", "With the inverted trigger", f"Difference, {gain} times enlarged; grey: unchanged",
    )  # fmt: skip
    changed = [pictures.difference(a, b, gain) for a, b in zip(before, after, strict=True)]
    for slot, title, some in zip(slots, captions, (before, after, changed), strict=True):
        slot.image(
            pictures.webp(_side_by_side(some), PICTURE_PX * SHOWN), caption=title, width="stretch"
        )


def _side_by_side(some: Any) -> np.ndarray:
    gap = np.full((some[0].shape[0], 2, 3), 255, np.uint8)
    parts = [part for one in some for part in (one, gap)]
    return np.concatenate(parts[:-1], axis=1)
