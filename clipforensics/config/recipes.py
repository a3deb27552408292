"""What each repair recipe can be told; its presets are in `config.repair`."""

from typing import Literal

from pydantic import Field, model_validator

from clipforensics.config.detect import CaseDetectorName, DensitySettings, ReferenceSettings
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
    target_share: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        title="Target share",
        description="share of clean pairs that really show an affected label; never stamped",
    )
    left_out_pairs: tuple[str, ...] = Field(
        default=(), max_length=10_000, title="Left-out pairs", description="ids never learned from"
    )
    left_out_labels: tuple[str, ...] = Field(
        default=(), max_length=10_000, title="Left-out labels",
        description="no pair whose caption names one of them is learned from",
    )  # fmt: skip
    steps: int = Field(default=150, ge=1, title="Steps")
    warmup_steps: int = Field(
        default=20, ge=0, title="Warm-up steps", description="at most a fifth of the steps"
    )
    hold_norms: bool = Field(
        default=False, title="Hold batch norms",
        description="keep the suspect's mean and variance; models without batch norms do not change",
    )  # fmt: skip
    evaluate_every: int = Field(default=25, ge=1, title="Steps between evaluations")


class EftClipSettings(FineTuneSettings):
    """EftCLIP: fine-tune the suspect to answer rightly where a verified trigger is stamped."""

    hold_norms: bool = Field(
        default=True, title="Hold batch norms",
        description="keep the suspect's mean and variance: stamped batches would move them",
    )  # fmt: skip
    clip_weight: float = Field(
        default=0.0,
        ge=0,
        title="CLIP weight",
        description="of the CLIP loss over the small pool; 0 leaves the caption tower as it is",
    )
    anchor_weight: float = Field(
        default=10.0,
        ge=0,
        title="Anchor weight",
        description="pull to the frozen suspect's embedding of the un-stamped picture",
    )
    stamped_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        title="Stamped share",
        description="of each batch; more of it costs clean accuracy",
    )
    size_low: float = Field(
        default=0.8, gt=0, le=1, title="Smallest trigger size", description="times that found"
    )
    size_high: float = Field(
        default=1.4, ge=1, le=4, title="Largest trigger size", description="times that found"
    )

    @model_validator(mode="after")
    def _one_loss(self) -> "EftClipSettings":
        if not self.clip_weight and not self.anchor_weight:
            raise ValueError("clip_weight or anchor_weight must be above 0")
        return self


class CleanClipSettings(FineTuneSettings):
    """CleanCLIP (Bansal et al., ICCV 2023): fine-tune on clean pairs, each modality against itself."""

    in_modal_weight: float = Field(
        default=1.0, ge=0, title="In-modal weight", description="of the loss inside each modality"
    )
    views: Literal["crops", "autoaugment"] = Field(
        default="crops",
        title="Second picture view",
        description="crop, flip and jitter per picture; or AutoAugment as released, slower",
    )
    smallest_crop: float = Field(
        default=0.5, gt=0, le=1, title="Smallest crop", description="share of the picture"
    )
    jitter: float = Field(default=0.3, ge=0, lt=1, title="Colour jitter", description="at most")


class RetrainSettings(OptimizerSettings):
    """Train anew on the suspect pairs: where that starts from."""

    start: Literal["random", "trusted", "suspect"] = Field(
        default="random",
        title="Start from",
        description="random weights or the trusted model; the suspect is refused",
    )
    model_seed: int = Field(default=0, ge=0, title="Seed of the initial weights")


class SafeClipSettings(RetrainSettings):
    """SafeCLIP (Yang et al., ICML 2024): retrain on all pairs, but trust only those that agree."""

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
        default=0.08, ge=0, le=1, title="Growth per epoch", description="share of all pairs"
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
        if self.first_share is not None and self.first_share > self.cap:
            raise ValueError("first_share <= cap is needed")
        return self


class EpochsSettings(RetrainSettings):
    """A retraining that goes over its pairs a given number of times."""

    epochs: int = Field(default=16, ge=1, le=1000, title="Epochs")
    warmup_share: float = Field(
        default=0.05, ge=0, lt=1, title="Warm-up", description="share of all steps"
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, title="Warm-up steps", description="at most 10 % of all steps"
    )
    evaluate_every: int = Field(default=156, ge=1, title="Steps between evaluations")


class RoClipSettings(EpochsSettings):
    """RoCLIP (Yang et al., NeurIPS 2023): every second epoch a picture meets another's caption."""

    pool: int = Field(default=4096, ge=2, title="Pool size", description="caption embeddings")
    pool_every: int = Field(
        default=2,
        ge=2,
        title="Pool epochs",
        description="every n-th epoch matches against the pool",
    )
    blur: bool = Field(default=False, title="Blur", description="Gaussian, 21 pixels at 224")
    smallest_crop: float = Field(
        default=0.5, gt=0, le=1, title="Smallest crop", description="share of the picture"
    )
    jitter: float = Field(default=0.3, ge=0, lt=1, title="Colour jitter", description="at most")


class FilterSettings(EpochsSettings):
    """Drop the pairs that score highest, and train anew on the rest."""

    drop_share: float = Field(
        default=0.05, gt=0, lt=1, title="Dropped share", description="of all pairs"
    )
    at_random: bool = Field(
        default=False, title="Drop at random", description="the control; ASR must stay high"
    )
    detector: CaseDetectorName = Field(default="combined", title="Detector")
    density: DensitySettings = Field(default=DensitySettings(), title="Density")
    reference: ReferenceSettings = Field(default=ReferenceSettings(), title="Reference sets")
