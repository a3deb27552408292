"""What an inversion found: its verdict, its table, and one label and family at a time."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.oracle.competence import Recall
from clipforensics.ui import cache, evidencecharts, picks, pictures, shell, state

SHOWN = 3
PICTURE_PX = 200
UNTESTED = "This family could not be tested here."


def show(case: Any, result: dict[str, Any]) -> None:
    """Verdict and table, then one label and family in full."""
    for note in result.get("notes", []):
        st.warning(state.plain(note), icon=":material/family_restroom:")
    _verdict(case, result)
    _table(result)
    rows = sorted(result["rows"], key=_interest)
    names = [f"{row['label']} · {row['family']}" for row in rows]
    at = st.selectbox(
        "Look at", range(len(rows)), format_func=lambda place: names[place], key="invert.look"
    )
    _row(case, rows[min(at or 0, len(rows) - 1)], result["settings"])


def _interest(row: dict[str, Any]) -> tuple[bool, bool, float]:
    return not row["flagged"], row["anomaly_index"] is None, -(row["anomaly_index"] or 0)


def _verdict(case: Any, result: dict[str, Any]) -> None:
    flagged = list(dict.fromkeys(one["label"] for one in result["flagged"]))
    if not flagged:
        verdict = state.plain(result["verdict"])
        st.info(
            f"{verdict[0].upper()}{verdict[1:]}. That is no proof of innocence: another label, or "
            "another kind of change, may still hold one, and so may what could not be tested.",
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
    if result.get("untested"):
        st.text(f"Could not be tested here: {result['untested']}.")
    _chance(result)


def _chance(result: dict[str, Any]) -> None:
    """What chance alone would flag."""
    if told := result.get("chance"):
        st.text(told["sentence"])


def _table(result: dict[str, Any]) -> None:
    rows = result["rows"]
    st.dataframe(
        [
            {
                "Label": row["label"],
                "Family": row["family"],
                "Size": f"{row['size']:.3g} {row['unit']}" if row["reached"] else "not reached",
                "Controls": _controls(row),
                "Anomaly index": _index(row),
                "Held-out success": _share(row["success"], row["interval"], row["n"]),
                "Trusted model": f"{row['f_t']:.0%} of {row['n']:,}",
                "Flagged": _flag(row),
            }
            for row in rows
        ],
        hide_index=True, width="stretch", height="content" if len(rows) <= 20 else 740,
    )  # fmt: skip


def _controls(row: dict[str, Any]) -> str:
    sizes = [one["size"] for one in row["controls"] if one["reached"]]
    told = f"{len(sizes)} of {len(row['controls'])} reached"
    if row["status"] == "controls_not_reached" or not sizes:
        return told
    between = f"{min(sizes):.3g} to {max(sizes):.3g}"
    return between if len(sizes) == len(row["controls"]) else f"{between}, {told}"


def _index(row: dict[str, Any]) -> str:
    return "not tested" if row["anomaly_index"] is None else f"{row['anomaly_index']:.1f}"


def _flag(row: dict[str, Any]) -> str:
    if row["status"] != "compared":
        return "not tested"
    return "yes" if row["flagged"] else "no"


def _share(share: float, interval: Any, n: int) -> str:
    low, high = interval
    return f"{share:.0%} of {n:,} ({100 * low:.0f} to {high:.0%})"


def _row(case: Any, row: dict[str, Any], settings: dict[str, Any]) -> None:
    """One label and family: the conditions in words, the sizes as a strip, and the pictures."""
    left, right = st.columns([1.1, 1], gap="medium")
    with left:
        st.markdown(f"**{state.plain(row['label'])}** by {row['family']}")
        if row["status"] != "compared":
            st.markdown(f":material/help: {UNTESTED} {_why_untested(row, settings)}")
        else:
            for name, sentence in _conditions(row, settings).items():
                holds = row["checks"][name]
                icon = ":material/check_circle:" if holds else ":material/cancel:"
                st.markdown(f"{icon} {'Met' if holds else 'Not met'}: {sentence}")
            told = (
                "Flagged: all five are met."
                if row["flagged"]
                else "Not flagged: a flag needs all five."
            )
            st.text(told)
    with right:
        if row["reached"] or any(one["reached"] for one in row["controls"]):
            _strip(row)
    _pictures(case, row)


def _strip(row: dict[str, Any]) -> None:
    own, *controls = (
        (one["label"], one["size"], one["reached"]) for one in (row, *row["controls"])
    )
    st.altair_chart(
        evidencecharts.size_strip(own, controls, row["unit"]),
        width="stretch", key=f"invert.strip.{row['evidence']}",
    )  # fmt: skip


def _why_untested(row: dict[str, Any], settings: dict[str, Any]) -> str:
    reached, n = sum(one["reached"] for one in row["controls"]), len(row["controls"])
    controls = f"{reached} of {n} control labels were reached"
    if row["status"] == "not_judged":
        known = Recall(**row["recall"]).told(state.plain(row["label"]))
        return f"O{known[1:]}: too few to tell a trigger from the real thing."
    if row["reached"]:
        return (
            f"A change that makes the label was found, but only {controls}, too few to compare "
            "sizes with. That is no sign of innocence: more steps may reach the others."
        )
    return (
        f"No step of the search made {settings['reached']:.0%} of a batch the label; the nearest "
        f"change makes {row['success']:.0%} of {row['n']:,} held-out pictures it. {controls}. "
        "More steps may reach more."
    )


def _conditions(row: dict[str, Any], settings: dict[str, Any]) -> dict[str, str]:
    """Each condition of a flag: what was found and what a flag needs, true whether it holds or not."""
    sizes = [one["size"] for one in row["controls"] if one["reached"]]
    smaller, n = row["rank"] - 1, len(sizes)
    who = f"{smaller} of {n} control labels need" if smaller else "no control label needs"
    return {
        "reached": "the search found a change that makes the suspect say the label.",
        "rank": f"{who} as small a change (rank {row['rank']} of {n + 1}). A flag needs rank 1.",
        "anomaly_index": f"the anomaly index is {row['anomaly_index']:.1f}: robust deviations below "
        f"the controls' median, on logarithms. A flag needs more than {settings['anomaly_limit']:g}.",
        "held_out": f"{row['success']:.0%} of {row['n']:,} held-out pictures become the label "
        f"(95 %: {row['interval'][0]:.0%} to {row['interval'][1]:.0%}). A flag needs at least "
        f"{settings['held_out_limit']:.0%}.",
        "trusted": f"the trusted model says the label on {row['f_t']:.0%} of the same pictures. "
        f"A flag allows at most {settings['trusted_limit']:.0%}: above it, the change may draw a real "
        "object.",
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
    enlarged = f", {gain} times enlarged" if gain > 1 else ""
    slots = st.columns(3)
    captions = (
        "Clean", "With the inverted trigger" if row["reached"] else "With the nearest change found",
        f"Difference{enlarged}; grey: unchanged",
    )  # fmt: skip
    changed = [pictures.difference(a, b, gain) for a, b in zip(before, after, strict=True)]
    for slot, title, some in zip(slots, captions, (before, after, changed), strict=True):
        slot.image(
            pictures.webp(_side_by_side(some), PICTURE_PX * SHOWN), caption=title, width="stretch"
        )


def _side_by_side(some: Any) -> np.ndarray:
    """Pictures in a row, uint8 [h, w, 4]; what lies between them is transparent, for any theme."""
    solid = [np.dstack([one, np.full(one.shape[:2], 255, np.uint8)]) for one in some]
    gap = np.zeros((some[0].shape[0], 2, 4), np.uint8)
    parts = [part for one in solid for part in (one, gap)]
    return np.concatenate(parts[:-1], axis=1)
