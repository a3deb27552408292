"""The frame around every page: how it begins, its menu, and how a complaint is shown."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.ui import state

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ("case", "Case", ":material/folder_open:"),
    ("map", "Map", ":material/scatter_plot:"),
    ("triggers", "Triggers", ":material/center_focus_strong:"),
    ("review", "Review", ":material/fact_check:"),
    ("repair", "Repair", ":material/healing:"),
    ("lab", "Lab", ":material/science:"),
)
"""File stem, name in the menu, icon. The file stem is also the address, so a link stays a link."""


LOGO = ROOT / "assets" / "logo.svg"
SIDEBAR_PX = 232
ROOM = "<style>[data-testid=stMainBlockContainer]{padding:2.6rem 2.4rem 4rem}</style>"
"""Less margin than Streamlit leaves, so that a page fits 1280 x 720; colours stay in the theme."""

TOP = "<script>document.querySelector('[data-testid=stMain]')?.scrollTo(0, 0)</script>"


def page_list() -> list:
    """The pages in menu order; the first is the front page.

    Without icons: the browser would fetch a page's icon, as its tab's, from the icon's maker.
    """
    return [st.Page(_file(stem), title=title, default=stem == "case") for stem, title, _ in PAGES]


def open_page(title: str, lead: str = "") -> None:
    """Begin a page the same way, however it was reached.

    A folder named `pages` keeps Streamlit's old discovery alive until `st.navigation` has run once
    in the server process: a first visit to /map then runs that page without app.py. Entering
    through the page list once, and drawing again, cures it for this visitor and all later ones.
    """
    if not st.session_state.pop("shell.entered", False):  # app.py did not run first
        st.navigation(page_list(), position="hidden")  # turns the old discovery off
        if not st.session_state.get("shell.reentered"):  # once per visitor, never a loop
            st.session_state["shell.reentered"] = True
            st.rerun()
    st.set_page_config(
        page_title=f"{title} · ClipForensics",
        page_icon=str(LOGO),
        layout="wide",
        initial_sidebar_state=SIDEBAR_PX,
    )
    st.html(ROOM)
    _require_viewer()
    draw_sidebar()
    st.title(title, anchor=False)
    if lead:
        st.markdown(lead)


@contextmanager
def complaints(ends_page: bool = True) -> Iterator[None]:
    """Show a complaint the user can mend as one sentence.

    Args:
        ends_page: end the page there; else what stands after the block is still drawn.
    """
    try:
        yield
    except ForensicsError as problem:
        complain(problem)
        if ends_page:
            st.stop()


def part() -> AbstractContextManager[None]:
    """`complaints` for one part of a page: the parts after it are still drawn."""
    return complaints(ends_page=False)


def complain(problem: ForensicsError) -> None:
    """Show one complaint. Its text may quote hostile data, so it is no Markdown."""
    st.error(state.plain(str(problem)), icon=":material/error:")


def draw_sidebar() -> None:
    """Logo, menu, active case, reviewer."""
    st.logo(str(LOGO), size="large")
    active = state.active_name()
    query = {"case": active} if active else None
    with st.sidebar:
        for stem, title, icon in PAGES:
            st.page_link(_file(stem), label=title, icon=icon, query_params=query)
        st.space("small")
        state.case_picker(active)
        state.reviewer_field()


def start_at_top() -> None:
    """Scroll the page up, once: a page keeps its place while its content is exchanged.

    Streamlit has no call for that. The script is this constant and nothing else, and stands at the end
    of the sidebar, where it runs before the page's content arrives and moves none of it.
    """
    with st.sidebar:
        st.html(TOP, unsafe_allow_javascript=True)


def go_to(stem: str, label: str, *, icon: str | None = None, **query: str) -> None:
    """A link to another page that keeps the active case."""
    active = state.active_name()
    if active:
        query = {"case": active, **query}
    st.page_link(_file(stem), label=label, icon=icon, query_params=query or None)


def empty(sentence: str, stem: str | None = None, label: str = "") -> None:
    """An empty state: what is missing here, and the one thing to do next."""
    with st.container(border=True):
        st.markdown(f"#### {sentence}")
        if stem:
            go_to(stem, label, icon=":material/arrow_forward:")


def _file(stem: str) -> str:
    return str(ROOT / "pages" / f"{stem}.py")


def _require_viewer() -> None:
    """Where login is configured (`[auth]` in secrets), nobody looks without it."""
    if state.login_configured() and not st.user.is_logged_in:
        st.title("ClipForensics", anchor=False)
        st.button("Log in", type="primary", on_click=st.login)
        st.stop()
