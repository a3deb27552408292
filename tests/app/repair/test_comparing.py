"""Repair runs beside each other."""

import pytest

from clipforensics.jobs.runs.run_folder import Status


@pytest.fixture
def two_runs(bank, launched, visit, played):
    """An EftCLIP run and its control, both finished."""
    launched.do = lambda run: played.play(run, played.DONE, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    launched.do = lambda run: played.play(
        run, [played.DONE[0], played.evaluation(75, 0.98, 0.8, r1=0.3), played.evaluation(150, 0.97, 0.7, r1=0.4)],
        played.FINISHED, {**played.RESULT, "recipe": "finetune", "asr_after": 0.7, "r1_before": 0.5, "r1_after": 0.4},
    )  # fmt: skip
    at.segmented_control(key="recipe").set_value("finetune").run()
    at.button(key="repair.start").click().run()
    assert not at.exception
    return at


def test_two_runs_are_compared(two_runs):
    at = two_runs
    assert any(one.value == "Compare runs" for one in at.subheader)
    table = at.dataframe[-1].value
    assert sorted(table["ASR"]) == pytest.approx([0.2, 70])
    titles = [one.value for one in at.markdown]
    assert any(one.startswith("**Fine-tunes the suspect") for one in titles)
    assert not any(one.startswith("**Trains anew") for one in titles)
    assert table["R@1 change"].dropna().tolist() == [pytest.approx(-10)]
    assert set(table["n ASR"]) == {1950}
    assert set(table["n CA"]) == {2000}
    assert "99.0% to 99.8%" in set(table["CA, 95 %"])
    assert list(table.columns[:2]) == ["Run", "Settings"]
    assert sum("Plain fine-tuning" in name for name in table["Run"]) == 1


def test_a_run_that_was_stopped_says_so_in_the_table(played):
    from clipforensics.ui.runtable import row

    config = {"recipe": "finetune", "preset": "paper", "changes": {"left_out_pairs": ["a"] * 2000}}
    made = row("Plain", config, {**played.RESULT, "stopped": True, "steps": 207, "total": 1216})
    assert made["Settings"] == "stopped at 207 of 1,216, paper preset, Left-out pairs (2,000)"
    assert row("RoCLIP", {"preset": "quick"}, played.RESULT)["Settings"] == "quick preset"


def test_targeted_pictures_have_their_rate_with_n_and_interval(played):
    from clipforensics.ui.runtable import row

    config = {"recipe": "finetune", "preset": "quick"}
    assert not [name for name in row("Plain", config, played.RESULT) if "PSR" in name]
    told = {"psr_before": 1.0, "psr_after": 0.125, "psr_low_after": 0.035, "psr_high_after": 0.36}
    made = row("Plain", config, {**told, "n_psr_after": 16, "seconds": None})
    assert (made["PSR"], made["PSR was"], made["n PSR"]) == (12.5, 100, 16)
    assert made["PSR, 95 %"] == "3.5% to 36.0%"
    assert made["ASR"] is None


def test_each_trigger_has_its_column_and_recipes_that_train_anew_their_table(
    bank, launched, visit, played
):
    triggers = {name: {"asr": asr} for name, asr in (("planted", 0.002), ("found 1", 0.25))}
    launched.do = lambda run: played.play(
        run, played.DONE, played.FINISHED, {**played.RESULT, "triggers_after": triggers}
    )
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    launched.do = lambda run: played.play(run, played.DONE, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("roclip").run()
    at.number_input(key="repair.roclip.quick.batch").set_value(32).run()
    at.button(key="repair.start").click().run()
    assert not at.exception
    tuned, anew = (one.value for one in at.dataframe[-2:])
    assert tuned["ASR, found 1"].tolist() == [25]
    assert "RoCLIP" in anew["Run"][0]
    assert "ASR, found 1" not in anew


def test_every_run_of_a_comparison_has_a_sign_of_its_own():
    from clipforensics.ui.comparing import COLOURS, MOST_RUNS, SHAPES, SIGNS, legend

    assert {len(COLOURS), len(set(SHAPES)), len(set(SIGNS))} == {MOST_RUNS}
    assert "stroke" not in SHAPES  # a line has no area, so that filled points of it cannot be seen
    drawn = legend(["<img src=x>", "b"])
    assert "<img" not in drawn
    assert all(one in drawn for one in (*SIGNS[:2], *COLOURS[:2]))


def test_a_chosen_run_stays_chosen_when_its_state_changes(two_runs, launched, visit, played):
    older, newer = (run.id for run in launched)
    at = visit("repair", case="tiny", run=older)
    (choice,) = [one for one in at.selectbox if one.label == "Run"]
    assert choice.value == older
    for status in (Status("queued"), Status("running", step=3, total=150), played.FINISHED):
        launched[0].write_status(status)
        at.run()
        assert not at.exception
        (choice,) = [one for one in at.selectbox if one.label == "Run"]
        assert choice.value == older
        assert at.query_params["run"] in (older, [older])
    choice.set_value(newer).run()
    assert at.query_params["run"] in (newer, [newer])


def test_one_run_is_compared_with_nothing(bank, launched, visit, played):
    launched.do = lambda run: played.play(run, played.DONE, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not any(one.value == "Compare runs" for one in at.subheader)
