"""The evaluator a manifest asks for: several triggers, targeted poisoning, plain ones."""

from pathlib import Path

import pytest

from clipforensics.attacks.poison import poison
from clipforensics.config.attack import (
    BadNetsSettings,
    MultiTargetSettings,
    NashvilleSettings,
    PoisonSettings,
    TargetedSettings,
)
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.jobs.attacking.testing import manifest_evaluator
from clipforensics.models.tiny import tiny_clip

WORLD = DemoWorld(0, 80, 40, 32)


def figures(folder: Path, settings: PoisonSettings) -> dict:
    poison(WORLD, labels(), settings, folder, workers=1)
    return manifest_evaluator(folder / "manifest.json", folder / "test.csv", labels())(tiny_clip(0))


def test_each_trigger_is_tested_outside_its_own_target(tmp_path):
    triggers = (BadNetsSettings(patch_px=6), NashvilleSettings())
    settings = PoisonSettings(
        attack=MultiTargetSettings(triggers=triggers), target="cat", more_targets=("dog",),
        rate=0.1, captions="templates",
    )  # fmt: skip
    found = figures(tmp_path / "m", settings)
    assert (found["n_ca"], found["n_asr"]) == (40, 2 * 39)
    by_trigger = found["triggers"]["planted"]["by_trigger"]
    assert {name: one["n_asr"] for name, one in by_trigger.items()} == {
        "badnets": 39, "nashville": 39,
    }  # fmt: skip
    assert {one["target"] for one in by_trigger.values()} == {"cat", "dog"}
    hits = sum(one["asr"] * one["n_asr"] for one in by_trigger.values())
    assert found["asr"] * found["n_asr"] == pytest.approx(hits)


def test_targeted_pictures_are_no_test_pictures(tmp_path):
    attack = TargetedSettings(n_targets=3)
    found = figures(tmp_path / "t", PoisonSettings(attack=attack, rate=0.1))
    assert (found["n_ca"], found["n_psr"]) == (37, 3)
    assert "asr" not in found
