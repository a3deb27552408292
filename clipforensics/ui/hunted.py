"""Which finished hunt is looked at, the newest or an earlier one, and what must be said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.config.detect import DETECTOR_TITLES
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse
from clipforensics.errors import CaseError, ForensicsError
from clipforensics.ui import state

ASKED = "hunt"
"""In the address: the folder of an earlier hunt; the newest needs no name."""
MOST_HUNTS = 50
AGAIN = "Hunt again on the Triggers page."


@dataclass(frozen=True)
class Chosen:
    """The hunt that is looked at."""

    folder: Path
    moment: str
    newest: bool
    outdated: str | None  # how it differs from one made now, if it does
    settings: Mapping[str, Any]  # by its record, unchecked

    @property
    def ranking(self) -> str:
        """What ordered the pairs."""
        detector = str(self.settings.get("detector", "an unknown score"))[:40]
        return DETECTOR_TITLES.get(detector, detector)

    @property
    def called(self) -> str:
        """As a reason in the log and within sentences."""
        return "hunt" if self.newest else f"earlier hunt, {self.moment}"


def chosen(case: Any) -> Chosen | None:
    """The hunt that the address names, else the newest; None before the first.

    Raises:
        CaseError: the address names none of this case's, or a record is damaged.
    """
    kept = _kept(case)
    asked = st.query_params.get(ASKED)
    if not kept:
        return None
    of_name = {one.folder.name: one for one in kept}
    if asked and asked not in of_name:
        raise CaseError(
            f"This case has no hunt named {asked[:60]!r}. Show the newest one on the Triggers page."
        )
    one = of_name[asked] if asked else kept[0]
    return _chosen(case, one, newest=one is kept[0])


def settings_of_chosen(case: Any) -> HuntSettings | None:
    """What whoever asked for the hunt chose, and today's limits: a record is no proof of them.

    Returns:
        None before the first hunt, and where its record cannot be read.
    """
    try:
        one = chosen(case)
        if one is None or not one.settings:
            return None
        then = parse(HuntSettings, dict(one.settings))
    except ForensicsError:  # said where the hunt itself is shown
        return None
    return HuntSettings(detector=then.detector, fast=then.fast)


def choose(case: Any) -> Chosen | None:
    """`chosen`, with the choice among several, and what must be said of the one chosen on screen."""
    kept = _kept(case)
    if kept:
        _forget_when_hunted_again(case, kept[0])
        if st.query_params.get(ASKED) not in (None, "", *(one.folder.name for one in kept)):
            st.button(
                "Show the newest hunt", key="hunt.newest", icon=":material/history:",
                on_click=st.query_params.pop, args=(ASKED, None),
            )  # fmt: skip
    one = chosen(case)
    if one is None:
        return None
    if len(kept) > 1:
        names = [every.folder.name for every in kept[:MOST_HUNTS]]
        if one.folder.name not in names:
            names.append(one.folder.name)
        titles = {every.folder.name: _called(_chosen(case, every, every is kept[0]))
                  for every in kept}  # fmt: skip
        key = f"hunt.choice.{one.folder.name}.{names[0]}"  # another link, and a new hunt, start afresh
        st.selectbox(
            "Hunt", names, names.index(one.folder.name), key=key, format_func=titles.__getitem__,
            on_change=lambda: _look_at(st.session_state[key], names[0]),
            help="Of this suspect, the one asked for last first",
        )  # fmt: skip
    told(one)
    return one


def told(one: Chosen) -> None:
    """Say that a hunt is not the newest, or differs from one made now."""
    if not one.newest:
        st.info(
            "This is not the newest hunt. Picks made here say so; a repair heals the triggers of the "
            "newest, and leaves out the pairs that the newest names.",
            icon=":material/history:",
        )
    if one.outdated:
        st.warning(
            f"This hunt {one.outdated}. Hunt again before you rely on it.",
            icon=":material/update:",
        )


def warn(case: Any, use: str) -> None:
    """Where the newest hunt is used without being looked at: say if it differs from one made now.

    Args:
        case: whose newest hunt it is.
        use: what it is used for, as a sentence.
    """
    from clipforensics.jobs.hunting.hunts import newest_outdated

    said = newest_outdated(case)
    if said:
        st.warning(f"The newest hunt {said}. {use} {AGAIN}", icon=":material/update:")


def _kept(case: Any) -> list[Any]:
    from clipforensics.jobs.hunting.hunts import kept_hunts

    return kept_hunts(case)


def _chosen(case: Any, one: Any, newest: bool) -> Chosen:
    from clipforensics.jobs.hunting.hunts import outdated

    asked = one.made["key"].get("hunt")
    settings = asked if isinstance(asked, dict) else {}
    return Chosen(
        one.folder, state.plain(state.moment(one.asked)), newest, outdated(case, one), settings
    )


def _forget_when_hunted_again(case: Any, newest: Any) -> None:
    """A hunt that finished since the page was drawn last is looked at first."""
    key, now = f"hunt.newest.{case.dir.name}", f"{newest.folder.name} {newest.asked}"
    if st.session_state.get(key, now) != now:
        st.query_params.pop(ASKED, None)
    st.session_state[key] = now


def _look_at(name: str, newest: str) -> None:
    if name == newest:
        st.query_params.pop(ASKED, None)
    else:
        st.query_params[ASKED] = name


def _called(one: Chosen) -> str:
    """A hunt by what its record says; the record is not checked before it is chosen."""
    parts = [one.moment, f"{str(one.settings.get('top', '?'))[:12]} pairs"]
    parts.append(f"ranked by {one.ranking}")
    parts += ["fast mode"] * (one.settings.get("fast") is True)
    parts += ["newest"] * one.newest
    return " · ".join(parts + ["outdated"] * (one.outdated is not None))
