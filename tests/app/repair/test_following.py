"""A repair run on screen: live, ended well, ended badly, resumed."""

import re
import time

import pytest

from clipforensics.jobs.runs.run_folder import Status


def test_a_finished_run_ends_in_before_and_after(bank, launched, visit, played):
    launched.do = lambda run: played.play(run, played.DONE, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not at.exception
    table = at.dataframe[0].value
    assert list(table["Before"])[:2] == ["96.00%", "99.70%"]
    assert list(table["After"])[:2] == ["0.20%", "99.50%"]
    assert list(table["n"])[:2] == ["1,950", "2,000"]
    figures = {metric.label: metric.value for metric in at.metric}
    assert figures["ASR"] == "0.20%"
    assert figures["Measured at step"] == "150"
    # another tab, another server: the folder is the truth
    again = visit("repair", case="tiny")
    assert list(again.dataframe[0].value["After"])[:2] == ["0.20%", "99.50%"]


def test_a_killed_run_is_shown_as_failed_with_its_checkpoint(bank, launched, visit, played):
    lost = Status("failed", reason="lost", message="the process died", step=40, total=150)
    launched.do = lambda run: played.play(run, played.DONE[:2], lost)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not at.exception
    assert at.error[0].value == "the process died"
    assert any("final.safetensors" in one.value for one in at.text)
    assert any(one.label == "Resume" for one in at.button)


def test_a_weak_attack_is_no_victory(bank, launched, visit, played):
    weak = [played.evaluation(0, 0.99, 0.4, baseline=True), played.evaluation(150, 0.99, 0.0)]
    launched.do = lambda run: played.play(
        run, weak, played.FINISHED, {**played.RESULT, "asr_before": 0.4}
    )
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert any("Not a working attack" in one.value for one in at.warning)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_an_active_run_shows_both_clocks(bank, launched, visit, state, played):
    now = time.time()
    live = Status(state, heartbeat=now - 2, stepped=now - 14, step=40, total=150, eta_seconds=70.0,
                  message="eftclip")  # fmt: skip
    launched.do = lambda run: played.play(run, played.DONE[:2], live)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not at.exception
    if state == "running":
        said = " ".join(one.value for one in at.text)
        found = re.search(r"alive (\d+) s ago · last step (\d+) s ago", said)
        assert found is not None
        assert int(found[2]) - int(found[1]) == pytest.approx(12, abs=1)


def test_a_stopped_run_says_where_it_stopped_and_where_it_goes_on(bank, launched, visit, played):
    stopped = Status("cancelled", step=140, total=150, started=1.0, finished=61.0)

    def ended(run):
        played.play(run, [*played.DONE[:2], {"kind": "loss", "step": 140, "loss": 1.0}], stopped)
        (run.dir / "checkpoints" / "final.safetensors").rename(
            run.dir / "checkpoints" / "step-000125.safetensors"
        )

    launched.do = ended
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert any(
        "to step 140 and goes on from its last checkpoint, step 125" in one.value for one in at.text
    )
    (launched[0].dir / "checkpoints" / "step-000125.safetensors").unlink()
    assert any("it would begin again" in one.value for one in at.run().text)


def test_steps_done_again_after_a_resume_count_once():
    from clipforensics.ui.following import straight

    def line(step, loss, kind="loss"):
        return {"kind": kind, "step": step, "loss": loss}

    first = [line(5, 1.0), line(10, 0.9), line(15, 0.8)]
    assert straight(first) == first
    again = [line(10, None, "resume"), line(15, 0.7)]
    assert [one["loss"] for one in straight(first + again)] == [1.0, 0.9, None, 0.7]


def split_line(epoch, **more):
    hist = [0] * 200
    hist[105], hist[125] = 180, 60
    return {
        "t": 1.0, "kind": "phase", "phase": "C risky", "step": 10 * epoch, "total": 40,
        "split": {
            "epoch": epoch, "n_safe": 60 + epoch, "n_risky": 180 - epoch, "r": 0.25, "tau": 0.15,
            "gmm": {"means": [0.05, 0.25], "sds": [0.03, 0.08], "weights": [0.75, 0.25], "d": 3.3,
                    "converged": True, "fallback": False},
            "lowest_safe": 0.2, "entered": 60, "left": 0, "hist": hist,
            "truth": {"poisoned": 5, "poisoned_in_safe": epoch, "auroc_low_cosine": 0.9}, **more,
        },
    }  # fmt: skip


def followed(recipe, lines, launched, visit, played):
    """The page after a run of this recipe was started there, and wrote these lines."""
    launched.do = lambda run: played.play(
        run, lines, played.FINISHED, {**played.RESULT, "recipe": recipe}
    )
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value(recipe).run()
    at.number_input(key=f"repair.{recipe}.quick.batch").set_value(32).run()
    at.button(key="repair.start").click().run()
    return at


def test_safeclips_split_is_drawn_with_its_doubts(home, launched, visit, played):
    least = [{"label": "*cat*", "pairs": 4, "safe": 0, "share": 0.0}]
    by_label = {"least": least, "median": 0.3, "untrusted": ["*cat*"], "dominant": []}
    lines = [
        played.DONE[0],
        split_line(0),
        split_line(1, warning="no safe pair names *cat*", by_label=by_label),
        played.DONE[2],
    ]
    at = followed("safeclip", lines, launched, visit, played)
    assert not at.exception
    (least,) = [one.value for one in at.dataframe if "Share safe" in one.value]
    assert least.to_dict("records") == [
        {"Label": "*cat*", "Pairs naming it": 4, "Safe": 0, "Share safe": 0.0}
    ]
    assert any(
        "half of all labels have 30% of their pairs or more" in one.value for one in at.caption
    )
    assert any("Known poisons in the safe set: 1 of 5." in one.value for one in at.text)
    assert any(r"no safe pair names \*cat\*" in one.value for one in at.warning)
    again = visit("repair", case="tiny")
    (epoch,) = [one for one in again.selectbox if one.label == "Main epoch"]
    assert epoch.value == "2"
    at = epoch.set_value("1").run()
    assert any("Known poisons in the safe set: 0 of 5." in one.value for one in at.text)
    assert not any("no safe pair" in one.value for one in at.warning)


def test_a_run_that_diverged_is_not_offered_to_meet_it_again(bank, launched, visit, played):
    why = "The loss must stay finite, at step 14 it did not. Lower the learning rate."
    for reason in ("not finite", ""):
        ended = Status("failed", reason=reason, message=why, step=12, total=150)
        launched.do = lambda run, ended=ended: played.play(run, played.DONE[:2], ended)
        at = visit("repair", case="tiny")
        at.button(key="repair.start").click().run()
        assert at.error[0].value == why
        assert any(one.label == "Resume" for one in at.button) is (reason == "")


def test_a_model_that_forgot_is_no_repair(bank, launched, visit, played):
    lines = [played.DONE[0], played.evaluation(150, 0.04, 0.0)]
    launched.do = lambda run: played.play(run, lines, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert any(
        "fell from 99.7% to 4.0%: this model is no repair" in one.value for one in at.warning
    )
    launched.do = None
    launched[0].write_status(Status("running", step=150, total=200))  # it may yet learn
    assert not any("no repair" in one.value for one in visit("repair", case="tiny").warning)


def test_every_figure_before_and_after_has_its_n_and_interval(bank, launched, visit, played):
    after = {"target_recall": 0.9, "target_recall_low": 0.7, "target_recall_high": 0.97,
             "n_target_recall": 15, "r1": 0.5, "r1_low": 0.4, "r1_high": 0.6, "retrieval": {"n": 75}}  # fmt: skip
    more = {f"{name}_after": value for name, value in after.items()}
    more |= {"target_recall_before": 1.0, "r1_before": 0.6}
    launched.do = lambda run: played.play(
        run, played.DONE, played.FINISHED, {**played.RESULT, **more}
    )
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    table = at.dataframe[0].value
    assert len(table) == 4
    assert all(table["n"])
    assert all(table["95 % interval after"])


def test_the_command_of_a_run_is_one_that_a_person_can_type_again(bank, launched, visit, played):
    launched.do = lambda run: played.play(run, played.DONE, played.FINISHED, played.RESULT)
    at = visit("repair", case="tiny")
    at.number_input(key="repair.eftclip.quick.steps").set_value(50).run()
    at.button(key="repair.start").click().run()
    said = [one.value for one in visit("repair", case="tiny").code]
    assert any("clipforensics repair" in one and "--set steps=50" in one for one in said)
    assert not any("jobs.runs.runner" in one for one in said)


def test_what_the_filter_dropped_is_shown(home, launched, visit, played):
    made = {
        "kept": 150, "dropped": 90, "threshold": 2.5, "by": "combined", "emptied": ["<b>cat</b>"],
        "worst_labels": [{"label": "<b>cat</b>", "pairs": 4, "dropped": 4, "share": 1.0}],
        "truth": {"poisoned": 5, "poisoned_kept": 1},
    }  # fmt: skip
    lines = [
        played.DONE[0], {"t": 1.0, "kind": "phase", "step": 0, "filter": made}, played.DONE[2]
    ]  # fmt: skip
    at = followed("filter", lines, launched, visit, played)
    assert any("90 pairs dropped" in one.value and "150 kept" in one.value for one in at.text)
    assert any("Of 5 known poisons 1 are still among them" in one.value for one in at.text)
    (emptied,) = [one.value for one in at.warning if "No pair is left that names" in one.value]
    assert "<b>" not in emptied.replace("\\<", "")
    assert any("Share dropped" in one.value for one in at.dataframe)


def test_losses_of_other_phases_are_other_curves():
    from clipforensics.ui.runcharts import loss_chart

    lines = [{"step": i, "loss": 1.0, "phase": "A" if i < 3 else "B"} for i in range(1, 6)]
    colour = loss_chart(lines).to_dict()["encoding"]["color"]
    assert colour["scale"]["domain"] == ["A", "B"]
    assert len(set(colour["scale"]["range"])) == 2
    one = loss_chart(lines[:2]).to_dict()["encoding"]["color"]
    assert one["legend"] is None
    assert loss_chart([{"step": 1, "loss": 1.0}]).to_dict()  # runs of before had no phase


def test_the_bars_of_a_split_stand_on_zero():
    from clipforensics.ui.splitting import histogram

    bars = histogram(split_line(0)["split"]).to_dict()["layer"][0]
    assert bars["mark"]["type"] == "rect"
    assert bars["encoding"]["y2"] == {"datum": 0}


def test_the_axis_ends_at_the_runs_steps_and_not_at_the_pictures_being_loaded(monkeypatch):
    from types import SimpleNamespace

    from clipforensics.ui import following, live, runcharts

    seen = []
    lines = [
        {"kind": "evaluation", "step": 0, "baseline": True, "total": 150, "ca": 1.0, "asr": 0.9}
    ]
    monkeypatch.setattr(live, "records", lambda run: lines)
    monkeypatch.setattr(live, "status_line", lambda run: None)
    monkeypatch.setattr(live, "details", lambda *args, **options: None)
    monkeypatch.setattr(following.commands, "command_of", lambda run: "")
    monkeypatch.setattr(
        runcharts, "run_chart", lambda own, before, total: seen.append(total) or _a_chart()
    )
    loading = SimpleNamespace(active=True, state="running", step=3_328, total=19_500)
    following.follow(SimpleNamespace(config={"recipe": "eftclip"}, status=lambda: loading))
    assert seen == [150]


def _a_chart():
    import altair as alt

    return alt.Chart(alt.Data(values=[])).mark_point()
