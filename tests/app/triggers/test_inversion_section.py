"""Inversion on the Triggers page: its start, its result, and the words of a flag."""

import numpy as np
import pytest

from clipforensics.config.inversion import FAMILY_NAMES, InversionSettings
from clipforensics.jobs.hunting import inversions, inverting
from clipforensics.ui import evidencecharts, inverted

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
    row, other = found["rows"]
    row["checks"] = dict.fromkeys(row["checks"], True)
    row |= {"flagged": True, "status": "compared", "reached": True, "rank": 1}
    row |= {"anomaly_index": 6.1, "success": 0.95, "interval": (0.7, 0.99), "f_t": 0.01}
    for one in row["controls"]:
        one["reached"] = True
    other |= {"status": "label_not_reached", "reached": False, "flagged": False}
    other |= {"anomaly_index": None, "rank": None}
    for one in other["controls"]:
        one["reached"] = False
    flagged = {**found, "flagged": [{"label": "banana", "family": "mask"}], "untested": "warp"}
    monkeypatch.setattr(inversions, "read_inversion", lambda folder: flagged)
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
    assert said.count(" Met: ") == 5
    assert "anomaly index is 6.1" in said
    assert "(95 %: 70% to 99%). A flag needs at least 80%." in said
    assert any("Flagged: all five are met." in one.value for one in at.text)
    assert any("10 steps of 8 pictures · 8 control labels" in one.value for one in at.text)
    assert any(one.value == "Could not be tested here: warp." for one in at.text)
    assert any("no proof" in one.value for one in at.text)
    assert any(one.value == result["chance"]["sentence"] for one in at.text)
    table = at.dataframe[0].value
    assert table["Flagged"].tolist() == ["yes", "not tested"]
    assert table["Size"].tolist()[1] == "not reached"
    assert table["Controls"].tolist()[1] == "0 of 8 reached"
    assert table["Anomaly index"].tolist() == ["6.1", "not tested"]
    assert table["Held-out success"].tolist()[0] == "95% of 12 (70 to 99%)"
    assert table["Trusted model"].tolist()[0] == "1% of 12"
    assert len(at.get("image")) == 3
    at.button(key="invert.pick.label.banana").click().run()
    assert not at.exception
    held = case.store.current("label")["banana"]
    assert (held.verdict, held.reason) == ("suspicious", "inversion")
    assert at.button(key="invert.pick.label.banana").label == "banana · suspicious"


def test_nothing_flagged_is_never_called_clean(case, result, visit, monkeypatch):
    nothing = {**result, "flagged": [], "verdict": inverting.NONE_FOUND}
    monkeypatch.setattr(inversions, "read_inversion", lambda folder: nothing)
    at = visit("triggers", case="tiny")
    assert at.info[0].value.startswith("None found for these labels and families.")
    assert "no proof of innocence" in at.info[0].value


def test_what_was_not_reached_is_not_compared(case, result, visit):
    at = visit("triggers", case="tiny")
    at.selectbox(key="invert.look").set_value(1).run()
    said = " ".join(one.value for one in at.markdown)
    assert "This family could not be tested here. No step of the search made 95%" in said
    assert "0 of 8 control labels were reached" in said
    assert "Met: " not in said
    row = result["rows"][1]
    row |= {"status": "controls_not_reached", "reached": True}
    said = " ".join(one.value for one in at.run().markdown)
    assert "but only 0 of 8 control labels were reached" in said


@pytest.mark.parametrize(
    ("changes", "name", "sentence"),
    [
        ({"rank": 7}, "rank", "6 of 8 control labels need as small a change (rank 7 of 9)."),
        ({"success": 0.0}, "held_out", "0% of 12 held-out pictures become the label"),
        ({"f_t": 0.45}, "trusted", "says the label on 45% of the same pictures. A flag allows"),
    ],
)
def test_a_failed_condition_is_a_true_sentence(
    case, result, launched, visit, changes, name, sentence
):
    row = result["rows"][0]
    row |= changes | {"flagged": False}
    row["checks"][name] = False
    at = visit("triggers", case="tiny")
    (said,) = (one.value for one in at.markdown if "Not met: " in one.value)
    assert sentence in said
    assert any("Not flagged: a flag needs all five." in one.value for one in at.text)


