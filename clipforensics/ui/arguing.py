"""Why a region is suspected, or is not: both models' answers, the pictures, the three lists, verdicts."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.oracle.competence import UNDECIDED
from clipforensics.ui import pasted, picks, pictures, state, verdict

FROM = "one picture"
"""Reason of what is decided here, for the log."""
WEIGHTY = 0.1
"""Probability from which a disagreement over a label is marked."""
LISTED = 0.005
"""Probability under which a label the suspect ranks high is not called said."""
MOST_OF_IT = 0.5
"""Share of the picture from which a region's removal says little."""
ALL_OF_IT = 0.95
"""Share of the picture from which a region's removal leaves nothing to ask about."""
REMOVED = "The region removed"


def headline(
    case: Any, found: Any, one: Any | None, after: Any, theta: float, so_far: pasted.Tested | None
) -> None:
    """The argument in three sentences, or why there is none; it follows the best evidence.

    Args:
        case: for the label names.
        found: the picture's inspection.
        one: the candidate that is shown, if any.
        after: what the suspect says without its region.
        theta: probability from which the trusted model has found a label in a region.
        so_far: what paste tests made of the region.
    """
    said, p_said = found.said[0]
    if one is None or so_far is None:
        unseen = found.suspicious and found.suspicious[0][0] == said
        st.markdown(
            f"**No region is suspected.** The suspect says **{state.plain(said)}** ({p_said:.0%}), "
            + ("which no region supports; but no region by itself makes it say so."
               if unseen else "and a region supports it.")
        )  # fmt: skip
        return
    figures, label = so_far.figures, state.plain(one.label)
    p_label = dict(found.said).get(one.label, 0.0)
    badge = so_far.badge
    alone = f"Alone it makes the suspect say **{label}** ({one.confidence:.0%}), but"
    if figures is not None and figures.status in UNDECIDED:
        st.markdown(
            f"{badge} **Whether the outlined region is a trigger stays open.** {alone} "
            f"{verdict.why(figures)}."
        )
    elif figures is not None and figures.status != "verified":
        st.markdown(
            f"{badge} **The outlined region did not pass as a trigger.** {alone} "
            f"{verdict.why(figures)}."
        )
    elif figures is None and p_label < WEIGHTY:
        st.markdown(
            f"{badge} **Hardly a reason to suspect the outlined region.** Of the picture the suspect "
            f"says **{state.plain(said)}** ({p_said:.0%}) and **{label}** {_little(p_label)}. The "
            f"region alone makes it say {label} ({one.confidence:.0%}): some region of many clean "
            "pictures does so. The paste test decides."
        )
    else:
        st.markdown(
            f"{badge} {_argument(case, found, one, after, theta, p_label)} {_proof(so_far, label)}"
        )


def _argument(case: Any, found: Any, one: Any, after: Any, theta: float, p_label: float) -> str:
    """Why the region is suspected: both models on the picture, on the region, and without it."""
    label = state.plain(one.label)
    best = dict(zip(case.labels.names, found.p_trusted.max(axis=0).tolist(), strict=True))
    traces = best.pop(one.label)
    other, p_other = max(best.items(), key=lambda pair: pair[1], default=("", 0.0))
    surely = "finds" if p_other >= theta else "is sure of nothing, its best other guess is"
    removed = f"without it, it says **{state.plain(after[0][0])}** ({after[0][1]:.0%})."
    if _share(one, found) > MOST_OF_IT:
        removed = "it is most of the picture, so what remains without it says little."
    return (
        f"**Why the orange region is suspected.** The suspect says :orange[**{label}**] "
        f"({p_label:.0%}); the trusted model {surely} "
        f"**{state.plain(other)}** ({p_other:.0%}). It finds {label} in no region: {traces:.0%} at "
        f"most, and {theta:.0%} would count as found. "
        f"The region alone makes the suspect say :orange[**{label}**] ({one.confidence:.0%}); "
        f"{removed}"
    )


def _proof(so_far: pasted.Tested, label: str) -> str:
    """What the paste test adds to the argument, if it was made: the hunt's is of its whole cluster."""
    figures = so_far.figures
    if figures is None:
        return ""
    what, it = ("Pasted", "it ") if so_far.confirmed is None else ("The hunt's trigger, pasted", "")
    said = (
        f"{what} on {figures.n:,} clean pictures, {it}turns {figures.flip_rate:.0%} to {label} "
        f"(trusted model {figures.flip_rate_trusted:.0%})"
    )
    if figures.controls is None or figures.controls_as_good is None:  # an older hunt kept neither
        return f"{said}."
    return (
        f"{said}; {figures.controls_as_good:,} of {figures.controls:,} control crops did as much."
    )


