"""The benchmarks' pairs in memory are those that `poison` writes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import poison
from clipforensics.config.attack import PoisonSettings, attack_settings
from clipforensics.data.demo_world import TARGET, DemoWorld, labels
from clipforensics.data.tables import read_pairs

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _attack_table import ATTACKS, PAST_CONCEPT, WITHIN_CONCEPT, cells, poisoning, rates
from _suspects import PAIRS, poisoned_pairs

WORLD = DemoWorld(seed=5, n_pairs=150, n_test=40)


@pytest.mark.parametrize("kind", ["badnets", "mt_s", "tdpa"])
def test_the_pairs_in_memory_are_those_on_disk(kind, tmp_path):
    settings = PoisonSettings(attack=attack_settings(kind, {}), rate=0.12, seed=3)
    poison(WORLD, labels(), settings, tmp_path, workers=1)
    written, truth = read_pairs(tmp_path), Manifest.read(tmp_path / "manifest.json")
    made = poisoned_pairs(WORLD, settings)
    assert (made.ids, made.captions) == (written.ids, written.captions)
    np.testing.assert_array_equal(made.frames, written.frames(range(len(written)), WORLD.side))
    assert {one for one, bad in zip(made.ids, made.poisoned, strict=True) if bad} == truth.poisoned
    assert made.manifest is not None
    assert made.manifest.pattern_sha256 == truth.pattern_sha256
    assert (made.manifest.test_seed, made.manifest.targeted) == (truth.test_seed, truth.targeted)


def test_clean_pairs_hold_no_poison():
    made = poisoned_pairs(WORLD, None)
    assert not made.poisoned.any()
    assert made.captions == WORLD.captions


def test_the_table_asks_for_every_attack_at_every_rate_and_seed_once():
    asked = cells(ATTACKS, 2)
    assert len(set(asked)) == len(asked) == 2 * (1 + sum(len(rates(one)) for one in ATTACKS))
    assert all(len(rates(one)) >= 3 for one in ATTACKS)
    assert all(poisoning(attack, rate or 0.01) for attack, rate, _ in asked if attack != "clean")


def test_clean_label_stays_within_its_concept_but_for_the_rows_that_say_so():
    world = DemoWorld(seed=100, n_pairs=PAIRS)
    own = sum(TARGET in labels().named_in(caption) for caption in world.captions)
    assert max(WITHIN_CONCEPT["clean_label"]) * PAIRS < 0.15 * own
    assert min(PAST_CONCEPT["clean_label"]) * PAIRS > 0.25 * own
