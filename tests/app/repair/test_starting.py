"""What the Repair page asks before a start, and what it then starts."""

import pytest

from clipforensics.jobs.runs.run_folder import Status


def test_without_a_verified_trigger_eftclip_is_refused(home, launched, visit):
    at = visit("repair", case="tiny")
    assert at.error[0].value.startswith("EftCLIP needs at least one verified trigger")
    assert not any(one.key == "repair.start" for one in at.button)


def test_start_shows_and_runs_the_same_thing(case, bank, launched, visit):
    at = visit("repair", case="tiny")
    assert "--recipe eftclip --preset quick" in at.code[0].value
    at.button(key="repair.start").click().run()
    assert not at.exception
    assert launched[0].config["recipe"] == "eftclip"
    assert launched[0].case_dir == case.dir
    assert any(one.label == "Stop" for one in at.button)


def test_changed_settings_are_in_the_command(bank, launched, visit):
    at = visit("repair", case="tiny")
    at.number_input(key="repair.eftclip.quick.steps").set_value(50).run()
    assert "--set steps=50" in at.code[0].value
    at.button(key="repair.start").click().run()
    assert launched[0].config["changes"] == {"steps": 50}


def test_safeclip_needs_no_trigger_and_does_not_offer_the_suspect_as_a_start(home, launched, visit):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("safeclip").run()
    at.number_input(key="repair.safeclip.quick.batch").set_value(32).run()
    assert any(one.key == "repair.start" for one in at.button)
    assert at.selectbox(key="repair.safeclip.quick.start").options == ["random", "trusted"]


@pytest.mark.parametrize(("field", "value"), [("steps", 0), ("rate", 9.0), ("pairs", -5)])
def test_a_setting_out_of_range_is_a_sentence_and_starts_nothing(
    bank, launched, visit, field, value
):
    """The box must send it: one with limits keeps it to itself, and Start would take the value before."""
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("finetune").run()
    at.number_input(key=f"repair.finetune.quick.{field}").set_value(value).run()
    assert not at.exception
    assert at.error[0].value.startswith(f"{field}=")
    assert not any(one.key == "repair.start" for one in at.button)
    assert at.number_input(key=f"repair.finetune.quick.{field}").min in (None, -(2**53) + 1)


def test_more_clean_pairs_than_there_are_and_than_is_fair(case, bank, launched, visit):
    at = visit("repair", case="tiny")
    box = "repair.eftclip.quick.pairs"
    at.number_input(key=box).set_value(5_000_000).run()
    said = f"5,000,000 clean pairs are asked for, and the case has {len(case.pairs):,} pairs in all"
    assert said in at.error[0].value
    assert not any(one.key == "repair.start" for one in at.button)
    at.number_input(key=box).set_value(200).run()
    assert any("200 clean pairs are more than 2%" in one.value for one in at.warning)


def test_the_preset_stays_when_the_recipe_changes(bank, launched, visit):
    at = visit("repair", case="tiny")
    at.segmented_control(key="repair.preset").set_value("paper").run()
    at.segmented_control(key="recipe").set_value("safeclip").run()
    assert at.segmented_control(key="repair.preset").value == "paper"
    assert any(one.key == "repair.safeclip.paper.batch" for one in at.number_input)


def test_a_device_that_is_not_there_is_refused_before_a_run_is_made(case, bank):
    from clipforensics.config.repair import RepairSettings
    from clipforensics.errors import ConfigError
    from clipforensics.jobs.repairing.checking import check_may_start

    asked = RepairSettings(recipe="eftclip", device="cuda:99")
    with pytest.raises(ConfigError, match="needs CUDA device 99"):
        check_may_start(case, asked)


def test_two_starts_are_one_run(bank, launched, visit):
    for _ in range(2):
        at = visit("repair", case="tiny")
        button = at.button(key="repair.start")
        if not button.disabled:
            button.click().run()
    assert len(launched) == 1


@pytest.mark.parametrize("recipe", ["cleanclip", "roclip", "filter", "finetune"])
def test_every_rival_starts_from_the_page(home, launched, visit, recipe):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value(recipe).run()
    at.number_input(key=f"repair.{recipe}.quick.batch").set_value(32).run()
    assert not at.exception
    assert f"--recipe {recipe}" in at.code[0].value
    assert any("plain CLIP epochs" in one.value for one in at.text)
    at.button(key="repair.start").click().run()
    assert launched[0].config["recipe"] == recipe


def test_the_cost_is_timed_on_a_click(home, launched, visit, monkeypatch):
    from clipforensics.jobs.repairing import estimating

    monkeypatch.setattr(estimating, "time_plain_epoch", lambda case, device: 60.0)
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("safeclip").run()
    at.number_input(key="repair.safeclip.quick.batch").set_value(32).run()
    at.button(key="repair.time").click().run()
    assert any("min" in one.value and "here" in one.value for one in at.text)


def test_only_eftclip_is_said_to_heal_a_trigger(bank, launched, visit):
    at = visit("repair", case="tiny")
    assert any(one.value == "**Heals 1 verified trigger**" for one in at.markdown)
    at.segmented_control(key="recipe").set_value("cleanclip").run()
    assert not any("Heals" in one.value for one in at.markdown)
    assert any("which the recipe never sees" in one.value for one in at.markdown)


def test_progress_is_told_beside_start(bank, launched, visit, played):
    at = visit("repair", case="tiny")
    launched.do = lambda run: played.play(
        run, [], Status("running", step=40, total=150, message="eftclip")
    )
    at.button(key="repair.start").click().run()
    assert any(
        one.value == "EftCLIP is running, eftclip: step 40 of 150." for one in at.text
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("roclip", "A batch of 256 needs at least as many pairs, 234 are left to learn from"),
        ("filter", "6 of 240 are held out to measure on and 12 dropped. Lower the batch to 222"),
    ],
)
def test_fewer_pairs_than_a_batch_are_told_before_the_launch(home, launched, visit, recipe, words):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value(recipe).run()
    assert words in at.error[0].value
    assert not any(one.key == "repair.start" for one in at.button)


def test_fewer_clean_pairs_than_a_batch_are_told_without_choosing_them(bank, launched, visit):
    at = visit("repair", case="tiny")
    at.number_input(key="repair.eftclip.quick.pairs").set_value(40).run()
    assert at.error[0].value.startswith("A batch of 128 needs at least as many clean pairs, 40 are")
    assert not any(one.key == "repair.start" for one in at.button)


def test_a_run_that_is_measured_only_at_its_end_says_so(bank, launched, visit):
    at = visit("repair", case="tiny")
    assert any("150 steps, measured 6 times" in one.value for one in at.text)
    at.number_input(key="repair.eftclip.quick.evaluate_every").set_value(150).run()
    assert any("150 steps, measured once, at the end" in one.value for one in at.text)
