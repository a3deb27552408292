"""Triggers of a hunt as cards: what each looks like, what the tests say of it, and what may be picked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import huntpairs, picks, pictures, scanned, state, verdict

IN_A_ROW = 3


def show(case: Any, triggers: Sequence[Any], reason: str) -> None:
    """A card each, three in a row; one alone has the page's width.

    Args:
        case: of the hunt.
        triggers: to draw.
        reason: which hunt, for the log of what is picked.
    """
    if len(triggers) == 1:
        with st.container(border=True):
            seen, said = st.columns([2, 3], gap="medium")
            _card(case, triggers[0], reason, seen, said)
        return
    for start in range(0, len(triggers), IN_A_ROW):
        some = triggers[start : start + IN_A_ROW]
        for slot, trigger in zip(st.columns(IN_A_ROW), some, strict=False):
            with slot, st.container(border=True, height="stretch"):
                _card(case, trigger, reason, st.container(), st.container())


def framed(case: Any, row: int) -> np.ndarray:
    """The picture in the suspect's frame, in which boxes are counted."""
    from clipforensics.ui import cache

    return case.pairs.picture(row, cache.side(case))


def _card(case: Any, trigger: Any, reason: str, seen: Any, said: Any) -> None:
    with seen:
        _pictures(case, trigger)
    with said:
        st.markdown(f"Makes the suspect say **{state.plain(trigger.label)}**")
        verdict.verification(trigger.figures)
        kind = "consensus" if trigger.consensus else "one crop"
        n = len(trigger.pairs)
        st.text(f"Seen in {n:,} {'picture' if n == 1 else 'pictures'} ({kind})")
        _picks(case, trigger, reason)


def _pictures(case: Any, trigger: Any) -> None:
    """The trigger's pixels, beside the picture in which it was found."""
    left, right = st.columns(2)
    left.image(pictures.webp(_on_grey(trigger), 200), width="stretch", alt="The trigger's pixels")
    row = scanned.row_of(case, trigger.pair)
    if row is not None:
        boxed = pictures.boxed(framed(case, row), trigger.box_xyxy)
        right.image(pictures.webp(boxed, 384), width="stretch", alt="Where it was found")


def _picks(case: Any, trigger: Any, reason: str) -> None:
    from clipforensics.jobs.repairing.curating import trigger_subject

    subject = trigger_subject(trigger)
    held = case.store.current("trigger").get(subject)
    with st.container(horizontal=True):
        picks.pick_button(case, "trigger", subject, held, "hunt", reason, "Pick trigger", "Trigger")
        if held is None or held.verdict != "benign":
            st.button(
                "Benign", key=f"hunt.benign.trigger.{subject}", icon=picks.ICONS["benign"],
                help="No trigger, as you see it: a repair leaves it alone.", type="tertiary",
                on_click=picks.decide, args=(case, "trigger", [subject], "benign", reason),
            )  # fmt: skip
        picks.pick_button(
            case, "sample", trigger.pair, case.store.current("sample").get(trigger.pair),
            f"hunt.{subject}", reason, "Pick sample", "Sample",
        )  # fmt: skip
        st.button(
            "Inspect", key=f"hunt.look.{subject}", icon=":material/center_focus_strong:",
            on_click=huntpairs.inspect, args=(trigger.pair,),
        )  # fmt: skip


def _on_grey(trigger: Any) -> np.ndarray:
    """The trigger's pixels; grey where its mask is empty."""
    shown = np.full_like(trigger.pixels, 205)
    shown[trigger.mask] = trigger.pixels[trigger.mask]
    return shown
