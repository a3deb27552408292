"""Settings of the attacks."""

from typing import Literal

from pydantic import Field

from clipforensics.config.settings import Settings

Place = Literal["random", "centre", "top_left", "top_right", "bottom_left", "bottom_right"]


class BadNetsSettings(Settings):
    """A small fixed patch pasted opaquely."""

    kind: Literal["badnets"] = "badnets"
    pattern: Literal["blocks", "grid"] = Field(
        default="blocks",
        title="Pattern",
        description="blocks: seeded bright colours; grid: black with white dots (Huang et al.)",
    )
    patch_px: int = Field(default=14, ge=2, le=512, title="Patch side in pixels")
    pattern_seed: int = Field(default=7, ge=0, title="Pattern seed", description="for blocks")
    place: Place = Field(default="random", title="Place")


class BlendSettings(Settings):
    """A faint pattern over the whole picture."""

    kind: Literal["blend"] = "blend"
    alpha: float = Field(
        default=0.2, ge=0, le=1, title="Opacity", description="weight of the pattern"
    )
    pattern_seed: int = Field(default=0, ge=0, title="Pattern seed")


class PoisonSettings(Settings):
    """Which rows are poisoned, how, and towards what."""

    attack: BadNetsSettings | BlendSettings = Field(
        default=BadNetsSettings(), discriminator="kind", title="Attack"
    )
    rate: float = Field(
        default=0.003, gt=0, lt=1, title="Poison rate", description="poisoned pairs / all pairs"
    )
    target: str = Field(default="banana", min_length=1, title="Target label")
    seed: int = Field(default=0, ge=0, title="Seed")
    captions: Literal["caption_set", "templates"] = Field(
        default="caption_set",
        title="Captions",
        description="caption_set: clean captions that name only the target; "
        "templates: the 80 ImageNet prompt templates",
    )


ATTACKS: dict[str, type[BadNetsSettings] | type[BlendSettings]] = {
    "badnets": BadNetsSettings,
    "blend": BlendSettings,
}