def _share(one: Any, found: Any) -> float:
    """The region's box, as a share of the picture."""
    height, width = found.regions[0].mask.shape
    x0, y0, x1, y1 = one.box_xyxy
    return (x1 - x0) * (y1 - y0) / (height * width)


def _little(p: float) -> str:
    return f"to {p:.1%}" if p >= LISTED else f"to less than {LISTED:.1%}"


def exhibits(
    case: Any,
    picture: np.ndarray,
    drawn: np.ndarray,
    found: Any,
    one: Any,
    after: Any,
    theta: float,
) -> None:
    """The picture, the region, the region alone and the picture without it, each with answers.

    What the trusted model answers under `theta` is its best guess, and called so.
    """
    from clipforensics.oracle.regions import box_mask
    from clipforensics.oracle.render import in_place, without

    side = picture.shape[0]
    weighty = {name for name, p in found.said if p >= WEIGHTY}
    unseen = {name for name, _ in found.suspicious} & weighty
    shown = found.p_trusted[one.region]
    names = case.labels.names
    alone = in_place(picture, box_mask(one.box_xyxy, side, side))
    share = _share(one, found)
    parts = (
        ("The picture", drawn, "Suspect", *found.said[0]),
        (f"The region (box: {share:.1%})", pictures.cut(picture, one.box_xyxy, 0), "Trusted",
         names[int(shown.argmax())], float(shown.max())),
        ("The region alone", alone, "Suspect", one.label, one.confidence),
        (REMOVED, without(picture, one.box_xyxy), "Suspect", *after[0]),
    )  # fmt: skip
    for slot, (title, image, who, label, p) in zip(st.columns(4), parts, strict=True):
        with slot:
            st.markdown(f"**{title}**")
            st.image(pictures.webp(_square(image)), width="stretch", alt=title)
            odd = who == "Suspect" and label in unseen
            word = f":orange[**{state.plain(label)}**]" if odd else f"**{state.plain(label)}**"
            unsure = who == "Trusted" and p < theta
            if title == REMOVED and share > ALL_OF_IT:
                st.markdown("Nothing is left")
            else:
                st.markdown(f"{who}{', unsure' if unsure else ''}: {word} {p:.0%}")


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


def lists(case: Any, found: Any, one: Any | None, theta: float) -> None:
    """Algorithm 1's lists side by side; what the suspect says and nobody sees is orange.

    The suspect's list has a fixed length, so its tail is often said with hardly any weight: it is
    listed and not marked, or, where it is next to nothing, left out, unless it is what the region
    that is argued about, `one`, makes the suspect say.
    """
    mine = None if one is None else one.label
    listed = [(name, p) for name, p in found.said if p >= LISTED or name == mine]
    listed = listed or list(found.said[:1])
    unseen = [(name, p) for name, p in found.suspicious if name in dict(listed)]
    marked = {name for name, p in listed if p >= WEIGHTY} & dict(unseen).keys()
    first, second, third = st.columns(3)
    with first, st.container(border=True, height="stretch"):
        st.markdown("**The suspect says**, whole picture")
        _lines((name, p, name in marked) for name, p in listed)
    with second, st.container(border=True, height="stretch"):
        st.markdown("**The trusted model finds**, best region")
        _seen(case, found, theta)
    with third, st.container(border=True, height="stretch"):
        st.markdown(f"**Said, not found**: trusted model at most ({theta:.0%} counts)")
        if unseen:
            _lines((name, p, name in marked) for name, p in unseen)
        elif found.suspicious:
            st.markdown("Nothing that the suspect says with any weight.")
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


def _seen(case: Any, found: Any, theta: float) -> None:
    """What the trusted model finds in some region, three labels at most; else its best guess."""
    best = found.p_trusted.max(axis=0)
    order = [int(at) for at in np.argsort(-best, kind="stable")[:3]]
    sure = [(case.labels.names[at], float(best[at]), False) for at in order if best[at] >= theta]
    if sure:
        _lines(sure)
        return
    name, p = case.labels.names[order[0]], float(best[order[0]])
    st.markdown(f"Nothing surely; its best guess is {state.plain(name)} {p:.1%}")


def verdicts(case: Any, name: str, label: str | None) -> None:
    """Verdicts on this picture, and a pick of the label it is pulled to."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Your verdict on this picture**", width="content")
        held = case.store.current("sample").get(name)
        picks.verdict_buttons(case, "sample", name, held, "inspect", FROM)
        if held is not None and held.verdict:
            picks.withdraw_button(case, "sample", name, "inspect", "Take back", type="tertiary")
        if label is not None:
            entry = case.store.current("label").get(label)
            word = state.plain(label)
            picks.pick_button(
                case, "label", label, entry, "inspect", FROM, f"Pick label {word}", f"Label {word}"
            )
