"""Why a region is suspected: the pictures, the three lists, and the paste test with its controls."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import cache, evidencecharts, hunted, picks, pictures, shell, state

FROM = "one picture"
"""Reason of what is decided here, for the log."""
WEIGHTY = 0.1
"""Probability from which a disagreement over a label is marked."""
LISTED = 0.005
"""Probability under which a label the suspect ranks high is not called said."""
NBSP = "\u00a0"
STATUS = {
    "verified": ("Verified trigger", "orange", ":material/gpp_bad:"),
    "object": ("A real object", "green", ":material/category:"),
    "weak": ("Too weak", "gray", ":material/trending_down:"),
    "chance": ("Could be chance", "gray", ":material/casino:"),
    "untested": ("Cannot be tested", "gray", ":material/help:"),
    "narrow": ("Works on few labels", "gray", ":material/filter_alt:"),
}
SCREENED = ("Passed the first paste test", "gray", ":material/hourglass_top:")
"""A pass without controls is no verdict, and not in a verdict's colour."""


def headline(case: Any, found: Any, one: Any | None, after: Any, theta: float) -> None:
    """The argument in three sentences, or why there is none.

    Args:
        case: for the label names.
        found: the picture's inspection.
        one: the candidate that is shown, if any.
        after: what the suspect says without its region.
        theta: probability from which the trusted model has found a label in a region.
    """
    said, p_said = found.said[0]
    if one is None:
        unseen = found.suspicious and found.suspicious[0][0] == said
        st.markdown(
            f"**No region is suspected.** The suspect says **{state.plain(said)}** ({p_said:.0%}), "
            + ("which no region supports; but no region by itself makes it say so."
               if unseen else "and a region supports it.")
        )  # fmt: skip
        return
    label = state.plain(one.label)
    best = dict(zip(case.labels.names, found.p_trusted.max(axis=0).tolist(), strict=True))
    traces = best.pop(one.label)
    other, p_other = max(best.items(), key=lambda pair: pair[1], default=("", 0.0))
    surely = "finds" if p_other >= theta else "is sure of nothing, its best other guess is"
    st.markdown(
        f"**Why the orange region is suspected.** The suspect says :orange[**{label}**] "
        f"({dict(found.said).get(one.label, 0.0):.0%}); the trusted model {surely} "
        f"**{state.plain(other)}** ({p_other:.0%}). It finds {label} in no region: {traces:.0%} at "
        f"most, and {theta:.0%} would count as found. "
        f"The region alone makes the suspect say :orange[**{label}**] ({one.confidence:.0%}); "
        f"without it, it says **{state.plain(after[0][0])}** ({after[0][1]:.0%})."
    )


def exhibits(case: Any, picture: np.ndarray, drawn: np.ndarray, found: Any, one: Any, after: Any):
    """The picture, the region, the region alone and the picture without it, each with answers."""
    from clipforensics.oracle.regions import box_mask
    from clipforensics.oracle.render import in_place, without

    side = picture.shape[0]
    unseen = {name for name, _ in found.suspicious}
    shown = found.p_trusted[one.region]
    names = case.labels.names
    alone = in_place(picture, box_mask(one.box_xyxy, side, side))
    share = np.prod(np.subtract(one.box_xyxy[2:], one.box_xyxy[:2])) / side**2
    parts = (
        ("The picture", drawn, "Suspect", *found.said[0]),
        (f"The region (box: {share:.1%})", pictures.cut(picture, one.box_xyxy, 0), "Trusted",
         names[int(shown.argmax())], float(shown.max())),
        ("The region alone", alone, "Suspect", one.label, one.confidence),
        ("The region removed", without(picture, one.box_xyxy), "Suspect", *after[0]),
    )  # fmt: skip
    for slot, (title, image, who, label, p) in zip(st.columns(4), parts, strict=True):
        with slot:
            st.markdown(f"**{title}**")
            st.image(pictures.webp(_square(image)), width="stretch", alt=title)
            odd = who == "Suspect" and label in unseen
            word = f":orange[**{state.plain(label)}**]" if odd else f"**{state.plain(label)}**"
            st.markdown(f"{who}: {word} {p:.0%}")


