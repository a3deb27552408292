"""The parts of the Triggers page that look at many pictures: the hunt, and the triggers it found."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ForensicsError
from clipforensics.oracle.competence import UNDECIDED
from clipforensics.ui import (
    forms,
    hunted,
    huntpairs,
    live,
    picks,
    state,
    triggercards,
    verdict,
)

MOST_UNJUDGED = 5  # labels that are named
LEAST_SPREAD = 8
"""Pictures, and half of all that have a large candidate: from then on its label is named."""


def launch(case: Any) -> Any | None:
    """The button that inspects the top N as a run; returns the newest run, whose settings it shows."""
    run = live.latest(case.dir, "triggers")
    asked = _asked_of(run)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            top = forms.widget(HuntSettings, "top", key="hunt.top", start=asked.top, width=200)
            fast = forms.widget(HuntSettings, "fast", key="hunt.fast", start=asked.fast)
            config = {"top": top, "fast": fast}
            place = st.container()
        refused = forms.refusal(HuntSettings, config)
        with place:
            live.start_button(
                "Hunt for triggers", case.dir, "triggers", config, "hunt.start", refused
            )
        if run is None:
            st.markdown(
                "Inspects the most suspicious pictures and pastes what it finds on clean ones."
            )
        else:
            live.watch(run, _progress)
            live.resume_ended(run)
    return run


def _asked_of(run: Any | None) -> HuntSettings:
    """What a run was asked for; the defaults where there is none, or its settings are not ours."""
    try:
        return HuntSettings() if run is None else parse(HuntSettings, run.config)
    except ForensicsError:
        return HuntSettings()


def _progress(run: Any) -> None:
    live.status_line(run)
    sightings = run.status().figures.get("sightings")
    if sightings is not None:
        st.text(
            f"{sightings:,} regions passed the first paste test{' so far' if run.status().active else ''}."
        )
    live.details(run)


def found(case: Any) -> None:
    """What a finished hunt found, the newest or one that is chosen: affected labels, and triggers."""
    from clipforensics.jobs.hunting.hunts import read_bank, read_hunt

    hunt = hunted.choose(case)
    if hunt is None:
        st.markdown("No hunt has finished yet. The triggers it finds will stand here.")
        return
    result, bank = read_hunt(hunt.folder), read_bank(hunt.folder)
    st.caption(_asked(hunt, result["inspected"]))
    for note in result.get("notes", []):
        st.warning(state.plain(note), icon=":material/family_restroom:")
    _summary(case, result, hunt.called)
    _unjudged(result.get("unjudged", []))
    if not bank:
        tried = result.get("statuses", {})
        none = (
            "No region could be pasted"
            if set(tried) == {"untested"}
            else "No region passed the first paste test"
        )
        st.markdown(
            f"{none}. That is no proof of innocence: a trigger that covers "
            "the whole picture leaves no region. Inspect more pictures, or raise the number above."
        )
        return
    verified = [one for one in bank if one.figures.status == "verified"]
    undecided = [one for one in bank if one.figures.status in UNDECIDED]
    rejected = [one for one in bank if one not in verified and one not in undecided]
    triggercards.show(case, verified, hunt.called)
    if not verified:
        st.info(_none_verified(rejected, undecided), icon=":material/info:")
    if undecided:
        with st.expander(f"Undecided candidates ({len(undecided):,})", key="hunt.undecided"):
            triggercards.show(case, undecided, hunt.called)
    if rejected:
        with st.expander(f"Rejected candidates ({len(rejected):,})", key="hunt.rejected"):
            triggercards.show(case, rejected, hunt.called)


def _asked(hunt: Any, inspected: int) -> str:
    """What the shown hunt was asked; the form above may say something else by now."""
    way = "the fast mode's boxes" if hunt.settings.get("fast") else "masks"
    ranking = state.plain(hunt.ranking)
    return f"The hunt below: {inspected:,} pairs, ranked by {ranking}, cut by {way}, {hunt.moment}."


def _unjudged(labels: Sequence[dict[str, Any]]) -> None:
    """Where nobody could judge: neither guilt nor innocence was found there."""
    if not labels:
        return
    regions = sum(one["regions"] for one in labels)
    listed = "\n".join(
        f"- **{state.plain(one['label'])}** ({one['regions']:,}): {state.plain(one['why'])}"
        for one in labels[:MOST_UNJUDGED]
    )
    more = len(labels) - MOST_UNJUDGED
    st.warning(
        f"**{regions:,} region{'s' * (regions != 1)} could not be judged**: nothing was found for or "
        f"against them.\n\n{listed}" + (f"\n- and {more:,} labels more" if more > 0 else ""),
        icon=":material/help:",
    )


def _none_verified(rejected: Sequence[Any], undecided: Sequence[Any] = ()) -> str:
    """Why no candidate is called a trigger; and where many large ones name one label, what may."""
    every = [*rejected, *undecided]
    reasons = Counter(verdict.STATUS[one.figures.status][0].lower() for one in every)
    listed = ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common())
    plain = f"**No trigger was verified.** No candidate passed: {listed}."
    large = [one for one in rejected if one.figures.large]
    if not large:
        return plain
    seen = {(pair, one.label) for one in large for pair in one.pairs}
    pairs = len({pair for pair, _ in seen})
    label, most = Counter(label for _, label in seen).most_common(1)[0]
    said = (
        f"{plain} In {pairs:,} pictures a candidate covers more than a quarter of the picture: a "
        "paste so large proves nothing."
    )
    if most < max(LEAST_SPREAD, pairs / 2):
        return f"{said} No label stands out among them."
    return (
        f"{said} {most:,} of them make the suspect say **{state.plain(label)}**: a trigger spread over "
        "the whole picture looks like this, and inversion, below, is the test for it."
    )


def _summary(case: Any, result: dict[str, Any], reason: str) -> None:
    slots = st.columns(4)
    slots[0].metric("Inspected", f"{result['inspected']:,}", border=True)
    slots[1].metric(
        "With a candidate", f"{result['with_candidates']:,}", border=True,
        help="Pictures with a region that alone makes the suspect say an unsupported label; "
        "those whose region passes a first paste test become sightings",
    )  # fmt: skip
    slots[2].metric("Verified triggers", f"{len(result['triggers']):,}", border=True)
    slots[3].metric(
        "Pairs that carry one", f"{len(result['victims']):,}", border=True,
        help="Victims: the trigger is in the picture, and the caption names its label",
    )  # fmt: skip
    held = case.store.current("label")
    if result["affected_labels"]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("**Affected labels**", width="content")
            for one in result["affected_labels"]:
                label = f"{state.plain(one['label'])} · {_least_flips(one)}"
                picks.pick_button(
                    case, "label", one["label"], held.get(one["label"]), "hunt", reason, label
                )
    huntpairs.show(case, result, reason)


def _least_flips(one: dict[str, Any]) -> str:
    n = f", n = {one['n']:,}" if "n" in one else ""  # an older hunt did not keep it
    return f"flips at least {one['flip_rate_low']:.0%} (95 %{n})"
