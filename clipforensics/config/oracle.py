"""Settings of the oracle: how regions are cut, when a label counts as seen, what makes a trigger."""

from typing import Literal

from pydantic import Field

from clipforensics.config.detect import CaseDetectorName, DensitySettings, ReferenceSettings
from clipforensics.config.settings import Settings


class SegmenterSettings(Settings):
    """How SAM's prompts are laid out, and which of its masks are kept."""

    points_per_side: int = Field(
        default=12, ge=1, le=128, title="Points per side",
        description="a regular grid of this many points squared is asked for masks",
    )  # fmt: skip
    points_per_batch: int = Field(
        default=256, ge=1, le=4096, title="Points per batch",
        description="points decoded at once; lower it when memory is short",
    )  # fmt: skip
    predicted_iou_floor: float = Field(
        default=0.0, ge=0, le=1, title="Predicted IoU floor",
        description="masks that the segmenter itself trusts less are dropped",
    )  # fmt: skip
    stability_floor: float = Field(
        default=0.0, ge=0, le=1, title="Stability floor",
        description="masks that change more with the threshold are dropped; 0 for the small SAM",
    )  # fmt: skip
    crop_layers: int = Field(
        default=0, ge=0, le=2, title="Crop layers",
        description="1 looks again at four overlapping crops, for patches under 5 % of the side",
    )  # fmt: skip
    box_nms: float = Field(
        default=0.9, gt=0, le=1, title="Overlap allowed",
        description="of two boxes that overlap more than this, the less trusted one is dropped",
    )  # fmt: skip
    keep: int = Field(
        default=60, ge=1, le=500, title="Masks kept", description="at most, per picture"
    )
    drop_first: Literal["least_trusted", "largest"] = Field(
        default="least_trusted", title="Dropped first",
        description="what goes when there are more masks than are kept",
    )  # fmt: skip
    minimum_area_px: int = Field(
        default=4, ge=1, title="Smallest mask, pixels", description="of the suspect's input"
    )
    minimum_area_share: float = Field(
        default=0.0, ge=0, lt=1, title="Smallest mask, share", description="of the picture's area"
    )
    boxes_only: bool = Field(
        default=False, title="Boxes only", description="fast mode: each mask becomes its box"
    )


SEGMENTER_PRESETS: dict[str, SegmenterSettings] = {
    "small": SegmenterSettings(),
    "official": SegmenterSettings(
        points_per_side=32, points_per_batch=64, predicted_iou_floor=0.80, stability_floor=0.85,
        keep=100, drop_first="largest",
    ),
    "fast": SegmenterSettings(
        points_per_side=8, points_per_batch=64, keep=30, minimum_area_px=1,
        minimum_area_share=0.002, boxes_only=True,
    ),
}  # fmt: skip
"""`small` for the bundled SAM, `official` for Meta's checkpoints, `fast` for either."""


class OracleSettings(Settings):
    """When a label counts as seen in the picture, and which regions become candidates."""

    tau: int = Field(
        default=3, ge=1, le=100, title="List length",
        description="how many of the suspect's first answers are checked against the picture",
    )  # fmt: skip
    theta: float = Field(
        default=0.66, gt=0, lt=1, title="Confidence",
        description="the trusted model must be this sure of a label in some region to have seen it",
    )  # fmt: skip
    refeed: float = Field(
        default=0.5, gt=0, lt=1, title="Region confidence",
        description="the suspect must be this sure of the label on the region alone",
    )  # fmt: skip
    tested_per_label: int = Field(
        default=3, ge=1, le=20, title="Regions tested per label",
        description="the most confident ones go to the paste test; the first verified wins",
    )  # fmt: skip
    background_texts: tuple[str, ...] = Field(
        default=("a plain background", "an abstract pattern", "text"), title="Background texts",
        description="what the trusted model may answer when a region shows none of the labels",
    )  # fmt: skip
    same_label_cosine: float = Field(
        default=0.9, gt=0, le=1, title="Same-label cosine",
        description="labels whose texts are closer than this share one probability",
    )  # fmt: skip


class JudgeSettings(Settings):
    """What a trusted model must know of the labels, to acquit or to convict."""

    judge_recall: float = Field(
        default=0.7, ge=0, le=1, title="Recall of the trusted model",
        description="where it surely names fewer clean pictures' labels than this, it cannot judge",
    )  # fmt: skip
    label_recall: float = Field(
        default=0.5, ge=0, le=1, title="Recall of one label",
        description="the same of a label's own pictures; lower, since its own poison lowers it",
    )  # fmt: skip


class VerifySettings(JudgeSettings):
    """The paste test: how many clean pictures, and which figures make a trigger."""

    n_screen: int = Field(
        default=40, ge=8, le=10_000, title="Pictures to screen",
        description="clean pictures that every candidate is pasted on",
    )  # fmt: skip
    n_confirm: int = Field(
        default=200, ge=8, le=100_000, title="Pictures to confirm",
        description="clean pictures for candidates that pass the screen",
    )  # fmt: skip
    controls: int = Field(
        default=100, ge=100, le=10_000, title="Control crops",
        description="for each cluster tested, so that Holm's p can reach .01 however many there are",
    )  # fmt: skip
    object_flip: float = Field(
        default=0.2, gt=0, le=1, title="Object limit",
        description="flips of the trusted model above this mean a real object, not a trigger",
    )  # fmt: skip
    objects: int = Field(
        default=20, ge=0, le=1000, title="Real objects",
        description="of the label that turn the suspect when pasted likewise, wanted before anything "
        "is called a trigger; 0: none",
    )  # fmt: skip
    objects_known: float = Field(
        default=0.8, ge=0, le=1, title="Real objects known",
        description="where the trusted model takes fewer of them for real, it cannot judge",
    )  # fmt: skip
    weak_flip: float = Field(
        default=0.5, gt=0, lt=1, title="Weak limit",
        description="Wilson's lower end and the gap to the trusted model must reach this",
    )  # fmt: skip
    alpha: float = Field(
        default=0.05, gt=0, lt=1, title="Chance limit", description="Holm's p above this is chance"
    )
    labels_flipped: int = Field(
        default=5, ge=1, title="Labels flipped",
        description="flips from fewer labels than this make the trigger narrow",
    )  # fmt: skip
    large_share: float = Field(
        default=0.25, gt=0, le=1, title="Large limit", description="share of the picture's area"
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="clean pictures and random places")


class HuntSettings(Settings):
    """Which pairs the oracle looks at, and how."""

    top: int = Field(
        default=200, ge=1, le=100_000, title="Pairs to inspect",
        description="the most suspicious by detection score",
    )  # fmt: skip
    detector: CaseDetectorName = Field(
        default="combined", title="Detector", description="orders the pairs; see the Map page"
    )
    density: DensitySettings = Field(default=DensitySettings(), title="Density")
    reference: ReferenceSettings = Field(default=ReferenceSettings(), title="Reference sets")
    fast: bool = Field(
        default=False, title="Fast mode", description="boxes instead of masks, fewer of them"
    )
    oracle: OracleSettings = Field(default=OracleSettings(), title="Oracle")
    verify: VerifySettings = Field(default=VerifySettings(), title="Paste test")
