"""Repairs that go wrong while they run: what is said, and what is kept."""

import numpy as np
import pytest

from clipforensics.data.images import write_png
from clipforensics.errors import DataError, NotFinite
from clipforensics.jobs.runs import runner
from clipforensics.models.weights import load_state

SAFE = {"batch": 32, "unimodal_epochs": 1, "main_epochs": 2, "pool": 32, "evaluate_every": 10}


def test_a_repair_that_diverges_keeps_and_names_its_last_good_checkpoint(
    case, bank, context_for, monkeypatch, locks
):
    # the rate warms up, and decay times rate passes 2: every step then enlarges the weights
    changes = {"batch": 32, "pairs": 48, "steps": 60, "warmup_steps": 50, "rate": 1e-3,
               "weight_decay": 50_000, "evaluate_every": 2}  # fmt: skip
    context = context_for(
        case.dir, "repair", recipe="finetune", changes=changes, measure_cost=False
    )
    end = runner._guarded(context, (), lambda: None)
    assert (end["state"], end["reason"]) == ("failed", "not finite")
    kept = context.run.checkpoints()[-1]
    assert "must stay finite" in end["message"]
    assert f"The last good checkpoint, {kept.name} (clean accuracy" in end["message"]
    assert all(np.isfinite(value.numpy()).all() for value in load_state(kept).values())
    measured = [r for r in context.run.journal()[0] if r.get("ca") is not None]
    assert f"{measured[-1]['ca']:.1%}" in end["message"]


def test_without_a_checkpoint_a_diverged_repair_says_so(case, bank, go):
    changes = {**SAFE, "weight_decay": 1e9, "evaluate_every": 1000}
    with pytest.raises(NotFinite, match="No checkpoint was saved before. Lower the learning rate"):
        go(case, recipe="safeclip", changes=changes)


def test_equal_pictures_with_equal_captions_are_no_mixture(world, tmp_path, make_case, bank, go):
    """All cosines are equal then: there is nothing to split."""
    folder = tmp_path / "equal"
    folder.mkdir()
    write_png(folder / "one.png", np.full((32, 32, 3), 90, np.uint8))
    lines = ["id,filepath,title", *(f"p{i:04d},one.png,a red wall" for i in range(240))]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    case = make_case(world, tmp_path / "case", truth=False, data=str(folder / "pairs.csv"))
    with pytest.raises(DataError, match="cosines must be finite and differ, these do not"):
        go(case, recipe="safeclip", changes=SAFE, measure_cost=False)


@pytest.mark.parametrize(
    ("more", "safe", "words"),
    [
        ({"first_share": 0.001, "growth": 0}, 1, "1 safe pairs are below one batch of 32: their pass"),
        ({"first_share": 0.99, "first_high": 0.99, "cap": 1.0}, 231, "3 risky pairs are below one batch"),
    ],
)  # fmt: skip
def test_a_safe_set_of_nothing_or_everything_is_trained_and_said(case, bank, go, more, safe, words):
    result, records, _ = go(case, recipe="safeclip", changes={**SAFE, **more}, measure_cost=False)
    splits = [record["split"] for record in records if "split" in record]
    assert splits[0]["n_safe"] == safe
    assert words in splits[0]["warning"]
    assert result["steps"] == result["total"]
    assert result["checkpoint"]


def test_two_halves_below_one_batch_learn_nothing_and_say_so(case, bank, go):
    changes = {**SAFE, "batch": 128, "pool": 128, "first_share": 0.5, "growth": 0}
    _, records, _ = go(case, recipe="safeclip", changes=changes, measure_cost=False)
    said = [record["split"]["warning"] for record in records if "split" in record]
    assert all("nothing is learned in this epoch" in one for one in said)
