"""What a hunt names can be looked at, picked, taken back; a stopped hunt goes on as it was asked."""

import re
from dataclasses import replace

import pytest

from clipforensics.jobs.runs.run_folder import Status

STOPPED = "Stopped after 7 of 40 pictures; they are kept."


def ended(state, message):
    return lambda run: run.write_status(Status(state, message=message, started=1.0, finished=9.0))


def keys(at, kind="button"):
    return [one.key for one in getattr(at, kind) if one.key]


def test_a_stopped_hunt_says_what_is_kept_and_resumes_as_it_was_asked(case, launched, visit):
    launched.do = ended("cancelled", STOPPED)
    at = visit("triggers", case="tiny")
    at.number_input(key="hunt.top").set_value(40).run()
    at.toggle(key="hunt.fast").set_value(True).run()
    at.button(key="hunt.start").click().run()
    again = visit("triggers", case="tiny")
    assert STOPPED in [one.value for one in again.text]
    assert not again.error
    # the form shows what the newest run was asked, and the run ignores what is changed in it
    assert (again.number_input(key="hunt.top").value, again.toggle(key="hunt.fast").value) == (40, True)  # fmt: skip
    again.number_input(key="hunt.top").set_value(3).run()
    launched.do = None
    again.button(key=f"resume.{launched[0].id}").click().run()
    first, second = launched
    assert (first.id, second.config) == (second.id, {"top": 40, "fast": True})
    assert second.status().state == "queued"
    again = visit("triggers", case="tiny")
    assert f"resume.{first.id}" not in keys(again)
    assert "inspected pictures are kept" in again.button(key=f"stop.{first.id}").help


def test_a_stopped_inversion_resumes_too(case, launched, visit):
    launched.do = ended("cancelled", "Stopped after 2 of 18 inversions; they are kept.")
    at = visit("triggers", case="tiny")
    at.multiselect(key="invert.labels").set_value(["banana"]).run()
    at.button(key="invert.start").click().run()
    at = visit("triggers", case="tiny")
    assert any(one.value.startswith("Stopped after 2 of 18") for one in at.text)
    launched.do = None
    at.button(key=f"resume.{launched[0].id}").click().run()
    assert launched[1].config["labels"] == ["banana"]
    at = visit("triggers", case="tiny")
    assert "finished searches are kept" in at.button(key=f"stop.{launched[0].id}").help


@pytest.mark.parametrize("top", [0, "many", 10**9])
def test_a_hand_made_run_leaves_the_form_usable(case, launched, visit, top):
    from clipforensics.jobs.runs import launcher

    launched.do = ended("failed", "no")
    launcher.start(case.dir, "triggers", {"top": top})
    at = visit("triggers", case="tiny")
    assert at.number_input(key="hunt.top").value == 200


@pytest.fixture
def victims(case, bank, monkeypatch):
    """A hunt with eleven victims, one of them found by its effect alone."""
    from clipforensics.jobs.hunting import hunts

    hunt = hunts.read_hunt(case.dir)
    names = list(case.pairs.ids[:11])
    reasons = [("match",)] * 10 + [("effect",)]
    told = [
        {"pair": name, "label": "banana", "kind": "victim", "reasons": why, "match": 0.934}
        for name, why in zip(names, reasons, strict=True)
    ]
    seen = hunt | {"victims": names, "suspicions": told, "probable": []}
    monkeypatch.setattr(hunts, "read_hunt", lambda folder: seen)
    return names


def opened(visit):
    at = visit("triggers", case="tiny")
    at.session_state["hunt.victims.look"] = True
    return at.run()


def test_victims_are_looked_at_before_they_are_picked(case, victims, visit):
    at = visit("triggers", case="tiny")
    assert "Look at the 11 pairs" in [one.label for one in at.expander]
    assert not [key for key in keys(at) if key.startswith("hunt.victims.inspect.")]
    at = opened(visit)
    shown = [key for key in keys(at) if key.startswith("hunt.victims.inspect.")]
    assert shown == [f"hunt.victims.inspect.{name}" for name in victims[:8]]
    said = [re.sub(r"\\", "", one.value) for one in at.caption]
    assert said.count("**banana**: the trigger's pattern, correlation 0.93") == 8
    assert case.pairs.captions[0][:80] in [one.value for one in at.text]
    at.button(key="hunt.victims.more").click().run()
    assert len([key for key in keys(at) if key.startswith("hunt.victims.inspect.")]) == 11
    assert "hunt.victims.more" not in keys(at)
    said = [re.sub(r"\\", "", one.value) for one in at.caption]
    assert said.count("**banana**: a region with the trigger's effect") == 1


