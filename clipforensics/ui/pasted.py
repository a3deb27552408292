"""One region pasted on clean pictures: what is known so far, and the test with its controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from clipforensics.ui import cache, evidencecharts, hunted, shell, state, verdict


@dataclass(frozen=True)
class Tested:
    """What paste tests have made of one region so far."""

    tried: Sequence[Any] | None  # of the picture's candidates; None: not pasted yet
    screened: Any | None  # figures of the first test of this region
    confirmed: Any | None  # the hunt's figures of it
    hunt: Any | None
    sightings: Sequence[Any] | None  # the hunt's triggers in this picture; None: damaged

    @property
    def badge(self) -> str:
        """Of the most telling figures, or why there are none."""
        return verdict.badge(self.figures, pasted=self.tried is not None)

    @property
    def figures(self) -> Any | None:
        """The most telling ones."""
        return self.confirmed or self.screened


def tested(case: Any, row: int, one: Any, examiner: Any) -> Tested:
    """Read what is known of a region; nothing is pasted unless the reviewer asked for it."""
    tried = _tried(case, row, examiner)
    mine = [
        t for t in tried or () if (t.candidate.region, t.candidate.label) == (one.region, one.label)
    ]
    screened = mine[0].screened if mine else None
    hunt, sightings = None, None
    with shell.part():
        hunt = hunted.chosen(case)
        sightings = _sightings(hunt, case.pairs.ids[row])
    # the hunt's sighting of a label is the region that passed, not one that failed before it
    passed = screened is not None and screened.status == "verified"
    own = [t for t in sightings or () if passed and t.label == one.label]
    return Tested(tried, screened, own[0].figures if own else None, hunt, sightings)


def paste_test(case: Any, row: int, one: Any, examiner: Any, so_far: Tested) -> None:
    """The region pasted on clean pictures, beside the trusted model and control crops."""
    if so_far.tried is None:
        st.button(
            "Paste it on clean pictures", key="inspect.paste", type="primary",
            icon=":material/content_paste_go:", help="Only this test makes a trigger.",
            on_click=lambda: st.session_state.update({_asked(case, row): True}),
        )  # fmt: skip
        _confirmed(so_far.hunt, so_far.sightings or (), None)
        return
    figures = so_far.screened
    if figures is None:
        st.markdown("This region was not pasted: a surer one of the same label passed before it.")
        return
    with st.spinner("Pasting control crops…"):
        controls = cache.controls(case, row, one, examiner)
    left, right = st.columns([1.6, 1])
    left.altair_chart(evidencecharts.paste_chart(figures, controls), width="stretch")
    with right:
        verdict.verification(figures, so_far.confirmed)
        st.markdown(
            f"{len(controls)} control crops of its size, from clean pictures, each pasted on up to "
            f"{examiner.settings.verify.n_screen} others: at most {max(controls):.1%}, to whichever label"
        )
        mine = [] if so_far.confirmed is None else [one.label]
        _confirmed(so_far.hunt, so_far.sightings or (), mine)
        if so_far.sightings is not None and figures.status == "verified" and not mine:
            who = "No hunt has" if so_far.hunt is None else f"The {so_far.hunt.called} has not"
            st.markdown(f"{who} tried this region on further pictures and with its controls.")


def _asked(case: Any, row: int) -> str:
    return f"inspect.paste.{case.dir.name}.{row}"


def _tried(case: Any, row: int, examiner: Any) -> list[Any] | None:
    """The picture's candidates after the first paste test; None where nobody asked for it."""
    from clipforensics.jobs.hunting.examining import is_screened

    if not (st.session_state.get(_asked(case, row)) or is_screened(case, row, examiner)):
        return None
    with st.spinner("Pasting on clean pictures…"):
        return cache.pasted(case, row, examiner)


def _sightings(hunt: Any | None, name: str) -> list[Any]:
    """The hunt's triggers, verified or rejected, that were seen in this picture."""
    from clipforensics.jobs.hunting.hunts import read_bank

    bank = [] if hunt is None else read_bank(hunt.folder)
    return [trigger for trigger in bank if name in trigger.pairs]


def _confirmed(hunt: Any | None, sightings: Sequence[Any], mine: Sequence[str] | None) -> None:
    """What the newest hunt, or the one chosen, made of the picture's regions: more pictures, controls.

    `mine` are the labels of its triggers that this region is one of; None: nobody knows, since the
    hunt looked with other settings.
    """
    for trigger in sightings if hunt is not None else ():
        word, colour, icon = verdict.badge_of(trigger.figures)
        p, seen = trigger.figures.p_value, len(trigger.pairs)
        which = (
            "a region of this picture"
            if mine is None
            else ("this region" if trigger.label in mine else "another region of this picture")
        )
        st.markdown(
            f"The {hunt.called}, of {which} as **{state.plain(trigger.label)}**: "
            f":{colour}[{icon} {word.lower()}] seen in "
            f"{seen:,} {'picture' if seen == 1 else 'pictures'}, flip rate "
            f"{trigger.figures.flip_rate:.1%} (n{verdict.NBSP}={verdict.NBSP}{trigger.figures.n:,})"
            + (f", {verdict.p_text(trigger.figures)}" if p is not None else "")
            + (f". The hunt {hunt.outdated}." if hunt.outdated else "")
        )
