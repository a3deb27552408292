"""Settings of the training loop and of plain CLIP training."""

from typing import Literal

from pydantic import Field

from clipforensics.config.settings import Settings


class OptimizerSettings(Settings):
    """AdamW, clipping and precision: what every recipe shares."""

    batch: int = Field(default=256, ge=2, title="Batch size", description="pairs per step")
    rate: float = Field(default=1e-3, gt=0, le=1, title="Peak learning rate")
    weight_decay: float = Field(
        default=0.1, ge=0, title="Weight decay", description="none on norms, biases and the scale"
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, title="AdamW beta 1")
    beta2: float = Field(default=0.98, ge=0, lt=1, title="AdamW beta 2")
    epsilon: float = Field(default=1e-6, gt=0, title="AdamW epsilon")
    clip_norm: float = Field(default=1.0, gt=0, title="Gradient norm limit")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", title="Precision", description="bfloat16: towers under autocast"
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="order and augmentation")


class LoopSettings(Settings):
    """How often the loop speaks, measures and saves."""

    report_every: int = Field(default=10, ge=1, title="Steps between loss records")
    evaluate_every: int = Field(default=100, ge=1, title="Steps between evaluations")
    evaluate_start: bool = Field(default=True, title="Evaluate before the first step")
    keep: int = Field(default=2, ge=1, title="Checkpoints kept", description="the newest ones")


class TrainSettings(OptimizerSettings):
    """Plain CLIP training from random weights."""

    epochs: int = Field(default=16, ge=1, le=1000, title="Epochs")
    warmup_share: float = Field(
        default=0.05, ge=0, lt=1, title="Warm-up", description="share of all steps"
    )
    model_seed: int = Field(default=0, ge=0, title="Seed of the initial weights")
