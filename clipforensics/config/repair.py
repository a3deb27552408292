"""Settings of the repair recipes, with their presets."""

from typing import Any, Literal

from pydantic import Field, model_validator

from clipforensics.config.settings import Settings, parse
from clipforensics.config.train import OptimizerSettings


class FineTuneSettings(OptimizerSettings):
    """Fine-tune the suspect on a small clean pool: the control every repair must beat."""

    batch: int = Field(default=128, ge=2, title="Batch size", description="pairs per step")
    rate: float = Field(
        default=3e-4,
        gt=0,
        le=1,
        title="Peak learning rate",
        description="web-scale weights want 1e-5 to 3e-5",
    )
    pairs: int = Field(
        default=400,
        ge=2,
        title="Clean pairs",
        description="how many are curated; at most 2 % of the data is a fair comparison",
    )
    steps: int = Field(default=150, ge=1, title="Steps")
    warmup_steps: int = Field(default=20, ge=0, title="Warm-up steps")
    evaluate_every: int = Field(default=25, ge=1, title="Steps between evaluations")


class EftClipSettings(FineTuneSettings):
    """EftCLIP: fine-tune the suspect to answer rightly where a verified trigger is stamped."""

    anchor_weight: float = Field(
        default=10.0,
        ge=0,
        title="Anchor weight",
        description="pull to the frozen suspect's embedding of the un-stamped picture",
    )
    stamped_share: float = Field(
        default=0.5, gt=0, le=1, title="Stamped share", description="of each batch"
    )
    target_share: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        title="Target pairs",
        description="share of clean pairs that really show an affected label; never stamped",
    )
    size_low: float = Field(default=0.8, gt=0, le=1, title="Smallest trigger size", description="x")
    size_high: float = Field(default=1.4, ge=1, le=4, title="Largest trigger size", description="x")


class SafeClipSettings(OptimizerSettings):
    """SafeCLIP (Yang et al., ICML 2024): retrain on all pairs, but trust only those that agree."""

    start: Literal["random", "trusted", "suspect"] = Field(
        default="random",
        title="Start from",
        description="random weights or the trusted model; the suspect is refused",
    )
    model_seed: int = Field(default=0, ge=0, title="Seed of the initial weights")
    unimodal_epochs: int = Field(
        default=4, ge=0, title="Stage A epochs", description="each tower learns alone"
    )
    slow_rates: tuple[float, ...] = Field(
        default=(1e-5, 5e-5),
        title="Stage B rates",
        description="one slow CLIP epoch over all pairs at each rate",
    )
    main_epochs: int = Field(default=18, ge=1, title="Stage C epochs")
    first_share: float | None = Field(
        default=None, gt=0, lt=1, title="First safe share", description="empty: by mixture fit"
    )
    first_low: float = Field(default=0.05, gt=0, lt=1, title="Least first safe share")
    first_high: float = Field(default=0.60, gt=0, lt=1, title="Largest first safe share")
    growth: float = Field(
        default=0.04, ge=0, le=1, title="Growth per epoch", description="share of all pairs"
    )
    cap: float = Field(default=0.85, gt=0, le=1, title="Largest safe share")
    pool: int = Field(default=4096, ge=2, title="Pool size", description="per modality")
    both_views: bool = Field(
        default=False, title="Cross views", description="the released four-encoding CLIP loss"
    )
    blur: bool = Field(default=False, title="Blur", description="Gaussian, 21 pixels at 224")
    smallest_crop: float = Field(
        default=0.5, gt=0, le=1, title="Smallest crop",
        description="share of the picture; .08 as published may lose the thing the caption names",
    )  # fmt: skip
    jitter: float = Field(default=0.3, ge=0, lt=1, title="Colour jitter", description="at most")
    warmup_share: float = Field(
        default=0.05, ge=0, lt=1, title="Warm-up", description="of a stream"
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, title="Warm-up steps", description="at most 10 % of a stream"
    )
    evaluate_every: int = Field(default=156, ge=1, title="Steps between evaluations")

    @model_validator(mode="after")
    def _order(self) -> "SafeClipSettings":
        if self.first_low > self.first_high or self.first_high > self.cap:
            raise ValueError("first_low <= first_high <= cap is needed")
        return self


RECIPE_SETTINGS: dict[str, type[FineTuneSettings] | type[SafeClipSettings]] = {
    "eftclip": EftClipSettings,
    "safeclip": SafeClipSettings,
    "finetune": FineTuneSettings,
}

_CLEANCLIP = {
    "batch": 64,
    "rate": 1e-5,
    "steps": 62,
    "warmup_steps": 50,
    "beta2": 0.999,
    "epsilon": 1e-8,
}

PRESETS: dict[str, dict[str, dict]] = {
    "eftclip": {"quick": {}, "paper": {**_CLEANCLIP, "anchor_weight": 0.0}},
    "finetune": {"quick": {}, "paper": _CLEANCLIP},
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

    recipe: Literal["eftclip", "safeclip", "finetune"] = Field(default="eftclip", title="Recipe")
    preset: Literal["quick", "paper"] = Field(default="quick", title="Preset")
    changes: dict[str, Any] = Field(
        default={}, title="Changes", description="fields that depart from the preset"
    )
    test_pictures: int = Field(
        default=2000, ge=1, title="Test pictures", description="at most, in each evaluation"
    )
    measure_cost: bool = Field(
        default=True, title="Measure cost", description="time a few plain CLIP steps afterwards"
    )
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", title="Device",
        description="auto takes CUDA when there is one",
    )  # fmt: skip


def recipe_settings(repair: RepairSettings) -> FineTuneSettings | SafeClipSettings:
    """The recipe's own settings: defaults, then the preset, then the changes.

    Raises:
        ConfigError: a change is unknown or out of range.
    """
    values = {**PRESETS[repair.recipe][repair.preset], **repair.changes}
    return parse(RECIPE_SETTINGS[repair.recipe], values)