def _square(image: np.ndarray) -> np.ndarray:
    """The image on a clear square, so that a flat region is as tall as its neighbours."""
    height, width = image.shape[:2]
    if height == width:
        return image
    edge = max(height, width)
    out = np.zeros((edge, edge, 4), np.uint8)  # with alpha: it suits either theme
    top, left = (edge - height) // 2, (edge - width) // 2
    out[top : top + height, left : left + width] = np.dstack(
        [image, np.full((height, width), 255, np.uint8)]
    )
    return out


def lists(case: Any, found: Any) -> None:
    """Algorithm 1's lists side by side; what the suspect says and nobody sees is orange.

    The suspect's list has a fixed length, so its tail is often said with hardly any weight: it is
    listed and not marked, or, where it is next to nothing, left out.
    """
    listed = [(name, p) for name, p in found.said if p >= LISTED] or list(found.said[:1])
    unseen = [(name, p) for name, p in found.suspicious if name in dict(listed)]
    marked = {name for name, p in listed if p >= WEIGHTY} & dict(unseen).keys()
    first, second, third = st.columns(3)
    with first, st.container(border=True, height="stretch"):
        st.markdown("**The suspect says**, whole picture")
        _lines((name, p, name in marked) for name, p in listed)
    with second, st.container(border=True, height="stretch"):
        st.markdown("**The trusted model finds**, best region")
        _lines((name, p, False) for name, p in _seen(case, found))
    with third, st.container(border=True, height="stretch"):
        st.markdown("**Said but not found**, trusted model's best region")
        if unseen:
            _lines((name, p, name in marked) for name, p in unseen)
        else:
            st.markdown("Nothing: the picture supports all that the suspect says.")
    said = "One disagreement is a reason to look, not a finding; the paste test decides."
    if len(listed) < len(found.said):
        said += f" Labels that the suspect gives less than {LISTED:.1%} are left out."
    st.caption(said)


def _lines(rows: Any) -> None:
    st.markdown(
        "  \n".join(
            f":orange[:material/priority_high: **{state.plain(name)}**] {p:.1%}"
            if odd else f"{state.plain(name)} {p:.1%}"
            for name, p, odd in rows
        )
    )  # fmt: skip


def _seen(case: Any, found: Any) -> list[tuple[str, float]]:
    """What the trusted model is surest of in any region: at least one label, at most three."""
    best = found.p_trusted.max(axis=0)
    order = [int(at) for at in np.argsort(-best, kind="stable")[:3]]
    return [(case.labels.names[at], float(best[at])) for at in order if best[at] >= 0.5] or [
        (case.labels.names[order[0]], float(best[order[0]]))
    ]


def paste_test(case: Any, row: int, found: Any, one: Any, examiner: Any) -> None:
    """The region pasted on clean pictures, beside the trusted model and control crops."""
    tried = _tried(case, row, examiner)
    if tried is None:
        return
    mine = [t for t in tried if (t.candidate.region, t.candidate.label) == (one.region, one.label)]
    if not mine:
        st.markdown("This region was not pasted: a surer one of the same label passed before it.")
        return
    figures = mine[0].screened
    with st.spinner("Pasting control crops…"):
        controls = cache.controls(case, row, one, examiner)
    left, right = st.columns([1.6, 1], vertical_alignment="center")
    left.altair_chart(evidencecharts.paste_chart(figures, controls), width="stretch")
    with right:
        sightings: list[Any] | None = None
        hunt = None
        with shell.part():
            hunt = hunted.chosen(case)
            sightings = _sightings(hunt, case.pairs.ids[row])
        # the hunt's sighting of a label is the region that passed, not one that failed before it
        passed = figures.status == "verified"
        mine = [t for t in sightings or () if passed and t.label == one.label]
        verification(figures, mine[0].figures if mine else None)
        st.markdown(
            f"{len(controls)} control crops of its size, from clean pictures: at most "
            f"{max(controls):.1%}, to whichever label"
        )
        _confirmed(hunt, sightings or (), [one.label] if mine else [])
        if sightings is not None and passed and not mine:
            who = "No hunt has" if hunt is None else f"The {hunt.called} has not"
            st.markdown(f"{who} tried this region on further pictures and with its controls.")


