"""The pairs that a hunt names: why it does, how they look, and all of a kind picked or taken back."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from clipforensics.ui import gallery, inspecting, picks, scanned, shell, state

STEP = 8
KINDS = {
    "victims": ("victims", "Pairs that carry a trigger and name its label"),
    "carriers": ("carriers", "Pairs that carry a trigger and name something else"),
    "probable": (
        "probable pairs",
        "Weaker: the caption names what the suspect says and the trusted model sees nowhere",
    ),
}
"""Of a hunt's result: what they are called in the log, and on the page."""


def show(case: Any, result: Mapping[str, Any], reason: str) -> None:
    """Victims, carriers and probable pairs of one hunt.

    Args:
        case: whose pairs they are.
        result: the hunt; an older one may lack kinds, and reasons.
        reason: the hunt's name in the log.
    """
    held = case.store.current("sample")
    notes = _notes(result.get("suspicions", []))
    for kind, (called, title) in KINDS.items():
        names = result.get(kind, [])
        if not names:
            continue
        key, what = f"hunt.{kind}", f"{called} of the {reason}"
        fresh = [name for name in names if not (name in held and held[name].verdict)]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{title}**", width="content")
            if fresh:
                picks.bulk_button(case, fresh, key, what)
            picks.bulk_done(case, names, key, what)
            spoken = [held[name].verdict for name in names if name in held]
            if otherwise := sum(one not in (None, "suspicious") for one in spoken):
                st.text(f"{otherwise:,} judged otherwise")
        _look(case, names, notes, key)
    with shell.part():  # a manifest that changed hides nothing else
        _against_truth(case, result)


def _against_truth(case: Any, result: Mapping[str, Any]) -> None:
    """Precision and recall of the victims, where the case knows which pairs are poisoned."""
    from clipforensics.jobs.hunting.findings import against_truth

    if "victims" in result and (held := against_truth(result, case.truth)):
        st.caption(
            f"Against the known truth, which no hunt reads: {held['right']:,} of the "
            f"{held['victims']:,} named are poisoned; {held['right']:,} of the {held['poisoned']:,} poisoned "
            "pairs are named."
        )


def _look(case: Any, names: Sequence[str], notes: Mapping[str, str], key: str) -> None:
    """The first few, on demand; more in steps."""
    few = "it" if len(names) == 1 else f"the {len(names):,} pairs"
    folded = st.expander(
        f"Look at {few}", icon=":material/photo_library:", key=f"{key}.look", on_change="rerun"
    )
    if not folded.open:  # nothing is decoded for what nobody looks at
        return
    shown = st.session_state.setdefault(f"{key}.shown", STEP)
    with folded:
        for start in range(0, min(shown, len(names)), STEP):
            rows = {
                row: name
                for name in names[start : start + STEP]
                if (row := scanned.row_of(case, name)) is not None
            }
            said = [notes.get(name, state.plain(name)) for name in rows.values()]
            gallery.strip(
                case, list(rows), said, lambda row, rows=rows: _inspect_button(rows[row], key)
            )
        if shown < len(names):
            st.button(
                f"Show {min(STEP, len(names) - shown):,} more of {len(names) - shown:,}",
                key=f"{key}.more", icon=":material/expand_more:", type="tertiary",
                on_click=lambda: st.session_state.update({f"{key}.shown": shown + STEP}),
            )  # fmt: skip


def _inspect_button(name: str, key: str) -> None:
    st.button(
        "Inspect", key=f"{key}.inspect.{name}", type="tertiary",
        icon=":material/center_focus_strong:", on_click=inspect, args=(name,),
    )  # fmt: skip


def inspect(pair: str) -> None:
    """Open one picture on this page. Serves as callback."""
    st.query_params["pair"] = pair
    st.session_state.pop(inspecting.NAMED, None)  # the page opens it even if it was open before


def _notes(suspicions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Each pair's reasons, of every trigger that it is named for."""
    told: dict[str, list[str]] = {}
    for one in suspicions:
        told.setdefault(one["pair"], []).append(_why(one))
    return {name: " \\\n".join(several) for name, several in told.items()}


def _why(one: Mapping[str, Any]) -> str:
    """The reason for one suspicion, in words."""
    match = one.get("match")
    at = "" if match is None else f", correlation {match:.2f}"
    words = {
        "match": f"the trigger's pattern{at}",
        "effect": "a region with the trigger's effect",
        "disagreement": "caption and suspect agree, the trusted model sees none",
    }
    said = " and ".join(words[reason] for reason in one["reasons"] if reason in words)
    return f"**{state.plain(one['label'])}**: {state.plain(said)}"
