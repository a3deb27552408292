"""A repair run's settings: the recipe, its preset, and what departs from it."""

from typing import Any, Literal

from pydantic import Field

from clipforensics.config.device import Device
from clipforensics.config.recipes import (
    CleanClipSettings,
    EftClipSettings,
    FilterSettings,
    FineTuneSettings,
    RetrainSettings,
    RoClipSettings,
    SafeClipSettings,
)
from clipforensics.config.settings import Settings, parse

RecipeSettings = FineTuneSettings | SafeClipSettings | RoClipSettings | FilterSettings

RECIPE_SETTINGS: dict[str, type[RecipeSettings]] = {
    "eftclip": EftClipSettings,
    "safeclip": SafeClipSettings,
    "cleanclip": CleanClipSettings,
    "roclip": RoClipSettings,
    "filter": FilterSettings,
    "finetune": FineTuneSettings,
}
RETRAIN = tuple(name for name, kind in RECIPE_SETTINGS.items() if issubclass(kind, RetrainSettings))
"""Recipes that train anew; the others fine-tune the suspect. The two groups are never ranked as one:
fine-tuning needs clean pairs, retraining the training set and far more time."""

_CLEANCLIP = {
    "batch": 64,
    "rate": 1e-5,
    "steps": 62,
    "warmup_steps": 50,
    "beta2": 0.999,
    "epsilon": 1e-8,
}

PRESETS: dict[str, dict[str, dict]] = {
    "eftclip": {"quick": {}, "paper": {
        **_CLEANCLIP, "anchor_weight": 0.0, "clip_weight": 1.0, "hold_norms": False,
        "stamped_share": 0.5,
    }},
    "finetune": {"quick": {}, "paper": _CLEANCLIP},
    "cleanclip": {"quick": {}, "paper": {**_CLEANCLIP, "views": "autoaugment"}},
    "roclip": {
        "quick": {},
        "paper": {
            "batch": 512, "rate": 5e-5, "beta2": 0.999, "epsilon": 1e-8, "epochs": 24,
            "pool": 21_845, "blur": True, "smallest_crop": 0.08, "jitter": 0.5,
            "warmup_steps": 10_000, "evaluate_every": 1000,
        },
    },
    "filter": {
        "quick": {},
        # nobody published one: SafeCLIP's optimizer and number of epochs, for a fair row beside it
        "paper": {
            "batch": 128, "rate": 5e-4, "beta2": 0.999, "epsilon": 1e-8, "epochs": 32,
            "warmup_steps": 10_000, "evaluate_every": 1000,
        },
    },
    "safeclip": {
        "quick": {},
        "paper": {
            "batch": 128, "rate": 5e-4, "beta2": 0.999, "epsilon": 1e-8, "unimodal_epochs": 5,
            "slow_rates": (5e-6,), "main_epochs": 26, "growth": 0.01, "pool": 44_032,
            "both_views": True, "blur": True, "smallest_crop": 0.08, "jitter": 0.5,
            "warmup_steps": 10_000, "first_low": 0.001,
            "first_high": 0.85, "evaluate_every": 1000,
        },
    },
}  # fmt: skip
"""Departures from the defaults, by recipe and preset; `quick` is the defaults, for 2 cores."""


class RepairSettings(Settings):
    """One repair run."""

    recipe: Literal["eftclip", "safeclip", "cleanclip", "roclip", "filter", "finetune"] = Field(
        default="eftclip", title="Recipe"
    )
    preset: Literal["quick", "paper"] = Field(default="quick", title="Preset")
    changes: dict[str, Any] = Field(
        default={}, title="Changes", description="fields that depart from the preset"
    )
    test_pictures: int = Field(
        default=2000, ge=1, title="Test pictures", description="at most, in each evaluation"
    )
    retrieval_pairs: int = Field(
        default=500, ge=0, title="Pairs for retrieval",
        description="held out of the run, at most 2.5 % of all; 0 measures none",
    )  # fmt: skip
    measure_cost: bool = Field(
        default=True, title="Measure cost", description="time a few plain CLIP steps afterwards"
    )
    device: Device = "auto"


def recipe_settings(repair: RepairSettings) -> RecipeSettings:
    """The recipe's own settings: defaults, then the preset, then the changes.

    Raises:
        ConfigError: a change is unknown or out of range.
    """
    values = {**PRESETS[repair.recipe][repair.preset], **repair.changes}
    return parse(RECIPE_SETTINGS[repair.recipe], values)
