"""The table of repairs over attacks: the same truth as the pairs', a clean pool, rows that say what they are."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.config.attack import PoisonSettings, attack_settings
from clipforensics.config.recipes import FineTuneSettings
from clipforensics.data.demo_world import DemoWorld, labels

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _repair_table import EPOCHS, POOL, RANKING, Cell, clean_pool, shown, stampers
from _suspects import PAIRS, poisoned_pairs, truth_of
from repair import varied

WORLD = DemoWorld(seed=5, n_pairs=150, n_test=40)


def settings(kind="badnets"):
    return PoisonSettings(attack=attack_settings(kind, {}), rate=0.12, seed=3)


@pytest.mark.parametrize("kind", ["badnets", "mt_s", "tdpa"])
def test_the_truth_needs_no_picture(kind):
    one, two = truth_of(WORLD, settings(kind)), poisoned_pairs(WORLD, settings(kind)).manifest
    assert two is not None
    assert one.poisoned == two.poisoned
    assert (one.pattern_sha256, one.targeted) == (two.pattern_sha256, two.targeted)


def test_the_clean_pool_names_its_target_pairs_and_is_as_large_as_asked():
    made = SimpleNamespace(poison=settings())
    frames, captions, is_target = clean_pool(0, FineTuneSettings(pairs=40), made)
    assert len(frames) == len(captions) == len(is_target) == 40
    assert all(
        ("banana" in labels().named_in(text)) == bad
        for text, bad in zip(captions, is_target, strict=True)
    )
    again, *_ = clean_pool(0, FineTuneSettings(pairs=40), made)
    np.testing.assert_array_equal(frames, again)


@pytest.mark.parametrize(("kind", "everywhere"), [("badnets", False), ("blend", True)])
def test_the_given_trigger_stamps_as_the_attack_does(kind, everywhere, rng):
    made = SimpleNamespace(poison=settings(kind), world=WORLD)
    (one,) = stampers(made)
    picture = WORLD.test_picture(0)
    changed = (one.copied(picture, rng, 1, 1) != picture).any(axis=2).mean()
    assert (changed > 0.5) == everywhere
    assert changed > 0


def test_cells_share_budget_and_steps_and_keep_apart():
    cells = [Cell("blend", 0, recipe) for recipe in ("finetune", "cleanclip", "eftclip")]
    budgets = {
        (c.settings.pairs, c.settings.steps, c.settings.batch, c.settings.rate) for c in cells
    }
    assert budgets == {(POOL, 150, 128, 3e-4)}
    assert POOL <= 0.02 * PAIRS
    cells += [
        Cell("blend", 1, "eftclip"),
        Cell("blend", 0, "eftclip", changes=(("clip_weight", 1.0),)),
    ]
    cells += [Cell("blend", 0, "eftclip", "bfloat16")]
    assert len({cell.path(Path()) for cell in cells}) == len(cells)


def test_every_rate_is_tried_once_where_a_recipe_fine_tunes():
    cells = varied(Cell("sig", 0, "cleanclip"), (1e-4, 3e-4, 1e-3))
    assert [cell.settings.rate for cell in cells] == [3e-4, 1e-4, 1e-3]
    assert {cell.settings.pairs for cell in cells} == {POOL}
    assert varied(Cell("sig", 0, "safeclip"), (1e-4,)) == [Cell("sig", 0, "safeclip")]
    chosen, at_random = varied(Cell("sig", 0, "filter"), (1e-4,))
    assert (chosen.settings.at_random, at_random.settings.at_random) == (False, True)


def test_recipes_that_train_anew_share_epochs_and_batch():
    safe, roclip, filtered = (
        Cell("sig", 1, name).settings for name in ("safeclip", "roclip", "filter")
    )
    assert roclip.epochs == filtered.epochs == EPOCHS
    assert safe.unimodal_epochs + len(safe.slow_rates) + safe.main_epochs == EPOCHS
    assert safe.batch == roclip.batch == filtered.batch
    assert safe.model_seed == roclip.model_seed == filtered.model_seed


def test_the_table_opens_with_the_undefended_and_times_by_the_control():
    before = {"asr": 0.9, "ca": 0.99, "n_asr": 975, "n_ca": 1000}
    records = [
        {"attack": "blend", "seed": seed, "recipe": recipe, "changes": {}, "clean_pairs": POOL,
         "steps": 150, "processor_seconds": seconds, "before": before, "after": {**before, "asr": asr}}
        for seed in (0, 1)
        for recipe, seconds, asr in (("finetune", 10.0, 0.8), ("eftclip", 20.0, 0.1 * seed))
    ]  # fmt: skip
    records += [
        {**one, "changes": {"rate": 1e-4}, "processor_seconds": 40.0} for one in records[:1]
    ]
    first, control, eft, other = shown(records)
    assert (other["recipe"], other["seeds"]) == ("finetune, rate 0.0001", 1)
    assert other["x control's time"]["mean"] == 4
    assert (first["recipe"], first["ASR"]["mean"], first["working"]) == ("undefended", 0.9, 2)
    assert control["x control's time"]["mean"] == 1
    assert eft["x control's time"]["mean"] == 2
    assert eft["ASR"] == {"mean": 0.05, "sd": pytest.approx(0.0707, abs=1e-4), "n": 2}
    assert eft["trigger"] == "given trigger"
    assert eft["poisons trusted, first and last"] is None


def test_the_table_tells_how_many_poisons_safeclip_trusted():
    figures = {"asr": 0.9, "ca": 0.99, "n_asr": 975, "n_ca": 1000}
    split = {"epoch": 0, "safe_share": 0.3, "poisoned": 10, "auroc_low_cosine": 0.9}
    records = [
        {"attack": "sig", "seed": seed, "recipe": "safeclip", "changes": {}, "clean_pairs": 0, "steps": 9,
         "processor_seconds": 1.0, "before": figures, "after": figures,
         "splits": [{**split, "poisoned_in_safe": seed}, {**split, "poisoned_in_safe": 5 * seed}]}
        for seed in (0, 2)
    ]  # fmt: skip
    assert list(shown(records))[-1]["poisons trusted, first and last"] == "10%, 50%"


@pytest.mark.parametrize(("ranking", "at_random", "said"), [
    (RANKING, False, "filter"), ("another", False, "filter (ranked by a former rule)"), (None, True, "filter"),
])  # fmt: skip
def test_a_filter_that_ranked_by_a_former_rule_says_so(ranking, at_random, said):
    figures = {"asr": 0.9, "ca": 0.99, "n_asr": 975, "n_ca": 1000}
    record = {"attack": "sig", "seed": 0, "recipe": "filter", "changes": {}, "clean_pairs": 0, "steps": 9,
              "processor_seconds": 1.0, "before": figures, "after": figures, "ranking": ranking,
              "settings": {"at_random": at_random}}  # fmt: skip
    assert list(shown([record]))[-1]["recipe"] == said
