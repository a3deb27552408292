"""The attack lab on a very small demo world."""

import json

import pytest

from clipforensics.cases.case import Case
from clipforensics.errors import ConfigError
from clipforensics.jobs.attacking import lab
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run

SMALL = {
    "name": "My lab", "pairs": 128, "test_pictures": 40, "workers": 1, "device": "cpu",
    "training": {"epochs": 2, "batch": 32}, "evaluate_every": 4,
    "poison": {"attack": {"kind": "blend"}, "rate": 0.05},
}  # fmt: skip


def context_in(folder, **config):
    return RunContext(Run.create(
        folder / "home" / "runs" / "lab-1", {"kind": "lab", "config": {**SMALL, **config}}
    ))  # fmt: skip


def test_the_lab_poisons_trains_and_opens_a_case(tmp_path):
    context = context_in(tmp_path)
    result = lab.run(context)
    case = Case.open(result["case_dir"])
    assert case.dir == tmp_path / "my-lab"
    assert case.name == "My lab"
    assert len(case.pairs) == 128
    assert case.truth.target == "banana"
    assert len(case.truth.poisoned) == result["poisons"] == 6
    assert len(case.test) == 40
    assert case.suspect("cpu").fingerprint == case.fingerprints["weights"]
    assert result["n_ca"] == 40
    assert result["n"] == 39
    evaluations = [r for r in context.run.journal()[0] if r["kind"] == "evaluation"]
    assert [r["step"] for r in evaluations] == [0, 4, 8]
    assert all("ca" in r and "asr" in r for r in evaluations)
    stored = json.loads((case.dir / "case.json").read_text())
    assert stored["settings"]["data"] == "data/pairs.csv"
    with pytest.raises(ConfigError, match="already"):
        lab.run(context)


def test_a_stopped_lab_leaves_no_case_and_goes_on_later(tmp_path):
    context = context_in(tmp_path)
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 6
    assert lab.run(context)["case_dir"] is None
    assert not (tmp_path / "my-lab" / "case.json").exists()
    again = lab.run(RunContext(Run.open(context.run.dir)))
    assert again["steps"] == 8
    assert Case.open(again["case_dir"]).name == "My lab"


def test_a_trigger_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    big = {"attack": {"kind": "badnets", "patch_px": 40}}
    with pytest.raises(ConfigError, match="patch_px=40"):
        lab.run(context_in(tmp_path, poison=big))
    assert not (tmp_path / "my-lab").exists()


@pytest.mark.parametrize("name", ["../up", "", "a/b"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(ConfigError, match="name"):
        lab.run(context_in(tmp_path, name=name))
