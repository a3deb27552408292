"""One picture under the oracle: which is shown, and how one gets there and back."""

import shutil
from urllib.parse import urlencode

from streamlit.runtime.state.query_params import QueryParams


def test_one_picture_shows_lists_regions_and_verdicts(case, visit, windows):
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    assert any("masks: 0 candidates" in one.value for one in at.text)
    assert any(one.value.startswith(f"{pair} · score ") for one in at.text)
    masks = next(one for one in at.segmented_control if one.key.startswith("inspect.masks"))
    assert (masks.options, masks.value) == (["All", "None"], "None")
    said = " ".join(one.value for one in at.markdown)
    for title in ("The suspect says", "The trusted model finds", "Said, not found"):
        assert title in said
    assert ["Region", "Mask share", "Trusted finds"] == list(at.dataframe[0].value.columns)[:3]
    assert any("reason to look, not a finding" in one.value for one in at.caption)
    at.button(key=f"inspect.benign.sample.{pair}").click().run()
    assert not at.exception
    held = case.store.current("sample")[pair]
    assert (held.verdict, held.reason) == ("benign", "one picture")


def test_the_picture_that_is_shown_is_the_one_that_is_named(case, visit, windows):
    at = visit("triggers", case="tiny")
    view = "triggers.view"
    at.segmented_control(key=view).set_value("One picture").run()
    name = at.query_params["pair"]
    box = next(one for one in at.selectbox if one.label == "Picture")
    assert box.value == name
    assert any(one.value.startswith(f"{name} · score ") for one in at.text)
    assert at.button(key=f"inspect.benign.sample.{name}")
    at.segmented_control(key=view).set_value("Hunt").run()  # the very next click counts
    assert at.segmented_control(key=view).value == "Hunt"
    assert not at.exception


def test_another_case_forgets_what_was_open_in_this_one(home, case, visit, windows):
    other = home / "other"
    shutil.copytree(home / "tiny", other)
    at = visit("triggers", case="tiny", pair=case.pairs.ids[0])
    at.session_state["review.at"] = case.pairs.ids[0]
    at.selectbox(key="state.pick.tiny").set_value("other").run()
    assert not at.exception
    assert at.query_params["case"] == "other"
    assert "pair" not in at.query_params
    assert "review.at" not in at.session_state
    assert at.segmented_control(key="triggers.view").value == "Hunt"


def test_another_case_is_one_step_of_the_browsers_back(home, visit, monkeypatch):
    """The browser makes a step of every address that differs from the one before."""
    shutil.copytree(home / "tiny", home / "other")
    at = visit("triggers", case="tiny", run="1", near="2", sel="3")
    told = []
    monkeypatch.setattr(
        QueryParams, "_send_query_param_msg",
        lambda self: told.append(urlencode(self._query_params, doseq=True)),
    )  # fmt: skip
    at.selectbox(key="state.pick.tiny").set_value("other").run()
    assert not at.exception
    assert set(told) == {"case=other"}


def test_a_picture_of_a_card_is_shown_from_the_top_of_the_page(case, bank, visit, windows):
    from clipforensics.jobs.repairing.curating import trigger_subject

    look = f"hunt.look.{trigger_subject(bank[0])}"
    at = visit("triggers", case="tiny")
    for _ in range(2):  # the second time the same picture is in the address already
        assert not scrolled_up(at)
        at.button(key=look).click().run()
        assert at.query_params["pair"] == bank[0].pair
        assert at.segmented_control(key="triggers.view").value == "One picture"
        assert scrolled_up(at)
        at.run()
        assert not scrolled_up(at)  # once: whoever reads on is left alone
        at.segmented_control(key="triggers.view").set_value("Hunt").run()
    assert not at.exception


def scrolled_up(at):
    return [one for one in at.sidebar.get("html") if "scrollTo(0, 0)" in one.proto.body]


def test_back_from_one_picture_leads_to_the_hunt(case, visit, windows):
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    view = "triggers.view"
    assert at.segmented_control(key=view).value == "One picture"
    del at.query_params["pair"]
    at.run()
    assert at.segmented_control(key=view).value == "Hunt"
    at.query_params["pair"] = pair  # forward again
    at.run()
    assert at.segmented_control(key=view).value == "One picture"
    at.segmented_control(key=view).set_value("Hunt").run()  # a click, with a picture named
    assert at.segmented_control(key=view).value == "Hunt"
    assert not at.exception


def test_an_unknown_picture_says_so(home, visit):
    at = visit("triggers", case="tiny", pair="<b>nobody</b>")
    assert "No pair has the id" in at.error[0].value
    assert "<b>" not in at.error[0].value.replace("\\<", "")
