"""Scenes that teach the small SAM, its losses, and a training that can be broken off."""

import json

import numpy as np
import pytest
import torch

from clipforensics.data.stickers import codes
from clipforensics.oracle import sam_training
from clipforensics.oracle.regions import Region
from clipforensics.oracle.sam_evaluation import best_ious, measure
from clipforensics.oracle.sam_scenes import (
    TEST_FAMILY,
    TRAIN_FAMILIES,
    draw_scene,
    prompted_batch,
)
from clipforensics.oracle.sam_training import Budget
from clipforensics.oracle.small_sam import INPUT_SIDE, MASK_SIDE


def test_test_stickers_and_family_are_never_trained_on():
    assert not set(codes("sam_train")) & set(codes("sam_test"))
    assert not set(codes("world")) & (set(codes("sam_train")) | set(codes("sam_test")))
    assert TEST_FAMILY not in TRAIN_FAMILIES


def test_scenes_have_disjoint_masks_and_a_patch_when_asked(rng):
    for share in (0.0, 1.0):
        for _ in range(15):
            scene = draw_scene(rng, "sam_train", TRAIN_FAMILIES, share)
            assert scene.has_patch is (share == 1.0)
            assert scene.picture.shape == (INPUT_SIDE, INPUT_SIDE, 3)
            # halving may give an edge pixel to both sides
            assert (scene.masks.sum(0) > 1).mean() < 0.01
            assert scene.masks.reshape(len(scene.masks), -1).sum(1).min() >= 12


def test_a_batch_depends_on_seed_and_number_alone():
    one, two, other = (prompted_batch(3, i, 2, 4) for i in (5, 5, 6))
    np.testing.assert_array_equal(one.pictures, two.pictures)
    np.testing.assert_array_equal(one.points_xy, two.points_xy)
    assert (one.pictures != other.pictures).any()


def test_points_lie_inside_their_masks():
    for index in range(6):
        batch = prompted_batch(0, index, 2, 4)
        at = np.floor((batch.points_xy + 0.5) / (INPUT_SIDE / MASK_SIDE)).astype(int)
        for b in range(2):
            for p, (x, y) in enumerate(at[b]):
                assert batch.masks[b, p, y, x]


def test_losses_by_hand():
    truth = torch.zeros(1, 4, 4, dtype=torch.bool)
    truth[0, :2] = True
    right = torch.where(truth, 30.0, -30.0)[:, None]
    logits = torch.cat([right, -right, torch.zeros_like(right)], dim=1)
    losses, report = sam_training.mask_losses(logits, truth, torch.tensor([[1.0, 0.0, 0.0]]))
    # wrong: focal 30, dice 1 - 1/17; undecided: focal ln 2 / 4, dice 1 - (8 + 1) / (8 + 8 + 1)
    wrong, undecided = 20 * 30 + 16 / 17, 20 * np.log(2) / 4 + 8 / 17
    assert losses["mask"].item() == pytest.approx(0.05 * (wrong + undecided) / 3, rel=1e-4)
    assert losses["iou"].item() == pytest.approx(0, abs=1e-6)
    assert report["best_iou"] == pytest.approx(1)


def test_the_rate_warms_up_and_ends_at_nothing():
    assert sam_training.rate_at(0, 0.0) == pytest.approx(8e-6)
    assert sam_training.rate_at(500, 0.0) == pytest.approx(8e-4)
    assert sam_training.rate_at(500, 1.0) == pytest.approx(0)
    assert sam_training.rate_at(500, 2.0) == pytest.approx(0)


@pytest.fixture
def small_recipe(monkeypatch):
    changed = sam_training.RECIPE | {"pictures": 2, "prompts": 2, "checkpoint_every_s": 0}
    monkeypatch.setattr(sam_training, "RECIPE", changed)


def test_training_leaves_weights_and_a_record(small_recipe, tmp_path, capsys):
    out = tmp_path / "sam.safetensors"
    words = ["--steps", "2", "--out", str(out), "--workers", "0", "--test-scenes", "2"]
    assert sam_training.main(words) == 0
    record = json.loads(out.with_suffix(".json").read_text())
    assert record["measured"]["objects"]["n"] > 0
    assert record["trained"]["steps"] == 2
    assert len(record["data_sha256"]) == len(record["weights_sha256"]) == 64
    assert out.stat().st_size < 3e6
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["sam.json", "sam.safetensors"]


def test_a_broken_off_training_goes_on_where_it_ended(small_recipe, tmp_path):
    out, said = tmp_path / "sam.safetensors", []
    first = sam_training.train(out, Budget(2), 0, False, 0, said.append)
    second = sam_training.train(out, Budget(4), 0, False, 0, said.append)
    assert (first["steps"], second["steps"]) == (2, 4)
    other_seed = sam_training.train(out, Budget(1), 1, False, 0, said.append)
    assert other_seed["steps"] == 1


def test_a_perfect_segmenter_measures_one(rng):
    scene = draw_scene(rng, "sam_test", (TEST_FAMILY,), 1.0)

    class Perfect:
        fingerprint = "truth"

        def segment(self, picture):
            large = scene.masks.repeat(2, axis=1).repeat(2, axis=2)
            return [Region((0, 0, 1, 1), mask, 1, 1, "sam") for mask in large]

        def with_settings(self, settings):
            return self

    best, n = best_ious(Perfect(), scene)
    assert best.tolist() == [1.0] * len(scene.masks)
    assert n == len(scene.masks)


def test_a_blind_segmenter_measures_nothing():
    class Blind:
        fingerprint = "blind"

        def segment(self, picture):
            return []

        def with_settings(self, settings):
            return self

    found = measure(Blind(), 4)
    assert found["objects"]["share_over_half"] == 0
    assert found["patches_unseen"]["n"] == found["patches_seen"]["n"] == 2


def test_a_budget_ends_by_steps_or_by_seconds():
    assert Budget(100).share(50, 1e9) == 0.5
    assert Budget(100, 10.0).share(5, 20.0) == 2.0
