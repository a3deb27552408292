"""The frame around every page: what a complaint ends, and what it leaves."""

import pytest
from streamlit.testing.v1 import AppTest


def page_with_a_complaint(way: str) -> None:
    import streamlit as st

    from clipforensics.errors import CaseError
    from clipforensics.ui import shell

    with getattr(shell, way)():
        st.text("before")
        raise CaseError("No *case*.")
    st.text("after")


@pytest.mark.parametrize(
    ("way", "drawn"), [("part", ["before", "after"]), ("complaints", ["before"])]
)
def test_a_complaint_ends_its_page_or_only_its_part(way, drawn):
    at = AppTest.from_function(page_with_a_complaint, kwargs={"way": way}).run()
    assert not at.exception
    assert [one.value for one in at.error] == ["No \\*case\\*."]
    assert [one.value for one in at.text] == drawn
