"""A stopped repair goes on exactly, or not at all."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipforensics.errors import CaseError
from clipforensics.jobs.repairing import preparing, repair
from clipforensics.jobs.scanning.scan import embed
from clipforensics.models.clip import load_clip


def test_a_run_whose_test_pairs_changed_is_not_resumed(
    world, tmp_path, bank, go, context_for, make_case
):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    embed(case)
    changes = {"batch": 32, "epochs": 1}
    context = context_for(
        case.dir, "repair", "halted", recipe="roclip", changes=changes, measure_cost=False
    )
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 3
    assert repair.run(context)["stopped"]
    tested = json.loads((context.run.dir / preparing.TESTED).read_text())["ids"]
    held = json.loads((context.run.dir / preparing.HELD_OUT).read_text())["ids"]
    only_tested = sorted(set(tested) - set(held))
    case.store.decide("sample", only_tested[0], "suspicious", "ann")
    with pytest.raises(CaseError, match="picks changed"):
        go(case, "halted", recipe="roclip", changes=changes, measure_cost=False)


def test_a_stopped_repair_keeps_its_checkpoint_and_resumes_exactly(
    case, bank, go, context_for, eft
):
    straight, _, whole = go(case, "straight", measure_cost=False)
    context = context_for(
        case.dir, "repair", "halted", recipe="eftclip", changes=eft, measure_cost=False
    )
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 15
    halted = repair.run(context)
    assert halted["stopped"]
    assert halted["steps"] < 40
    assert (context.run.dir / halted["checkpoint"]).exists()
    resumed, records, again = go(case, "halted")
    assert resumed["steps"] == 40
    assert sum(bool(r.get("baseline")) for r in records) == 1
    one = load_clip(case.settings.model, whole.run.dir / straight["checkpoint"], "cpu")
    two = load_clip(case.settings.model, again.run.dir / resumed["checkpoint"], "cpu")
    for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [("eftclip", {"batch": 32, "pairs": 48, "steps": 9}), ("roclip", {"batch": 32, "epochs": 1})],
)
def test_a_run_whose_trigger_changed_is_not_resumed(case, bank, go, context_for, recipe, changes):
    context = context_for(
        case.dir, "repair", "halted", recipe=recipe, changes=changes, measure_cost=False
    )
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 6
    assert repair.run(context)["stopped"]
    (same,) = bank
    bank[:] = [SimpleNamespace(**{**vars(same), "pixels": np.zeros_like(same.pixels)})]
    with pytest.raises(CaseError, match="or the triggers did"):
        go(case, "halted", recipe=recipe, changes=changes, measure_cost=False)
    bank[:] = [same]
    assert not go(case, "halted")[0]["stopped"]


def test_a_resumed_runs_seconds_are_those_of_all_its_processes(case, bank, go, context_for, eft):
    context = context_for(
        case.dir, "repair", "again", recipe="eftclip", changes={**eft, "steps": 2}
    )
    context.earlier = 1000.0
    assert 1000 < repair.run(context)["seconds"] < 1100
