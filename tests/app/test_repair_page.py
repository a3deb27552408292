"""The Repair page: refuses without a trigger, starts the exact command, shows the run to its end."""

import json
import re
import time

import pytest

from clipforensics.jobs.runs.run_folder import Status


def evaluation(step, ca, asr, **more):
    return {
        "t": time.time(), "kind": "evaluation", "step": step, "total": 150, "ca": ca, "asr": asr,
        "n_ca": 2000, "n_asr": 1950, "asr_of": "planted", **more,
    }  # fmt: skip


def play(run, lines, status, result=None):
    """Write what a worker would have written."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.dir / "journal.jsonl").write_text(text)
    (run.dir / "stdout.log").write_text("training\n")
    (run.dir / "checkpoints" / "final.safetensors").write_bytes(b"weights")
    if result:
        (run.dir / "result.json").write_text(json.dumps(result))
    run.write_status(status)


DONE = [
    evaluation(0, 0.997, 0.96, baseline=True),
    {"t": 1.0, "kind": "loss", "step": 100, "total": 150, "loss": 1.25},
    evaluation(150, 0.995, 0.002),
]
RESULT = {
    "recipe": "eftclip", "preset": "quick", "ca_before": 0.997, "ca_after": 0.995,
    "asr_before": 0.96, "asr_after": 0.002, "asr_low_after": 0.0005, "asr_high_after": 0.005,
    "ca_low_after": 0.99, "ca_high_after": 0.998, "n": 1950, "n_ca": 2000, "n_asr": 1950,
    "asr_of": "planted", "working_attack": True, "stopped": False, "cost_in_plain_epochs": 3.2,
    "checkpoint_sha256": "ab" * 32, "seconds": 61.0,
}  # fmt: skip
FINISHED = Status("succeeded", step=150, total=150, started=1.0, finished=62.0)


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


def test_safeclip_needs_no_trigger_and_refuses_the_suspect_as_a_start(home, launched, visit):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("safeclip").run()
    assert any(one.key == "repair.start" for one in at.button)
    at.selectbox(key="repair.safeclip.quick.start").set_value("suspect").run()
    assert "is refused" in at.error[0].value
    assert not any(one.key == "repair.start" for one in at.button)


def test_a_finished_run_ends_in_before_and_after(bank, launched, visit):
    launched.do = lambda run: play(run, DONE, FINISHED, RESULT)
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


def test_a_killed_run_is_shown_as_failed_with_its_checkpoint(bank, launched, visit):
    lost = Status("failed", reason="lost", message="the process died", step=40, total=150)
    launched.do = lambda run: play(run, DONE[:2], lost)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not at.exception
    assert at.error[0].value == "the process died"
    assert any("final.safetensors" in one.value for one in at.text)
    assert any(one.label == "Resume" for one in at.button)


def test_a_weak_attack_is_no_victory(bank, launched, visit):
    weak = [evaluation(0, 0.99, 0.4, baseline=True), evaluation(150, 0.99, 0.0)]
    launched.do = lambda run: play(run, weak, FINISHED, {**RESULT, "asr_before": 0.4})
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert any("Not a working attack" in one.value for one in at.warning)


def test_two_starts_are_one_run(bank, launched, visit):
    for _ in range(2):
        at = visit("repair", case="tiny")
        button = at.button(key="repair.start")
        if not button.disabled:
            button.click().run()
    assert len(launched) == 1


@pytest.mark.parametrize("state", ["queued", "running"])
def test_an_active_run_shows_both_clocks(bank, launched, visit, state):
    now = time.time()
    live = Status(state, heartbeat=now - 2, stepped=now - 14, step=40, total=150, eta_seconds=70.0,
                  message="eftclip")  # fmt: skip
    launched.do = lambda run: play(run, DONE[:2], live)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not at.exception
    if state == "running":
        said = " ".join(one.value for one in at.text)
        found = re.search(r"alive (\d+) s ago · last step (\d+) s ago", said)
        assert found is not None
        assert int(found[2]) - int(found[1]) == pytest.approx(12, abs=1)


@pytest.mark.parametrize("recipe", ["cleanclip", "roclip", "filter", "finetune"])
def test_every_rival_starts_from_the_page(home, launched, visit, recipe):
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value(recipe).run()
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
    at.button(key="repair.time").click().run()
    assert any("min" in one.value and "here" in one.value for one in at.text)


def two_runs(launched, visit):
    """An EftCLIP run and its control, both finished."""
    launched.do = lambda run: play(run, DONE, FINISHED, RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    launched.do = lambda run: play(
        run, [DONE[0], evaluation(75, 0.98, 0.8, r1=0.3), evaluation(150, 0.97, 0.7, r1=0.4)],
        FINISHED, {**RESULT, "recipe": "finetune", "asr_after": 0.7, "r1_before": 0.5, "r1_after": 0.4},
    )  # fmt: skip
    at.segmented_control(key="recipe").set_value("finetune").run()
    at.button(key="repair.start").click().run()
    assert not at.exception
    return at


def test_two_runs_are_compared(bank, launched, visit):
    at = two_runs(launched, visit)
    assert any(one.value == "Compare runs" for one in at.subheader)
    table = at.dataframe[-1].value
    assert sorted(table["ASR"]) == pytest.approx([0.2, 70])
    assert set(table["Group"]) == {"fine-tunes"}
    assert 40 in set(table["R@1"])
    assert 50 in set(table["R@1 was"])
    assert sum("Plain fine-tuning" in name for name in table["Run"]) == 1


def test_a_run_that_was_stopped_says_so_in_the_table():
    from clipforensics.ui.comparing import row

    config = {"recipe": "roclip", "preset": "paper", "changes": {"left_out_pairs": ["a"] * 2000}}
    made = row("RoCLIP", config, {**RESULT, "stopped": True, "steps": 207, "total": 1216})
    assert made["Settings"] == "stopped at 207 of 1,216, paper preset, left_out_pairs (2,000)"
    assert row("RoCLIP", {"preset": "quick"}, RESULT)["Settings"] == ""


def test_every_run_of_a_comparison_has_a_sign_of_its_own():
    from clipforensics.ui.comparing import COLOURS, MOST_RUNS, SHAPES, SIGNS, legend

    assert {len(COLOURS), len(set(SHAPES)), len(set(SIGNS))} == {MOST_RUNS}
    assert "stroke" not in SHAPES  # a line has no area, so that filled points of it cannot be seen
    drawn = legend(["<img src=x>", "b"])
    assert "<img" not in drawn
    assert all(one in drawn for one in (*SIGNS[:2], *COLOURS[:2]))


def test_a_chosen_run_stays_chosen_when_its_state_changes(bank, launched, visit):
    two_runs(launched, visit)
    older, newer = (run.id for run in launched)
    at = visit("repair", case="tiny", run=older)
    (choice,) = [one for one in at.selectbox if one.label == "Run"]
    assert choice.value == older
    for status in (Status("queued"), Status("running", step=3, total=150), FINISHED):
        launched[0].write_status(status)
        at.run()
        assert not at.exception
        (choice,) = [one for one in at.selectbox if one.label == "Run"]
        assert choice.value == older
        assert at.query_params["run"] in (older, [older])
    choice.set_value(newer).run()
    assert at.query_params["run"] in (newer, [newer])


def test_a_stopped_run_says_where_it_stopped_and_where_it_goes_on(bank, launched, visit):
    stopped = Status("cancelled", step=140, total=150, started=1.0, finished=61.0)

    def ended(run):
        play(run, [*DONE[:2], {"kind": "loss", "step": 140, "loss": 1.0}], stopped)
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


def test_progress_is_told_beside_start(bank, launched, visit):
    at = visit("repair", case="tiny")
    launched.do = lambda run: play(
        run, [], Status("running", step=40, total=150, message="eftclip")
    )
    at.button(key="repair.start").click().run()
    assert any(
        one.value == "EftCLIP is running, eftclip: step 40 of 150." for one in at.text
    )  # fmt: skip


def test_only_eftclip_is_said_to_heal_a_trigger(bank, launched, visit):
    at = visit("repair", case="tiny")
    assert any(one.value == "**Heals 1 verified trigger**" for one in at.markdown)
    at.segmented_control(key="recipe").set_value("cleanclip").run()
    assert not any("Heals" in one.value for one in at.markdown)
    assert any("which it is not shown" in one.value for one in at.markdown)


def test_steps_done_again_after_a_resume_count_once():
    from clipforensics.ui.following import straight

    def line(step, loss, kind="loss"):
        return {"kind": kind, "step": step, "loss": loss}

    first = [line(5, 1.0), line(10, 0.9), line(15, 0.8)]
    assert straight(first) == first
    again = [line(10, None, "resume"), line(15, 0.7)]
    assert [one["loss"] for one in straight(first + again)] == [1.0, 0.9, None, 0.7]


def test_the_lines_on_the_page_load_a_checkpoint_with_open_clip(tmp_path):
    import torch

    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
    from clipforensics.ui.checkpoints import loading

    model, path = tmp_path / "it's tiny.json", tmp_path / "final.safetensors"
    model.write_text(json.dumps(TINY_CONFIG))
    made = tiny_clip(5)
    save_clip(made, path)
    said: dict = {}
    exec(loading(path, str(model)), said)
    held = said["model"].state_dict()
    for name, value in made.module.state_dict().items():
        assert torch.equal(held[name], value), name


def test_one_run_is_compared_with_nothing(bank, launched, visit):
    launched.do = lambda run: play(run, DONE, FINISHED, RESULT)
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    assert not any(one.value == "Compare runs" for one in at.subheader)


def test_a_checkpoint_is_chosen_by_its_figures_and_scanned_anew(case, bank, launched, visit):
    from clipforensics.cases.case import Case
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import tiny_clip

    def done(run):
        if run.kind == "repair":
            play(run, DONE, FINISHED, RESULT)
            for name in ("step-000150", "final"):
                save_clip(tiny_clip(5), run.dir / "checkpoints" / f"{name}.safetensors")

    launched.do = done
    at = visit("repair", case="tiny")
    at.button(key="repair.start").click().run()
    run = launched[0]
    at = visit("repair", case="tiny")
    choice = at.selectbox(key=f"checkpoint.{run.id}")
    assert all("clean accuracy 99.50%, ASR 0.20%" in one for one in choice.options)
    at.button(key=f"rescan.{run.id}").click().run()
    assert not at.exception
    assert launched[1].kind == "scan"
    made = Case.open(launched[1].case_dir)
    assert made.dir.name == "tiny-eftclip"
    assert made.fingerprints["weights"] != case.fingerprints["weights"]
    assert made.fingerprints["data"] == case.fingerprints["data"]
    assert "repaired by eftclip" in made.name


def test_a_re_scan_is_shown_beside_the_case_it_came_from(home, case, bank, visit, monkeypatch):
    from types import SimpleNamespace

    import numpy as np

    from clipforensics.config.scan import ScanSettings
    from clipforensics.jobs.repairing import rescanned
    from clipforensics.jobs.repairing.adopting import adopt
    from clipforensics.jobs.scanning import scan
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import tiny_clip

    monkeypatch.setattr(scan, "umap_2d", lambda x, *_: np.asarray(x[:, :2], np.float32))
    monkeypatch.setattr(rescanned, "placed_on", lambda old, near, *_: old[near[1]].mean(axis=1))
    assert not any(
        "Before and after" in one.value for one in visit("repair", case="tiny").subheader
    )
    checkpoint = home / "final.safetensors"
    save_clip(tiny_clip(5), checkpoint)
    run = SimpleNamespace(id="r", config={"recipe": "eftclip"}, checkpoints=lambda: [checkpoint])
    made = adopt(case, run, checkpoint, home / "tiny-eftclip")
    scan.scan(made, ScanSettings(detectors=("slof",)))
    case.store.decide("sample", case.pairs.ids[3], "suspicious", "ann")
    for name in ("tiny", "tiny-eftclip"):
        at = visit("repair", case=name)
        assert any(one.value == "Before and after the repair" for one in at.subheader)
        pastes, answers = (one.value for one in at.dataframe[-2:])
        assert set(pastes["Place"]) >= {"Where it was found", "Random places"}
        assert list(answers["Pair"]) == [case.pairs.ids[3], bank[0].pair]
        assert any("Neighbours that stayed" in one.value for one in at.text)
        assert any("never coordinates" in one.value for one in at.markdown)


def test_the_curated_set_is_edited_before_the_launch(
    home, case, bank, launched, visit, monkeypatch
):
    """What is left out is in the command and in the run's config; another pair takes its place."""
    from clipforensics.jobs.repairing import curating

    # the tiny trusted model has learned nothing and would support one label at best
    monkeypatch.setattr(curating, "supporter", lambda case: None)
    small = {"pairs": 12, "batch": 4}
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("finetune").run()
    for name, value in small.items():
        at.number_input(key=f"repair.finetune.quick.{name}").set_value(value).run()
    at.toggle(key="repair.curate.tiny").set_value(True).run()
    assert not at.exception
    leave = [one.key for one in at.button if one.key and one.key.startswith("repair.leave.")]
    assert leave
    at.button(key=leave[0]).click().run()
    after = [one.key for one in at.button if one.key and one.key.startswith("repair.leave.")]
    assert leave[0] not in after
    assert len(set(leave) & set(after)) == len(leave) - 1
    name = case.labels.named_in(case.pairs.captions[case.pairs.row_of(after[0].rsplit(".", 1)[1])])[
        0
    ]
    at.multiselect(key="repair.left_out.widget.tiny").set_value([name]).run()
    shown = [one.key.rsplit(".", 1)[1] for one in at.button if one.key and "leave" in one.key]
    assert all(
        name not in case.labels.named_in(case.pairs.captions[case.pairs.row_of(one)])
        for one in shown
    )
    assert "left_out_pairs=" in at.code[0].value
    at.toggle(key="repair.curate.tiny").set_value(False).run()
    assert any("Left out by reviewers: 1 pairs and 1 labels" in one.value for one in at.text)
    at.button(key="repair.start").click().run()
    changes = launched[0].config["changes"]
    assert changes["left_out_pairs"] == [leave[0].rsplit(".", 1)[1]]
    assert changes["left_out_labels"] == [name]
    again = visit("repair", case="tiny", recipe="EftCLIP")  # a reload, or another tab
    again.toggle(key="repair.curate.tiny").set_value(True).run()
    assert (
        again.multiselect(key="repair.left_out.pairs.widget.tiny").value
        == changes["left_out_pairs"]
    )
    again.multiselect(key="repair.left_out.pairs.widget.tiny").set_value([]).run()
    again.multiselect(key="repair.left_out.widget.tiny").set_value([]).run()
    assert not again.exception
    assert "left_out" not in again.code[0].value
    said = [(one.action, one.kind) for one in case.store.entries()]
    assert said[-4:] == [
        ("decide", "curated pair"), ("decide", "curated label"),
        ("withdraw", "curated pair"), ("withdraw", "curated label"),
    ]  # fmt: skip
    assert not case.store.current("sample")  # left out is no verdict on the pair


