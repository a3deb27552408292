"""The Triggers page: one picture under the oracle, the hunt, and what it found."""

import pytest

from clipforensics.oracle.regions import grid_regions
from clipforensics.oracle.segmenter import SmallSamSegmenter


def test_a_hunt_starts_as_a_run_with_the_chosen_number(home, launched, visit):
    at = visit("triggers", case="tiny")
    at.number_input(key="hunt.top").set_value(40).run()
    at.button(key="hunt.start").click().run()
    assert not at.exception
    assert launched[0].kind == "triggers"
    assert launched[0].config == {"top": 40, "fast": False}


def test_found_triggers_show_their_figures_and_can_be_picked(case, bank, launched, visit):
    from clipforensics.jobs.curating import trigger_subject

    at = visit("triggers", case="tiny")
    said = " ".join(one.value for one in at.markdown)
    assert "Flip rate **95.0%** (95 % 91.0% to 97.0%, n = 200)" in said
    assert "trusted model: 1.0%" in said
    subject = trigger_subject(bank[0])
    at.button(key=f"hunt.pick.trigger.{subject}").click().run()
    at.button(key="hunt.pick.label.banana").click().run()
    assert not at.exception
    assert case.store.current("trigger")[subject].verdict == "suspicious"
    assert case.store.current("label")["banana"].verdict == "suspicious"


def test_one_picture_shows_masks_lists_and_regions(case, visit, monkeypatch):
    def segment(self, picture):
        return grid_regions(*picture.shape[:2])[:30]

    monkeypatch.setattr(SmallSamSegmenter, "segment", segment)
    at = visit("triggers", case="tiny", pair=case.pairs.ids[0])
    assert any("of them betray a trigger" in one.value for one in at.text)
    tables = [list(frame.value.columns) for frame in at.dataframe]
    assert ["Label", "Suspect, whole", "Trusted, best region"] == tables[0][:3]
    assert ["Region", "Area", "Trusted finds"] == tables[1][:3]
    assert any("reason to look, not a finding" in one.value for one in at.text)


def test_an_unknown_picture_says_so(home, visit):
    at = visit("triggers", case="tiny", pair="<b>nobody</b>")
    assert "No pair has the id" in at.error[0].value
    assert "<b>" not in at.error[0].value.replace("\\<", "")


@pytest.mark.parametrize("lack", ["trusted_model", "segmenter"])
def test_a_case_without_oracle_says_what_is_missing(home, visit, lack, monkeypatch):
    import json

    path = home / "tiny" / "case.json"
    content = json.loads(path.read_text())
    gone = ("trusted_model", "trusted_weights") if lack == "trusted_model" else ("segmenter", "segmenter_weights")  # fmt: skip
    for name in gone:
        content["settings"][name] = None
    path.write_text(json.dumps(content))
    at = visit("triggers", case="tiny")
    word = lack.replace("_", " ").removesuffix(" model")
    assert any(f"no {word}" in one.value for one in at.markdown)
