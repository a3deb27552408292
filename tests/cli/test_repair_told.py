"""What `repair` and `resume` say when a run has ended, and which runs can be gone on with."""

import json

import pytest

from clipforensics.cli import repair
from clipforensics.errors import RunError
from clipforensics.jobs.runs import launcher
from clipforensics.jobs.runs.run_folder import NOT_FINITE, Run, Status

RESULT = {
    "recipe": "eftclip", "ca_before": 0.99, "ca_after": 0.985, "ca_low_after": 0.98, "ca_high_after": 0.99,
    "asr_before": 0.96, "asr_after": 0.002, "asr_low_after": 0.0005, "asr_high_after": 0.005,
    "n_ca": 2000, "n_asr": 1950, "asr_of": "planted", "steps": 150, "total": 150, "seconds": 61.2,
    "cost_in_plain_epochs": 3.24, "checkpoint": "checkpoints/final.safetensors", "test_of": "its test set",
    "composition": [{"kind": "retention", "pairs": 320}, {"kind": "target", "pairs": 80}],
}  # fmt: skip


@pytest.fixture
def ended(case):
    """A repair run of the case, ended as asked."""

    def make(state="succeeded", reason="", **more):
        run = Run.create(
            case.dir / "runs" / "20261122-100000-000000-repair-abc",
            {"kind": "repair", "config": {}},
        )
        (run.dir / "result.json").write_text(json.dumps({**RESULT, **more}))
        run.write_status(Status(state, reason=reason))
        return run

    return make


def test_a_person_reads_percents_with_n_and_interval(ended, capsys):
    run = ended()
    repair._answer(run, json=False)
    said = capsys.readouterr()
    head, asr, ca, *facts = said.out.splitlines()
    assert head.split() == [
        "Figure",
        "Before",
        "After",
        "95",
        "%",
        "interval",
        "after",
        "Difference",
        "n",
    ]
    assert asr.split() == [
        "ASR,",
        "planted",
        "trigger",
        "96.00%",
        "0.20%",
        "0.05%",
        "to",
        "0.50%",
        "-95.80",
        "points",
        "1,950",
    ]
    assert "98.50%" in ca
    assert "320 retention, 80 target" in said.out
    assert "61 s, about 3.2 plain CLIP epochs" in said.out
    assert facts[-1].endswith(f"--run {run.id} --out NEW_CASE")
    assert said.err == ""


def test_a_program_reads_all_of_it(ended, capsys):
    repair._answer(ended(), json=True)
    assert json.loads(capsys.readouterr().out)["asr_low_after"] == 0.0005


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"asr_before": 0.3}, "Not a working attack"),
        ({"ca_after": 0.5}, "fell from 99.0% to 50.0%"),
    ],
)
def test_what_makes_a_low_asr_mean_nothing_is_said(ended, capsys, more, words):
    repair._answer(ended(**more), json=False)
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("state", "reason"), [("succeeded", ""), ("failed", NOT_FINITE)])
def test_what_cannot_go_on_is_refused(ended, case, state, reason):
    ended(state, reason)
    with pytest.raises(RunError, match="nothing to resume"):
        repair.resume(case.dir)


def test_resume_goes_on_with_the_newest_or_the_named(ended, case, capsys, monkeypatch):
    run = ended("cancelled")

    def go_on(chosen):
        chosen.write_status(Status("succeeded"))
        return chosen

    monkeypatch.setattr(launcher, "resume", go_on)
    repair.resume(case.dir, run=run.id)
    assert run.id in capsys.readouterr().out
    with pytest.raises(RunError, match=f"has no repair run other. There are {run.id}."):
        repair.resume(case.dir, run="other")


@pytest.mark.parametrize("truth", [None, {"poisoned": 60, "auroc": 1.0, "average_precision": 0.9}])
def test_a_person_reads_the_first_few_of_what_a_repair_changed(truth):
    top = [{"pair": f"p{at}", "drop": 1 - at / 100} for at in range(100)]
    drop = {
        "n": 500,
        "median": 0.0,
        "top": top,
        "labels": [{"name": "cat"}],
        "against_truth": truth,
    }
    found = {"answers": [{"pair": one["pair"]} for one in top], "moved": {}, "score_drop": drop}
    said = repair._brief(found)
    assert len(said["answers"]) == repair.FEW
    assert said["score_drop"]["first"][:2] == ["p0 (1.000)", "p1 (0.990)"]
    assert len(said["score_drop"]["first"]) == repair.FEW
    assert said["score_drop"]["labels"] == ["cat"]
    assert ("auroc" in said["score_drop"]) == (truth is not None)
    assert len(found["answers"]) == 100  # what JSON prints is whole
