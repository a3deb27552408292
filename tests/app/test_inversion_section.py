"""Inversion on the Triggers page: its start, its result, and the words of a flag."""

import pytest

from clipforensics.config.inversion import FAMILY_NAMES, InversionSettings
from clipforensics.jobs.hunting import inverting

BRIEF = InversionSettings(
    labels=("banana",), families=("mask", "warp"), steps=10, batch=8, pictures=24, held_out=12
)


@pytest.fixture
def result(case, monkeypatch):
    """A real inversion of ten steps, by a suspect that has learned nothing; one row made to pass."""
    from clipforensics.oracle.pasting import CleanSet

    # random weights answer one label for every picture: judge the pictures by their captions alone
    monkeypatch.setattr(
        CleanSet, "without", lambda self, label, index: [label not in names for names in self.named]
    )
    found = inverting.invert_case(case, BRIEF)
    row = found["rows"][0]
    row["checks"] = dict.fromkeys(row["checks"], True)
    row |= {"flagged": True, "anomaly_index": 6.1, "success": 0.95, "f_t": 0.01}
    flagged = {**found, "flagged": [{"label": "banana", "family": "mask"}]}
    monkeypatch.setattr(inverting, "latest_inversion", lambda case: flagged)
    return flagged


def test_an_inversion_starts_as_a_run_with_what_was_chosen(home, launched, visit):
    at = visit("triggers", case="tiny")
    assert "Choose at least one label" in " ".join(one.value for one in at.text)
    at.multiselect(key="invert.labels").set_value(["banana", "dog"]).run()
    at.multiselect(key="invert.families").set_value(["blend"]).run()
    at.toggle(key="invert.quick").set_value(True).run()
    at.button(key="invert.start").click().run()
    assert not at.exception
    assert launched[0].kind == "invert"
    config = launched[0].config
    assert config["labels"] == ["banana", "dog"]
    assert config["families"] == ["blend"]
    assert config["steps"] == 100
    assert config["controls"] == 8


def test_before_the_first_inversion_the_page_says_so(home, visit):
    at = visit("triggers", case="tiny")
    assert any("No inversion has finished yet" in one.value for one in at.markdown)
    assert list(at.multiselect(key="invert.families").value) == list(FAMILY_NAMES)


def test_a_flag_is_shown_with_every_condition(case, result, launched, visit):
    at = visit("triggers", case="tiny")
    said = " ".join(one.value for one in at.markdown)
    assert "Oddly small trigger for" in said
    assert said.count("Yes: ") == 5
    assert "anomaly index 6.1, above 3" in said
    assert any("Flagged: all five hold." in one.value for one in at.text)
    assert any("no proof" in one.value for one in at.text)
    assert any("2 comparisons with control labels" in one.value for one in at.text)
    table = at.dataframe[0].value
    assert table["Flagged"].tolist() == ["yes", "no"]
    assert len(at.get("image")) == 3
    at.button(key="invert.pick.label.banana").click().run()
    assert not at.exception
    held = case.store.current("label")["banana"]
    assert (held.verdict, held.reason) == ("suspicious", "inversion")
    assert at.button(key="invert.pick.label.banana").label == "banana · suspicious"


def test_nothing_flagged_is_never_called_clean(case, result, visit, monkeypatch):
    nothing = {**result, "flagged": [], "verdict": inverting.NONE_FOUND}
    monkeypatch.setattr(inverting, "latest_inversion", lambda case: nothing)
    at = visit("triggers", case="tiny")
    assert at.info[0].value.startswith("None found for these labels and families.")
    assert "no proof of innocence" in at.info[0].value
    assert any("about 5.1 % of such runs" in one.value for one in at.text)


@pytest.mark.parametrize("flags", [True, False])
def test_a_result_of_an_older_version_is_shown_without_chances(
    case, result, visit, monkeypatch, flags
):
    older = {name: value for name, value in result.items() if name != "chance"}
    older |= {} if flags else {"flagged": [], "verdict": inverting.NONE_FOUND}
    monkeypatch.setattr(inverting, "latest_inversion", lambda case: older)
    at = visit("triggers", case="tiny")
    assert not at.exception
    assert len(at.dataframe[0].value) == 2
    assert not any("of such runs" in one.value for one in at.text)
