"""A paste test in words: its badge, its figures, and why it came out so."""

from typing import Any

import streamlit as st

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.competence import UNDECIDED
from clipforensics.oracle.rates import wilson
from clipforensics.ui import state

NBSP = "\u00a0"
STATUS = {
    "verified": ("Verified trigger", "orange", ":material/gpp_bad:"),
    "object": ("Both models see it", "gray", ":material/category:"),
    "weak": ("Too weak", "gray", ":material/trending_down:"),
    "chance": ("No better than controls", "gray", ":material/casino:"),
    "untested": ("Cannot be tested", "gray", ":material/help:"),
    "unjudged": ("The trusted model cannot judge", "gray", ":material/help:"),
    "narrow": ("Works on few labels", "gray", ":material/filter_alt:"),
}
SCREENED = ("Passed the first paste test", "gray", ":material/hourglass_top:")
"""A pass without controls is no verdict, and not in a verdict's colour."""
NOT_PASTED = ("Not pasted yet", "gray", ":material/hourglass_empty:")
PASSED_BEFORE = ("Not pasted: a surer region passed", "gray", ":material/skip_next:")
"""The first region of a label that passes ends the test of this label."""


def badge_of(figures: Any | None, pasted: bool = False) -> tuple[str, str, str]:
    """Word, colour and icon of a paste test; verified only where controls were pasted, too.

    Args:
        figures: of the region; None: it was not pasted.
        pasted: whether the picture's regions were.
    """
    if figures is None:
        return PASSED_BEFORE if pasted else NOT_PASTED
    if figures.status == "verified" and figures.p_value is None:
        return SCREENED
    return STATUS.get(figures.status, (figures.status, "gray", ":material/help:"))


def badge(figures: Any | None, pasted: bool = False) -> str:
    """The badge, to stand in a sentence."""
    word, colour, icon = badge_of(figures, pasted)
    return f":{colour}-badge[{icon} {word}]"


def p_text(figures: Any) -> str:
    """The p-value and what it rests on; older hunts did not keep how many controls."""
    rests_on = ""
    if figures.controls is not None:
        rests_on = f"{figures.controls:,} controls"
        if figures.controls_as_good is not None:
            rests_on = f"{figures.controls_as_good:,} of {rests_on} as good,"
        rests_on += f" on {figures.control_pictures:,} pictures each, "
    return f"p{NBSP}={NBSP}{figures.p_value:.3g}, {rests_on}Holm-corrected over the clusters tested"


def why(figures: Any) -> str:
    """Why a region is no trigger; empty for one that passed."""
    flips, trusted = f"{figures.flip_rate:.0%}", f"{figures.flip_rate_trusted:.0%}"
    least = VerifySettings().weak_flip
    if figures.status == "object":
        if figures.flip_rate_trusted <= VerifySettings().object_flip:
            return (
                f"the trusted model, too, sees the label in the region itself ({figures.p_trusted:.0%} "
                "sure), as it does in a real object"
            )
        low, high = wilson(round(figures.flip_rate_trusted * figures.n), figures.n)
        return (
            f"pasted likewise it turns the trusted model, too: {trusted} of {figures.n:,} pictures "
            f"(95{NBSP}% {low:.0%} to {high:.0%}), as a real object does"
        )
    if figures.status == "weak":
        return (
            f"pasted on other pictures it turns {flips} of them (95{NBSP}% {_interval(figures)}), and "
            f"{trusted} on the trusted model. A trigger surely turns at least {least:.0%}, and at least "
            f"{least:.0%} more than on the trusted model"
        )
    if figures.status == "chance":
        counted = figures.controls is not None and figures.controls_as_good is not None
        few = f"{figures.controls_as_good:,} of {figures.controls:,}" if counted else "enough"
        return f"{few} crops of the same size from clean pictures do as well"
    if figures.status == "narrow":
        return f"it turns pictures of only {figures.labels_flipped:,} labels, not of any"
    if figures.status == "unjudged":
        known = figures.objects or figures.recall
        return f"{known.told(state.plain(figures.label))}, too few to acquit or to convict"
    if figures.status == "untested":
        return f"only {figures.n:,} clean pictures of other labels were left to paste it on"
    return ""


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
    n = f"n{NBSP}={NBSP}{figures.n:,}"
    said = [
        f"Flip rate **{figures.flip_rate:.1%}** (95{NBSP}% {_interval(figures)}, {n})",
        f"By place: {_by_place(figures)}",
        f"Same paste on the trusted model: {figures.flip_rate_trusted:.1%} ({n})",
        f"Entropy of the answers: {figures.entropy:.2f}",
    ]
    if figures.p_value is not None:
        said.append(f"Against control crops: {p_text(figures)}")
    if figures.objects is not None and figures.status != "unjudged":
        told = figures.objects.told(state.plain(figures.label))
        wanted = f"{VerifySettings().objects_known:.0%}".replace("%", f"{NBSP}%")
        least = f" (at least {wanted} wanted)" if figures.objects.tell else ""
        said.append(f"Positive control: {told}{least}")
    if figures.large:
        said.append("Covers more than a quarter of the picture")
    if reason := why(figures):
        word = "Undecided" if figures.status in UNDECIDED else "Rejected"
        said.append(f"{word}: {reason}")
    st.markdown("  \n".join(said))


def _interval(figures: Any) -> str:
    low, high = figures.interval
    return f"{low:.1%} to {high:.1%}"


def _by_place(figures: Any) -> str:
    """Where it was found, at random places and, if pasted there, in the corners."""
    corners = [rate for place, rate in figures.flips.items() if place not in ("found", "random")]
    said = f"found {figures.flips['found']:.0%}, random {figures.flips['random']:.0%}"
    if corners:
        low, high = f"{min(corners):.0%}", f"{max(corners):.0%}"
        said += f", corners {low}" + (f" to {high}" if low != high else "")
    return said + (": it works where it was found" if figures.tied_to_place else "")
