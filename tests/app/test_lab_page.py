"""The Attack lab: preview, start, open as a case."""

import json

import pytest

from clipforensics.config.attack import ATTACKS
from clipforensics.data.demo_world import labels
from clipforensics.jobs.runs.run_folder import Status


def test_the_preview_says_how_many_are_poisoned(home, visit):
    at = visit("lab", case="tiny")
    assert any("60 of 20,000 pairs" in one.value for one in at.markdown)


def test_every_attack_is_shown_without_complaint(home, visit):
    at = visit("lab")
    for attack in ATTACKS:
        at.segmented_control(key="attack").set_value(attack).run()
        assert not at.exception, attack
        assert not at.error, attack


@pytest.mark.parametrize("attack", ["badnets", "blend", "tdpa"])
def test_start_poisons_with_what_is_shown(home, launched, visit, attack):
    at = visit("lab")
    at.segmented_control(key="attack").set_value(attack).run()
    if attack == "tdpa":  # labels are drawn, unless the target is asked for
        assert not [one for one in at.selectbox if one.label == "Target label"]
        assert any(one.value == "tdpa-0" for one in at.text_input)
        at.selectbox(key="lab.tdpa.wrong_label").set_value("target").run()
    at.selectbox(key="lab.target").set_value("dog").run()
    at.number_input(key="lab.rate").set_value(1.0).run()
    at.button(key="lab.start").click().run()
    assert not at.exception
    poison = launched[0].config["poison"]
    assert poison["attack"]["kind"] == attack
    assert (poison["target"], poison["rate"]) == ("dog", 0.01)
    assert launched[0].case_dir == home / ".lab"


@pytest.mark.parametrize(("attack", "shown"), [("sig", 24), ("mt_m", 24), ("tdpa", 8)])
def test_before_after_and_difference_are_shown(home, visit, attack, shown):
    at = visit("lab")
    at.segmented_control(key="attack").set_value(attack).run()
    assert len(at.get("image")) == shown
    arrows = [one.value for one in at.caption if "→" in one.value]
    assert len(arrows) == 8
    for one in arrows:
        before, after = one.rsplit(": ")[-1].split(" → ")
        assert before != after
        if attack == "sig":  # the caption before and after: only the new one names the target
            assert labels().named_in(after) == ["banana"]
            assert "banana" not in labels().named_in(before)


def test_each_of_several_triggers_is_shown_with_a_gain_of_its_own(home, visit):
    at = visit("lab")
    at.segmented_control(key="attack").set_value("mt_m").run()
    (said,) = [one.value for one in at.caption if "changes times" in one.value]
    gains = said.partition("changes times ")[2].partition(".")[0].split(", ")
    assert len(gains) == 3
    assert int(gains[0]) < int(gains[1]) < int(gains[2])  # a patch, a filter, a warp
    for title in ("BadNets patch: ", "Nashville filter: ", "WaNet jitter: "):
        assert sum(one.value.startswith(title) for one in at.caption) in (2, 3)


def test_clean_label_is_shown_on_pairs_that_name_the_target(home, visit):
    at = visit("lab")
    at.segmented_control(key="attack").set_value("clean_label").run()
    assert len(at.get("image")) == 24
    shown = [one.value for one in at.caption if "banana" in labels().named_in(one.value)]
    assert len(shown) == 8
    assert any("Their captions stay." in one.value for one in at.caption)


def test_a_stopped_run_can_be_resumed(home, launched, visit):
    def stopped(run):
        (run.dir / "checkpoints" / "step-000000.safetensors").write_bytes(b"weights")
        result = {"asr": 0.0, "n": 390, "working_attack": False, "stopped": True}
        (run.dir / "result.json").write_text(json.dumps(result))
        run.write_status(Status("cancelled", step=0, total=90))

    launched.do = stopped
    at = visit("lab")
    at.button(key="lab.start").click().run()
    assert not at.exception
    assert any(one.label == "Resume" for one in at.button)
    assert any("goes on from its last checkpoint, step 0." in one.value for one in at.text)
    assert not at.warning  # half trained, so nothing is said of the attack


def test_each_trigger_of_three_has_its_own_form_and_target(home, launched, visit):
    at = visit("lab")
    at.segmented_control(key="attack").set_value("mt_m").run()
    at.selectbox(key="lab.target.1").set_value("owl").run()
    at.number_input(key="lab.mt_m.badnets.patch_px").set_value(9).run()
    at.button(key="lab.start").click().run()
    poison = launched[0].config["poison"]
    assert poison["more_targets"][0] == "owl"
    assert poison["attack"]["triggers"][0]["patch_px"] == 9
    assert at.markdown


def test_the_same_target_twice_is_one_sentence(home, visit):
    at = visit("lab")
    at.segmented_control(key="attack").set_value("mt_m").run()
    at.selectbox(key="lab.target.1").set_value(at.selectbox(key="lab.target").value).run()
    assert not at.exception
    assert "3 different target labels" in at.error[0].value


def test_targeted_poisoning_is_never_called_asr(home, launched, visit):
    def done(run):
        result = {"psr": 0.5, "n": 16, "working_attack": False, "ca": 0.99}
        (run.dir / "result.json").write_text(json.dumps(result))
        run.write_status(Status("succeeded", step=10, total=10, started=1.0, finished=9.0))

    launched.do = done
    at = visit("lab", attack="Targeted pictures")
    at.button(key="lab.start").click().run()
    assert not at.exception
    assert any("PSR is 50.0% on 16 target pictures" in one.value for one in at.warning)


def test_a_patch_larger_than_the_picture_is_one_sentence(home, visit):
    at = visit("lab")
    at.number_input(key="lab.badnets.patch_px").set_value(200).run()
    assert not at.exception
    assert at.error


def test_a_finished_experiment_opens_as_a_case(home, launched, visit):
    def done(run):
        result = {
            "asr": 0.97, "n": 1950, "working_attack": True, "ca": 0.99,
            "case_dir": str(home / "tiny"),
        }  # fmt: skip
        (run.dir / "result.json").write_text(json.dumps(result))
        run.write_status(Status("succeeded", step=10, total=10, started=1.0, finished=9.0))

    launched.do = done
    at = visit("lab")
    at.button(key="lab.start").click().run()
    button = next(one for one in at.button if one.label == "Open as a case")
    button.click().run()
    assert not at.exception
    assert at.title[0].value == "Case"


@pytest.mark.parametrize(
    ("box", "value", "said"),
    [
        ("rate", 150.0, "at most 50%"),
        ("rate", 50.1, "at most 50%"),
        ("rate", 0.0, "poison.rate=0"),
        ("seed", -1, "poison.seed=-1"),
        ("epochs", 0, "training.epochs=0"),
    ],
)
def test_a_number_out_of_range_is_refused_and_nothing_can_start(home, visit, box, value, said):
    at = visit("lab")
    at.number_input(key=f"lab.{box}").set_value(value).run()
    assert not at.exception
    assert any(said in one.value for one in at.error)
    assert "lab.start" not in [one.key for one in at.button]
