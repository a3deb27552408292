"""What reviewers took out of a case's curated sets: read from the decision log, and written to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from clipforensics.cases.store import CURATED, LEFT_OUT
from clipforensics.errors import CaseError, ForensicsError
from clipforensics.ui import scanned, shell, state

KIND = dict(zip(("pairs", "labels"), CURATED, strict=True))
"""How the decision log calls what is left out."""


def left_out(case: Any) -> dict[str, list[str]]:
    """What reviewers took out of this case's curated sets: fields of the recipe's settings.

    It lies in the decision log, so that a reload, a second tab and another server find it again.
    """
    pairs, labels = kept(case, "pairs"), kept(case, "labels")
    return {
        name: chosen
        for name, chosen in (("left_out_pairs", pairs), ("left_out_labels", labels))
        if chosen
    }


def strangers(case: Any) -> None:
    """Say what the log leaves out that this case does not have, and let it be put back."""
    strange = {
        what: [name for name in _logged(case, what) if not _known(case, what, name)]
        for what in KIND
    }
    names = [name for some in strange.values() for name in some]
    if not names:
        return
    shell.complain(CaseError(
        f"{len(names):,} left-out pairs or labels in the decision log are not in this case "
        f"(first: {names[0][:60]!r}); they are ignored. Was review.sqlite copied from another?"
    ))  # fmt: skip
    if st.button("Put them back", key="repair.strangers", icon=":material/undo:"):
        for what, some in strange.items():
            if some:
                put_back(case, what, *some)
        st.rerun()


def kept(case: Any, what: str) -> list[str]:
    """What is left out, in the order it was; names that the case does not have are ignored."""
    return [name for name in _logged(case, what) if _known(case, what, name)]


def leave(case: Any, what: str, name: str | None) -> None:
    """Leave it out from now on; nothing where nothing was chosen, or where it is left out already."""
    if name is None or name in _logged(case, what):
        return
    with _told():
        case.store.decide_many(KIND[what], [name], LEFT_OUT, state.reviewer())


def put_back(case: Any, what: str, *names: str) -> None:
    """Let these be chosen again."""
    with _told():
        case.store.withdraw(KIND[what], names, state.reviewer())


@contextmanager
def _told() -> Iterator[None]:
    """A callback cannot write on the page: what goes wrong in one is a toast."""
    try:
        yield
    except ForensicsError as problem:
        st.toast(state.plain(str(problem)), icon=":material/error:")


def _logged(case: Any, what: str) -> list[str]:
    return list(case.store.current(KIND[what]))


def _known(case: Any, what: str, name: str) -> bool:
    if what == "labels":
        return name in case.labels.names
    return scanned.row_of(case, name) is not None