def test_an_earlier_result_can_be_chosen(case, visit, monkeypatch):
    from clipforensics.oracle.pasting import CleanSet

    monkeypatch.setattr(
        CleanSet, "without", lambda self, label, index: [label not in names for names in self.named]
    )
    inverting.invert_case(case, BRIEF)
    assert not [one for one in visit("triggers", case="tiny").selectbox if one.label == "Result"]
    inverting.invert_case(case, BRIEF.model_copy(update={"families": ("warp",)}))
    at = visit("triggers", case="tiny")
    assert at.dataframe[0].value["Family"].tolist() == ["warp"]
    (choice,) = (one for one in at.selectbox if one.label == "Result")
    assert ["banana · mask, warp" in one for one in choice.options] == [False, True]
    choice.set_value(1).run()
    assert at.dataframe[0].value["Family"].tolist() == ["mask", "warp"]
    record = next((case.dir / "evidence" / "inverted").glob("*/made.json"))
    record.chmod(0o644)
    record.write_text("{")
    at = visit("triggers", case="tiny")
    assert not at.exception
    assert any("1 earlier result left out: the record is damaged" in one.value for one in at.text)
    assert len(at.dataframe) == 1


def test_the_time_of_earlier_searches_is_told(case, result, launched, visit):
    at = visit("triggers", case="tiny")
    at.multiselect(key="invert.labels").set_value(["banana"]).run()
    (told,) = (one.value for one in at.text if "searches at most" in one.value)
    assert told.startswith("36 searches at most, about ")
    assert "at the pace of earlier ones of this case" in told


def test_without_earlier_searches_the_work_is_told(home, visit):
    at = visit("triggers", case="tiny")
    at.multiselect(key="invert.labels").set_value(["banana"]).run()
    (told,) = (one.value for one in at.text if "searches at most" in one.value)
    assert "each 200 steps of 64 pictures through the suspect and back" in told


def test_marks_of_what_was_not_reached_are_hollow():
    controls = [("dog", 2.0, True), ("cat", 3.0, False)]
    drawn = evidencecharts.size_strip(("sea", 1.0, True), controls, "px").to_dict()["encoding"]
    kinds = drawn["fill"]["scale"]["domain"]
    assert kinds == ["suspected", "control", "control, largest tried in vain"]
    assert [one == "transparent" for one in drawn["fill"]["scale"]["range"]] == [False, False, True]
    assert drawn["stroke"]["scale"]["range"][1] == drawn["stroke"]["scale"]["range"][2]
    vain = evidencecharts.size_strip(("sea", 1.0, False), [], "px").to_dict()["encoding"]
    assert vain["fill"]["scale"]["range"] == ["transparent"]


def test_pictures_side_by_side_have_nothing_between_them():
    row = inverted._side_by_side([np.full((2, 3, 3), 7, np.uint8)] * 2)
    assert row.shape == (2, 8, 4)
    assert row[0, :, 3].tolist() == [255] * 3 + [0] * 2 + [255] * 3


@pytest.mark.parametrize("flags", [True, False])
def test_a_result_of_an_older_version_is_shown_without_chances(
    case, result, visit, monkeypatch, flags
):
    older = {name: value for name, value in result.items() if name != "chance"}
    older |= {} if flags else {"flagged": [], "verdict": inverting.NONE_FOUND}
    monkeypatch.setattr(inversions, "read_inversion", lambda folder: older)
    at = visit("triggers", case="tiny")
    assert not at.exception
    assert len(at.dataframe[0].value) == 2
    assert not any("of such runs" in one.value for one in at.text)
