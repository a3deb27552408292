"""Links into a page: an option is named by its id as well as by its title."""

import pytest
from streamlit.testing.v1 import AppTest


@pytest.mark.parametrize("detector", ["lof", "LOF"])
def test_a_link_names_the_detector(home, visit, detector):
    assert visit("map", case="tiny", detector=detector).selectbox(key="detector").value == "lof"


@pytest.mark.parametrize("recipe", ["safeclip", "SafeCLIP"])
def test_a_link_names_the_recipe(home, visit, recipe):
    at = visit("repair", case="tiny", recipe=recipe)
    assert at.segmented_control(key="recipe").value == "safeclip"


def test_a_click_still_changes_what_a_link_named():
    at = AppTest.from_function(one_choice, default_timeout=30)
    at.query_params["recipe"] = "safeclip"
    at.run()
    assert at.segmented_control(key="recipe").value == "safeclip"
    at.segmented_control(key="recipe").set_value("eftclip").run()
    assert not at.exception
    assert at.segmented_control(key="recipe").value == "eftclip"


def one_choice():
    import streamlit as st

    from clipforensics.ui import forms

    titles = {"eftclip": "EftCLIP", "safeclip": "SafeCLIP"}
    forms.link_by_id("recipe", titles)
    st.segmented_control(
        "Recipe", list(titles), default="eftclip", key="recipe",
        format_func=lambda name: titles[name], bind="query-params",
    )  # fmt: skip


def test_a_link_names_the_attack(home, visit):
    assert visit("lab", attack="wanet").segmented_control(key="attack").value == "wanet"


@pytest.mark.parametrize("detector", ["nosuch", "", "<b>lof</b>"])
def test_an_unknown_option_is_ignored(home, visit, detector):
    plain = visit("map", case="tiny").selectbox(key="detector").value
    at = visit("map", case="tiny", detector=detector)
    assert at.selectbox(key="detector").value == plain
    assert not at.error
