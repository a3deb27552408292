"""What a visitor is looking at: the home folder, the active case, and who reviews.

The truth is the URL (`?case=`) and the disk; session state only remembers the last choice, because
Streamlit forgets it two minutes after a tab is gone.
"""

import json
import os
from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.cases.case import cases_in
from clipforensics.data.images import write_bytes
from clipforensics.errors import CaseError, ForensicsError

HOME_VARIABLE = "CLIPFORENSICS_HOME"
NOBODY = "reviewer"
OF_ONE_CASE = ("pair", "near", "sel", "at", "run", "hunt")
"""What an address names inside one case: a picture, a selection, a run, a hunt."""
KEPT_OF_ONE_CASE = ("review.at", "inspect.id")
_MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>#|~$"})


def home() -> Path:
    """The folder that holds the cases."""
    return Path(os.environ.get(HOME_VARIABLE, "cases")).resolve()


def case_names() -> list[str]:
    """Folder names of the cases in the home folder, newest first."""
    return [folder.name for folder in cases_in(home())]


def case_dir(name: str) -> Path:
    """Folder of a case. A name from a URL is looked up, never joined to a path.

    Raises:
        CaseError: no case of this name lies in the home folder.
    """
    if name not in case_names():
        raise CaseError(
            f"No case named {name!r} in {home()}. Choose one in the sidebar, or open a new one."
        )
    return home() / name


def active_name() -> str | None:
    """The case in the URL, else the one seen last, else the newest; None when there is no case."""
    names = case_names()
    asked = st.query_params.get("case") or st.session_state.get("state.case")
    chosen = asked if asked in names else (names[0] if names else None)
    if chosen and not st.query_params.get("case"):
        st.query_params["case"] = chosen
    st.session_state["state.case"] = chosen
    return chosen


def active_case() -> Any:
    """The active `Case`, opened once and kept until its configuration changes.

    Raises:
        CaseError: there is none, the URL names one that does not exist, or it cannot be opened.
    """
    from clipforensics.ui import cache

    asked = st.query_params.get("case")
    if asked and asked not in case_names():
        case_dir(asked)  # says which one is missing
    name = active_name()
    if name is None:
        raise CaseError("There is no case yet. Open the Case page: it builds the demo case.")
    return cache.case(home() / name)


def choose(name: str) -> None:
    """Make a case the active one, and forget what was open in the one before."""
    if name != st.query_params.get("case"):
        gone = [one for one in OF_ONE_CASE if one in st.query_params]
        # each new address is a step of the browser's Back: all of it at once, then only our own copy
        st.query_params.update({**dict.fromkeys(gone, ()), "case": name})
        for one in gone:
            del st.query_params[one]
        for key in KEPT_OF_ONE_CASE:
            st.session_state.pop(key, None)
        if "page" in st.session_state:  # the list's page is bound to the address: set, not dropped
            st.session_state["page"] = 1
    st.session_state["state.case"] = name


def case_picker(active: str | None) -> None:
    """The sidebar's choice of case."""
    names = case_names()
    if not names or active is None:
        st.caption("No case yet")
        return
    key = f"state.pick.{active}"  # a new case gets a new widget, so the URL always wins
    st.selectbox(
        "Active case", names, names.index(active), key=key,
        on_change=lambda: choose(st.session_state[key]),
    )  # fmt: skip


def reviewer() -> str:
    """Who acts: the login's address, else the name in the sidebar, else the case's."""
    if login_configured() and st.user.is_logged_in:
        return str(st.user.email)
    return st.session_state.get("state.reviewer") or _stored_reviewer() or NOBODY


def reviewer_field() -> None:
    """The sidebar's field for the reviewer's name; a case setting, not an authentication."""
    if login_configured():
        st.caption("Reviewer")
        st.text(reviewer())
        return
    if "state.reviewer" not in st.session_state:
        st.session_state["state.reviewer"] = reviewer()
    # the widget has its own key: a widget's state is dropped when a page does not draw it
    st.text_input(
        "Reviewer", st.session_state["state.reviewer"], max_chars=80, key="state.reviewer.field",
        on_change=_remember_reviewer, help="Stands beside every verdict. It is not a password.",
    )  # fmt: skip


def login_configured() -> bool:
    """Whether OpenID login is set up in Streamlit's secrets."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def plain(text: str) -> str:
    """Text from data or paths, with every Markdown sign and every bare link defused."""
    return text.translate(_MARKDOWN).replace("://", "\\://").replace("www.", "www\\.")


def moment(told: str) -> str:
    """A stored time, to the minute."""
    return f"{told[:16].replace('T', ' ')} UTC"


def _remember_reviewer() -> None:
    name = " ".join(st.session_state["state.reviewer.field"].split()) or NOBODY
    st.session_state["state.reviewer"] = name
    active = st.session_state.get("state.case")
    if active in case_names():
        write_bytes(home() / active / "reviewer.json", json.dumps({"name": name}).encode())


def _stored_reviewer() -> str | None:
    """The name kept in the case folder, else the one its settings began with."""
    active = st.session_state.get("state.case")
    if active not in case_names():
        return None
    from clipforensics.ui import cache

    try:
        name = json.loads((home() / active / "reviewer.json").read_text())["name"]
        return name[:80] if isinstance(name, str) else None
    except (OSError, ValueError, KeyError, TypeError):
        pass  # nobody has changed it yet
    try:
        return cache.case(home() / active).settings.reviewer
    except ForensicsError:
        return None  # the page itself says what is wrong with the case