def _tried(case: Any, row: int, examiner: Any) -> list[Any] | None:
    from clipforensics.jobs.hunting.examining import is_screened

    asked = f"inspect.paste.{case.dir.name}.{row}"
    if not (st.session_state.get(asked) or is_screened(case, row, examiner)):
        st.button(
            "Paste it on clean pictures", key="inspect.paste", type="primary",
            icon=":material/content_paste_go:", help="Only this test makes a trigger.",
            on_click=lambda: st.session_state.update({asked: True}),
        )  # fmt: skip
        return None
    with st.spinner("Pasting on clean pictures…"):
        return cache.pasted(case, row, examiner)


def _sightings(hunt: Any | None, name: str) -> list[Any]:
    """The hunt's triggers, verified or rejected, that were seen in this picture."""
    from clipforensics.jobs.hunting.hunts import read_bank

    bank = [] if hunt is None else read_bank(hunt.folder)
    return [trigger for trigger in bank if name in trigger.pairs]


def _confirmed(hunt: Any | None, sightings: Sequence[Any], mine: Sequence[str]) -> None:
    """What the newest hunt, or the one chosen, made of the picture's regions: more pictures, controls."""
    for trigger in sightings if hunt is not None else ():
        word, colour, icon = badge_of(trigger.figures)
        p, seen = trigger.figures.p_value, len(trigger.pairs)
        which = "this region" if trigger.label in mine else "another region of this picture"
        st.markdown(
            f"The {hunt.called}, of {which} as **{state.plain(trigger.label)}**: "
            f":{colour}[{icon} {word.lower()}] seen in "
            f"{seen:,} {'picture' if seen == 1 else 'pictures'}, flip rate "
            f"{trigger.figures.flip_rate:.1%} (n{NBSP}={NBSP}{trigger.figures.n:,})"
            + (f", {_p_text(trigger.figures)}" if p is not None else "")
            + (f". The hunt {hunt.outdated}." if hunt.outdated else "")
        )


def _p_text(figures: Any) -> str:
    """The p-value and what it rests on; older hunts did not keep how many controls."""
    rests_on = ""
    if figures.controls is not None:
        rests_on = f"{figures.controls:,} controls on {figures.control_pictures:,} pictures each, "
    return f"p{NBSP}={NBSP}{figures.p_value:.3g}, {rests_on}Holm-corrected over the clusters tested"


def badge_of(figures: Any) -> tuple[str, str, str]:
    """Word, colour and icon of a paste test; verified only where controls were pasted, too."""
    if figures.status == "verified" and figures.p_value is None:
        return SCREENED
    return STATUS.get(figures.status, (figures.status, "gray", ":material/help:"))


def verification(figures: Any, hunted: Any | None = None) -> None:
    """What the paste test says.

    Args:
        figures: of one paste test.
        hunted: where these are of the screen alone, what a hunt made of the same region: its
            verdict is the badge then.
    """
    from clipforensics.oracle.verify import LEAST

    word, colour, icon = badge_of(hunted or figures)
    st.badge(word, color=colour, icon=icon)
    if hunted is not None:
        st.markdown("The badge is the hunt's verdict; these are the first paste test's figures:")
    if figures.status == "untested":
        st.markdown(
            f"Only {figures.n:,} clean pictures were left for this step: those that show something "
            f"else than **{state.plain(figures.label)}** are shared out between screening and "
            f"confirmation, and each needs {LEAST}. Add pairs of other labels."
        )
        return
    low, high = figures.interval
    n = f"n{NBSP}={NBSP}{figures.n:,}"
    said = [
        f"Flip rate **{figures.flip_rate:.1%}** (95{NBSP}% {low:.1%} to {high:.1%}, {n})",
        f"Same paste on the trusted model: {figures.flip_rate_trusted:.1%} ({n})",
        f"Entropy of the answers: {figures.entropy:.2f}",
    ]
    if figures.p_value is not None:
        said.append(f"Against control crops: {_p_text(figures)}")
    if figures.large:
        said.append("Covers more than a quarter of the picture")
    st.markdown("  \n".join(said))


def verdicts(case: Any, name: str, label: str | None) -> None:
    """Verdicts on this picture, and a pick of the label it is pulled to."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Your verdict on this picture**", width="content")
        held = case.store.current("sample").get(name)
        picks.verdict_buttons(case, "sample", name, held, "inspect", FROM)
        if label is not None:
            entry = case.store.current("label").get(label)
            word = state.plain(label)
            picks.pick_button(
                case, "label", label, entry, "inspect", FROM, f"Pick label {word}", f"Label {word}"
            )