def test_what_the_log_leaves_out_of_another_case_is_ignored_aloud(case, bank, launched, visit):
    held = case.pairs.ids[0]
    case.store.decide_many("curated pair", ["<b>nobody</b>", held], "left out", "ann")
    case.store.decide("curated label", "mauve", "left out", "ann")
    at = visit("repair", case="tiny")
    assert (
        "2 left-out pairs or labels in the decision log are not in this case" in at.error[0].value
    )
    assert "<b>" not in at.error[0].value.replace("\\<", "")
    assert f'left_out_pairs=["{held}"]' in at.code[0].value
    assert "left_out_labels" not in at.code[0].value


def test_a_set_below_one_batch_is_told_before_the_launch(home, bank, launched, visit):
    at = visit("repair", case="tiny")
    at.number_input(key="repair.eftclip.quick.pairs").set_value(40).run()
    at.toggle(key="repair.curate.tiny").set_value(True).run()
    assert not at.exception
    assert any("fewer than one batch of 128" in one.value for one in at.warning)


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


def test_safeclips_split_is_drawn_with_its_doubts(home, launched, visit):
    lines = [
        DONE[0],
        split_line(0),
        split_line(1, warning="40 safe pairs are below one batch of 256"),
        DONE[2],
    ]
    launched.do = lambda run: play(run, lines, FINISHED, {**RESULT, "recipe": "safeclip"})
    at = visit("repair", case="tiny")
    at.segmented_control(key="recipe").set_value("safeclip").run()
    at.button(key="repair.start").click().run()
    assert not at.exception
    assert any("Known poisons in the safe set: 1 of 5." in one.value for one in at.text)
    assert any("below one batch of 256" in one.value for one in at.warning)
    again = visit("repair", case="tiny")
    (epoch,) = [one for one in again.selectbox if one.label == "Main epoch"]
    assert epoch.value == "2"
    at = epoch.set_value("1").run()
    assert any("Known poisons in the safe set: 0 of 5." in one.value for one in at.text)
    assert not any("below one batch" in one.value for one in at.warning)