def test_inspect_opens_the_picture(case, victims, visit, monkeypatch):
    from clipforensics.ui import inspecting

    monkeypatch.setattr(inspecting, "show", lambda *_: None)
    at = opened(visit)
    at.button(key=f"hunt.victims.inspect.{victims[3]}").click().run()
    assert at.query_params["pair"] == victims[3]
    assert at.segmented_control(key="triggers.view").value == "One picture"


def test_a_bulk_pick_stays_in_sight_and_is_undone_as_one(case, victims, visit):
    case.store.decide("sample", victims[0], "suspicious", "reviewer", "one picture")
    at = visit("triggers", case="tiny")
    at.button(key="hunt.victims").click().run()
    at.button(key="hunt.victims.yes").click().run()
    assert any("**11 picked**" in one.value for one in at.markdown)
    assert "hunt.victims" not in keys(at)
    again = visit("triggers", case="tiny")  # the log, not the visit, remembers
    undo = again.button(key="hunt.victims.undo")
    assert "the 10 that were picked together" in undo.help
    undo.click().run()
    assert not again.exception
    # what was picked otherwise stays
    held = case.store.current("sample")
    assert [name for name in victims if name in held and held[name].verdict] == victims[:1]
    assert any("**1 picked**" in one.value for one in again.markdown)
    assert again.button(key="hunt.victims").label == "Pick all 10"
    assert "hunt.victims.undo" not in keys(again)
    assert not any("otherwise" in one.value for one in again.text)
    case.store.decide("sample", victims[1], "benign", "reviewer", "one picture")
    last = visit("triggers", case="tiny")
    assert last.button(key="hunt.victims").label == "Pick all 9"
    assert "1 judged otherwise" in [one.value for one in last.text]


def test_a_pick_can_be_taken_back_where_it_was_made(case, bank, visit):
    from clipforensics.jobs.repairing.curating import trigger_subject

    subject = trigger_subject(replace(bank[0]))
    at = visit("triggers", case="tiny")
    for kind, name in (("trigger", subject), ("label", "banana")):
        pick, back = f"hunt.pick.{kind}.{name}", f"hunt.withdraw.{kind}.{name}"
        assert back not in keys(at)
        at.button(key=pick).click().run()
        assert at.button(key=pick).disabled
        at.button(key=back).click().run()
        assert not at.exception
        held = case.store.current(kind).get(name)
        assert held is None or held.verdict is None
        assert not at.button(key=pick).disabled


def test_choosing_from_the_list_forgets_the_typed_id(case, visit, monkeypatch):
    from clipforensics.ui import inspecting

    monkeypatch.setattr(inspecting, "show", lambda *_: None)
    first, typed = case.pairs.ids[0], case.pairs.ids[5]
    at = visit("triggers", case="tiny", pair=first)
    at.text_input(key="inspect.id").set_value(typed).run()
    assert (at.query_params["pair"], at.text_input(key="inspect.id").value) == (typed, typed)
    box = next(one for one in at.selectbox if one.label == "Picture")
    other = next(one for one in case.pairs.ids if one not in (first, typed))
    box.set_value(other).run()
    assert not at.exception
    assert (at.query_params["pair"], at.text_input(key="inspect.id").value) == (other, "")


@pytest.mark.parametrize(
    ("box", "start"), [("hunt.top", "hunt.start"), ("invert.controls", "invert.start")]
)
def test_a_number_out_of_range_is_refused_and_start_is_grey(case, launched, visit, box, start):
    at = visit("triggers", case="tiny")
    if box == "invert.controls":
        at.multiselect(key="invert.labels").set_value([case.labels.names[0]]).run()
    assert not at.button(key=start).disabled
    at.number_input(key=box).set_value(-3).run()
    assert not at.exception
    assert any(f"{box.split('.')[1]}=-3" in one.value for one in at.error)
    assert at.button(key=start).disabled
