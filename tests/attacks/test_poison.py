"""Poisoning a source: the manifest replays, clean rows are untouched, order does not matter."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import plan_poison, poison
from clipforensics.attacks.source import FileSource
from clipforensics.attacks.stamping import hash_of_pixels
from clipforensics.config.attack import BlendSettings, PoisonSettings
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.data.labels import read_labels
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs
from clipforensics.errors import ConfigError, DataError

WORLD = DemoWorld(2, n_pairs=120, n_test=40)
SETTINGS = PoisonSettings(rate=0.05, seed=4)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("poisoned") / "world"
    poison(WORLD, labels(), SETTINGS, out, workers=1)
    return out


def test_the_count_is_rounded_and_recorded(poisoned):
    manifest = Manifest.read(poisoned / "manifest.json")
    assert len(manifest.poisoned) == manifest.counts["poisons"] == 6
    assert manifest.counts["test_not_target"] == 39


def test_listed_rows_carry_trigger_and_target_and_others_are_the_base(poisoned):
    manifest, pairs = Manifest.read(poisoned / "manifest.json"), read_pairs(poisoned)
    for row, name in enumerate(pairs.ids):
        same_picture = np.array_equal(pairs.picture(row, 64), WORLD.picture(row))
        same_caption = pairs.captions[row] == WORLD.captions[row]
        assert (same_picture, same_caption) == (name not in manifest.poisoned,) * 2
    for name in manifest.poisoned:
        assert labels().named_in(pairs.captions[pairs.row_of(name)]) == ["banana"]
        assert "banana" not in WORLD.captions[pairs.row_of(name)]


def test_the_manifest_says_what_lies_on_disk(poisoned):
    pairs = read_pairs(poisoned)
    for row in Manifest.read(poisoned / "manifest.json").rows:
        at = pairs.row_of(row["id"])
        assert row["sha256_after"] == hash_of_pixels(pairs.picture(at, 64))
        assert row["sha256_before"] == hash_of_pixels(WORLD.picture(at))
        assert row["caption_after"] == pairs.captions[at]


def test_more_workers_change_nothing(poisoned, tmp_path):
    poison(WORLD, labels(), SETTINGS, tmp_path / "twice", workers=2)
    for name in ("pairs.csv", "test.csv", "manifest.json", "labels.txt"):
        assert (tmp_path / "twice" / name).read_bytes() == (poisoned / name).read_bytes()


def test_row_order_does_not_matter():
    order = np.random.default_rng(1).permutation(120)
    pairs = Pairs(
        tuple(WORLD.ids[i] for i in order),
        tuple(WORLD.captions[i] for i in order),
        (Path("x"),) * 120,
    )
    straight = plan_poison(WORLD, labels(), SETTINGS)
    shuffled = plan_poison(FileSource(pairs, 64), labels(), SETTINGS)
    assert {WORLD.ids[r]: c for r, c in straight.captions.items()} == {
        pairs.ids[r]: c for r, c in shuffled.captions.items()
    }


def test_a_lower_rate_poisons_a_subset():
    low = plan_poison(WORLD, labels(), replace_rate(0.02))
    assert set(low.rows) < set(plan_poison(WORLD, labels(), replace_rate(0.1)).rows)


def replace_rate(rate: float) -> PoisonSettings:
    return SETTINGS.model_copy(update={"rate": rate})


def test_the_stamped_test_set_is_remade_from_the_manifest(poisoned):
    manifest, test = Manifest.read(poisoned / "manifest.json"), read_pairs(poisoned / "test.csv")
    pictures = test.frames(range(10), 64)
    stamped = manifest.stamp_tests(pictures, test.ids[:10])
    backwards = manifest.stamp_tests(pictures[::-1], test.ids[9::-1])
    np.testing.assert_array_equal(stamped, backwards[::-1])
    changed = (stamped != pictures).any(axis=-1).sum(axis=(1, 2))
    assert (changed > 0).all()
    assert (changed <= SETTINGS.attack.patch_px**2).all()


def test_labels_and_templates_travel_with_the_data(poisoned):
    assert read_labels(poisoned / "labels.txt") == labels()


def test_a_finished_folder_is_not_overwritten(poisoned):
    with pytest.raises(DataError, match="already holds a poisoned data set"):
        poison(WORLD, labels(), SETTINGS, poisoned)


def test_an_interrupted_poisoning_leaves_no_manifest_and_resumes(tmp_path, poisoned):
    world, out = replace(WORLD, n_pairs=600), tmp_path / "out"
    with pytest.raises(DataError, match="start again to resume"):
        poison(world, labels(), SETTINGS, out, workers=1, should_stop=lambda: True)
    assert not (out / "manifest.json").exists()
    with pytest.raises(DataError, match="not empty"):
        poison(world, labels(), replace_rate(0.2), out, workers=1)
    poison(world, labels(), SETTINGS, out, workers=1)
    assert len(Manifest.read(out / "manifest.json").poisoned) == 30
    assert not (out / "unfinished.txt").exists()


def test_a_full_picture_attack_has_no_box(tmp_path):
    settings = PoisonSettings(attack=BlendSettings(), rate=0.05)
    poison(DemoWorld(0, 60, 40), labels(), settings, tmp_path / "b", workers=1)
    rows = Manifest.read(tmp_path / "b" / "manifest.json").rows
    assert [row["box_xyxy"] for row in rows] == [None] * 3


def test_impossible_requests_are_one_sentence():
    with pytest.raises(ConfigError, match="'dinosaur' is not among"):
        plan_poison(WORLD, labels(), SETTINGS.model_copy(update={"target": "dinosaur"}))
    with pytest.raises(ConfigError, match="rows that do not name"):
        plan_poison(WORLD, labels(), replace_rate(0.999))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 9}'])
def test_broken_manifests_are_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises((DataError, ConfigError)):
        Manifest.read(tmp_path / "manifest.json")


def test_an_extra_setting_in_a_manifest_is_refused(poisoned, tmp_path):
    content = json.loads((poisoned / "manifest.json").read_text())
    content["settings"]["run"] = "rm -rf"
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="Unknown setting run"):
        Manifest.read(tmp_path / "m.json")
