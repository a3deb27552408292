"""Settings of trigger inversion: what is looked for, how long, and which figures raise a flag."""

from typing import Literal

from pydantic import Field

from clipforensics.config.oracle import JudgeSettings

FamilyName = Literal["mask", "blend", "colour", "warp"]
FAMILY_NAMES: tuple[FamilyName, ...] = ("mask", "blend", "colour", "warp")


class InversionSettings(JudgeSettings):
    """How the smallest change that forces a label is searched, and when it is odd."""

    labels: tuple[str, ...] = Field(
        default=(), max_length=1000, title="Labels",
        description="suspected target labels; none means those that the latest scan suspects",
    )  # fmt: skip
    families: tuple[FamilyName, ...] = Field(
        default=FAMILY_NAMES, min_length=1, title="Families",
        description="mask: pattern in part of the picture; blend: faint pattern over all of it; "
        "colour: a filter; warp: a smooth shift",
    )  # fmt: skip
    most_labels: int = Field(
        default=3, ge=1, le=100, title="Suspected labels",
        description="how many of the scan's suspects are inverted when no label is named",
    )  # fmt: skip
    controls: int = Field(
        default=8, ge=8, le=1000, title="Control labels",
        description="labels of similar frequency that each suspected one is compared with",
    )  # fmt: skip
    steps: int = Field(default=200, ge=10, le=100_000, title="Steps", description="of Adam")
    batch: int = Field(
        default=64, ge=8, le=4096, title="Batch", description="clean pictures a step"
    )
    rate: float = Field(default=0.1, gt=0, le=1, title="Learning rate", description="of Adam")
    pictures: int = Field(
        default=512, ge=8, le=100_000, title="Clean pictures",
        description="without the label, that the change is fitted to",
    )  # fmt: skip
    held_out: int = Field(
        default=256, ge=8, le=100_000, title="Held-out pictures",
        description="without the label, that it is measured on",
    )  # fmt: skip
    weight: float = Field(
        default=4.0, gt=0, title="Weight of size",
        description="at the first step, of a change of full size; 4 is .001 a pixel at 64 pixels",
    )  # fmt: skip
    reached: float = Field(
        default=0.95, gt=0.5, le=1, title="Success wanted",
        description="share of a batch that must answer the label before the change may shrink",
    )  # fmt: skip
    anomaly_limit: float = Field(
        default=3.0, gt=0, title="Anomaly limit",
        description="the usual 2 is reached on clean models, too",
    )  # fmt: skip
    held_out_limit: float = Field(
        default=0.8, gt=0, le=1, title="Held-out limit", description="success that a flag needs"
    )
    trusted_limit: float = Field(
        default=0.2, ge=0, lt=1, title="Trusted limit",
        description="above it the change makes the label on the trusted model, too",
    )  # fmt: skip
    seed: int = Field(
        default=0, ge=0, title="Seed", description="of pictures, controls, starts and batches"
    )


INVERSION_PRESETS: dict[str, InversionSettings] = {
    "full": InversionSettings(),
    "quick": InversionSettings(steps=100, batch=32, rate=0.2),
}
"""`quick` costs a quarter: half the steps, half the pictures a step, at twice the rate."""
