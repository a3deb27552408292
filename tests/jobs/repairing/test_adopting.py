"""A checkpoint as the suspect of a case of its own."""

from types import SimpleNamespace

import pytest

from clipforensics.errors import CaseError, ForensicsError, RunError
from clipforensics.jobs.repairing.adopting import adopt
from clipforensics.models.clip import save_clip
from clipforensics.models.tiny import tiny_clip


def test_a_checkpoint_becomes_the_suspect_of_a_new_case(case, bank, tmp_path, go, eft):
    result, _, context = go(case, changes={**eft, "steps": 4}, measure_cost=False)
    checkpoint = context.run.dir / result["checkpoint"]
    made = adopt(case, context.run, checkpoint, tmp_path / "again")
    assert made.fingerprints["weights"] == result["checkpoint_sha256"]
    assert made.fingerprints["data"] == case.fingerprints["data"]
    assert made.truth.poisoned == case.truth.poisoned
    assert not made.verify()
    with pytest.raises(CaseError, match="Choose another folder"):
        adopt(case, context.run, checkpoint, tmp_path / "again")
    with pytest.raises(RunError, match=r"Choose one of .*final\.safetensors"):
        adopt(case, context.run, tmp_path / "evil.safetensors", tmp_path / "other")
    checkpoint.write_bytes(b"not weights")
    with pytest.raises(ForensicsError):
        adopt(case, context.run, checkpoint, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_only_a_repair_is_adopted_and_its_run_is_named(case, tmp_path):
    weights = tmp_path / "final.safetensors"
    save_clip(tiny_clip(5), weights)
    run = SimpleNamespace(id="r", config={"recipe": "../../../out"}, checkpoints=lambda: [weights])
    with pytest.raises(RunError, match="Run r is no repair"):
        adopt(case, run, weights, tmp_path / "home" / "again")
    assert not (tmp_path / "home").exists()
    run.config["recipe"] = "finetune"
    assert adopt(case, run, weights, tmp_path / "again").settings.repair_run == "r"
