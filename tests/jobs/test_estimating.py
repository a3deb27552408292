"""The cost of a repair before it starts, counted by hand."""

from types import SimpleNamespace

import pytest

from clipforensics.config.repair import PRESETS, RECIPE_SETTINGS, RepairSettings
from clipforensics.jobs.repairing.estimating import estimate, seconds_of_plain_epoch

NO_TESTS = {"pairs": 20_000, "tests": 0, "triggers": 0}


def of(recipe, **changes):
    return RepairSettings(recipe=recipe, changes=changes)


def test_fine_tuning_costs_its_steps():
    made = estimate(of("finetune", steps=150, batch=128), **NO_TESTS)
    assert made.steps == 150
    assert made.epochs == pytest.approx(150 * 128 / 20_000)
    both = estimate(of("cleanclip", steps=150, batch=128), **NO_TESTS)
    assert both.epochs == pytest.approx(2.11 * made.epochs)


def test_evaluations_cost_too():
    with_tests = estimate(of("finetune", evaluate_every=25), 20_000, 2000, 1)
    # the suspect's and 6 more evaluations of the clean, the planted and one found set, each a quarter of a step
    extra = 7 * 2000 * 3 * 0.25 / 20_000
    assert with_tests.epochs - estimate(of("finetune"), **NO_TESTS).epochs == pytest.approx(extra)


def test_a_filter_costs_its_epochs_over_what_it_keeps():
    made = estimate(of("filter", epochs=10, drop_share=0.05, batch=256), **NO_TESTS)
    assert made.epochs == pytest.approx(9.5)
    assert made.steps == 10 * (19_000 // 256)


def test_a_retraining_lacks_what_is_held_out():
    made = estimate(of("roclip", epochs=16, batch=256), **NO_TESTS, held_out=500)
    assert made.steps == 16 * (19_500 // 256)
    tuned = estimate(of("finetune"), **NO_TESTS, held_out=500)
    assert tuned == estimate(of("finetune"), **NO_TESTS)


def test_safeclip_costs_less_from_trusted_weights():
    plain = {"unimodal_epochs": 4, "slow_rates": [1e-5, 5e-5], "main_epochs": 12}
    fresh = estimate(of("safeclip", **plain), **NO_TESTS)
    trusted = estimate(of("safeclip", **plain, start="trusted"), **NO_TESTS)
    assert fresh.epochs - trusted.epochs == pytest.approx(4 * 1.53 + 2 * 1.11)
    assert fresh.steps - trusted.steps == 6 * (20_000 // 256)


@pytest.mark.parametrize("recipe", RECIPE_SETTINGS)
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_every_preset_has_a_cost(recipe, preset):
    assert preset in PRESETS[recipe]
    made = estimate(RepairSettings(recipe=recipe, preset=preset), 20_000, 2000, 1)
    assert made.steps > 0
    assert made.epochs > 0


def test_the_estimate_of_steps_is_the_runs_own():
    from clipforensics.config.repair import recipe_settings
    from clipforensics.models.tiny import tiny_clip
    from clipforensics.repair.safeclip import SafeClip

    asked = of("safeclip", batch=16, first_share=0.4, pool=16)
    recipe = SafeClip(["a red wall"] * 200, tiny_clip(0), recipe_settings(asked))
    recipe._first = 80
    assert estimate(asked, 200, 0, 0).steps == recipe.total


def test_earlier_runs_say_how_long_an_epoch_takes():
    runs = [
        SimpleNamespace(result=lambda s=s: s) for s in ({"plain_epoch_seconds": 20.0}, None, {})
    ]
    assert seconds_of_plain_epoch(runs) == 20.0
    assert seconds_of_plain_epoch(runs[1:]) is None
