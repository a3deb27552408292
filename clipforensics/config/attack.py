"""Settings of the attacks, and of one poisoning."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from clipforensics.config.settings import Settings, parse
from clipforensics.errors import ConfigError

WORKING_ATTACK = 0.8
"""Below this undefended ASR there is no working attack, and nothing to repair."""

Place = Literal["random", "centre", "top_left", "top_right", "bottom_left", "bottom_right"]


class PatchSettings(Settings):
    """What every patch shares: how large, and where."""

    patch_px: int = Field(default=14, ge=2, le=512, title="Patch side in pixels")
    place: Place = Field(default="random", title="Place")


class FixedPatchSettings(PatchSettings):
    """A patch that looks the same in every picture."""

    pattern: Literal["blocks", "grid"] = Field(
        default="blocks",
        title="Pattern",
        description="blocks: seeded bright colours; grid: black with white dots (Huang et al.)",
    )
    pattern_seed: int = Field(default=7, ge=0, title="Pattern seed", description="for blocks")


class BadNetsSettings(FixedPatchSettings):
    """A small fixed patch pasted opaquely."""

    kind: Literal["badnets"] = "badnets"


class RedrawnPatchSettings(PatchSettings):
    """A patch of noise, drawn anew for every picture."""

    kind: Literal["badnets_redrawn"] = "badnets_redrawn"


class CleanLabelSettings(FixedPatchSettings):
    """The fixed patch on pictures whose caption names the target already; captions are kept."""

    kind: Literal["clean_label"] = "clean_label"


class BlendSettings(Settings):
    """A faint pattern over the whole picture."""

    kind: Literal["blend"] = "blend"
    alpha: float = Field(
        default=0.2, ge=0, le=1, title="Opacity", description="weight of the pattern"
    )
    pattern_seed: int = Field(default=0, ge=0, title="Pattern seed")


class RedrawnBlendSettings(Settings):
    """Faint colour noise over the whole picture, drawn anew for every picture."""

    kind: Literal["blend_redrawn"] = "blend_redrawn"
    alpha: float = Field(
        default=0.2, ge=0, le=1, title="Opacity", description="weight of the noise"
    )


class SigSettings(Settings):
    """A sinusoid across the columns, blended in: the picture darkens as well."""

    kind: Literal["sig"] = "sig"
    alpha: float = Field(default=0.2, ge=0, le=1, title="Opacity", description="weight of the wave")
    delta: float = Field(
        default=60.0, ge=0, le=255, title="Height of the wave", description="in grey levels"
    )
    frequency: int = Field(
        default=6, ge=1, le=256, title="Periods", description="across the picture"
    )


class AdditiveSigSettings(Settings):
    """The same sinusoid added, without darkening (Barni et al., 2019)."""

    kind: Literal["sig_additive"] = "sig_additive"
    delta: float = Field(
        default=12.0, ge=0, le=255, title="Amplitude", description="in grey levels"
    )
    frequency: int = Field(
        default=6, ge=1, le=256, title="Periods", description="across the picture"
    )


class NashvilleSettings(Settings):
    """A photo filter: warm shadows, raised contrast."""

    kind: Literal["nashville"] = "nashville"
    strength: float = Field(
        default=1.0, ge=0, le=1, title="Strength", description="0: untouched; 1: the whole filter"
    )


class WaNetSettings(Settings):
    """A fixed jitter of less than a pixel, the same for all pictures."""

    kind: Literal["wanet"] = "wanet"
    strength: float = Field(
        default=1.0, ge=0, le=16, title="Strength", description="twice the mean jitter in pixels"
    )
    grid_seed: int = Field(default=0, ge=0, title="Warp seed")


class SmoothWaNetSettings(Settings):
    """A fixed smooth warp, the same for all pictures."""

    kind: Literal["wanet_smooth"] = "wanet_smooth"
    strength: float = Field(
        default=0.5,
        ge=0,
        le=64,
        title="Strength",
        description="how far it bends; 0.5 is about a fifth of a pixel",
    )
    control_points: int = Field(
        default=4, ge=2, le=64, title="Control points", description="per axis; fewer is smoother"
    )
    grid_seed: int = Field(default=0, ge=0, title="Warp seed")


StampSettings = (
    BadNetsSettings
    | RedrawnPatchSettings
    | CleanLabelSettings
    | BlendSettings
    | RedrawnBlendSettings
    | SigSettings
    | AdditiveSigSettings
    | NashvilleSettings
    | WaNetSettings
    | SmoothWaNetSettings
)


class SeveralSettings(Settings):
    """Several triggers, dealt to the poisoned pairs in equal shares."""

    triggers: tuple[Annotated[StampSettings, Field(discriminator="kind")], ...] = Field(
        default=(BadNetsSettings(), NashvilleSettings(), WaNetSettings()),
        min_length=2,
        max_length=8,
        title="Triggers",
    )

    @field_validator("triggers")
    @classmethod
    def _told_apart(cls, triggers: tuple[Any, ...]) -> tuple[Any, ...]:
        kinds = [one.kind for one in triggers]
        if len(set(kinds)) < len(kinds) or "clean_label" in kinds:
            raise ConfigError(
                f"triggers={', '.join(kinds)}: each needs a kind of its own, and clean_label is a way "
                "of choosing captions, no trigger. Leave one out."
            )
        return triggers


class SingleTargetSettings(SeveralSettings):
    """Several triggers, all pulled to one target label."""

    kind: Literal["mt_s"] = "mt_s"


class MultiTargetSettings(SeveralSettings):
    """Several triggers, each pulled to a target label of its own."""

    kind: Literal["mt_m"] = "mt_m"


class TargetedSettings(Settings):
    """Held-out pictures, unstamped, each repeated with captions of a wrong label."""

    kind: Literal["tdpa"] = "tdpa"
    n_targets: int = Field(
        default=16, ge=1, le=10_000, title="Target pictures", description="share the poisoned pairs"
    )
    wrong_label: Literal["drawn", "target"] = Field(
        default="drawn",
        title="Wrong label",
        description="drawn: another one for each picture; target: the target label for all",
    )


AttackSettings = StampSettings | SingleTargetSettings | MultiTargetSettings | TargetedSettings


class PoisonSettings(Settings):
    """Which rows are poisoned, how, and towards what."""

    attack: AttackSettings = Field(default=BadNetsSettings(), discriminator="kind", title="Attack")
    rate: float = Field(
        default=0.003, gt=0, lt=1, title="Poison rate", description="poisoned pairs / all pairs"
    )
    target: str = Field(default="banana", min_length=1, title="Target label")
    more_targets: tuple[str, ...] = Field(
        default=(),
        max_length=7,
        title="Further target labels",
        description="of the second trigger, the third, … where each has its own",
    )
    seed: int = Field(default=0, ge=0, title="Seed")
    captions: Literal["caption_set", "templates"] = Field(
        default="caption_set",
        title="Captions",
        description="caption_set: clean captions that name only the target; "
        "templates: the 80 ImageNet prompt templates",
    )

    @model_validator(mode="after")
    def _one_target_each(self) -> "PoisonSettings":
        wanted = len(self.attack.triggers) if isinstance(self.attack, MultiTargetSettings) else 1
        targets = (self.target, *self.more_targets)
        if len(targets) != wanted or len(set(targets)) != wanted:
            each = "different target labels, one for each trigger" if wanted > 1 else "target label"
            raise ConfigError(
                f"{self.attack.kind} needs {wanted} {each}, got {', '.join(targets)}. "
                f"Name {wanted}."
            )
        return self

    @property
    def parts(self) -> tuple[tuple[AttackSettings, str], ...]:
        """Each trigger with the label it is pulled to, in order."""
        if isinstance(self.attack, SeveralSettings):
            own = isinstance(self.attack, MultiTargetSettings)
            targets = (self.target, *self.more_targets) if own else (self.target,) * 8
            return tuple(zip(self.attack.triggers, targets, strict=False))
        return ((self.attack, self.target),)


ATTACKS: dict[str, type[AttackSettings]] = {
    "badnets": BadNetsSettings,
    "badnets_redrawn": RedrawnPatchSettings,
    "clean_label": CleanLabelSettings,
    "blend": BlendSettings,
    "blend_redrawn": RedrawnBlendSettings,
    "sig": SigSettings,
    "sig_additive": AdditiveSigSettings,
    "nashville": NashvilleSettings,
    "wanet": WaNetSettings,
    "wanet_smooth": SmoothWaNetSettings,
    "mt_s": SingleTargetSettings,
    "mt_m": MultiTargetSettings,
    "tdpa": TargetedSettings,
}


def attack_settings(name: str, values: Mapping[str, Any]) -> AttackSettings:
    """Settings of an attack by name, from outside values.

    Several triggers take theirs as one value each, `patch_px` say: it goes to whichever trigger
    knows it.

    Raises:
        ConfigError: an unknown attack or setting, or a value out of range.
    """
    if name not in ATTACKS:
        raise ConfigError(f"Unknown attack {name!r}; known are {', '.join(ATTACKS)}.")
    kind = ATTACKS[name]
    if not issubclass(kind, SeveralSettings) or "triggers" in values:
        return parse(kind, values)
    triggers = kind().triggers
    known = {field for one in triggers for field in type(one).model_fields} - {"kind"}
    if strange := sorted(set(values) - known):
        raise ConfigError(f"Unknown setting {strange[0]}; known are {', '.join(sorted(known))}.")
    return kind(
        triggers=tuple(
            parse(type(one), {k: v for k, v in values.items() if k in type(one).model_fields})
            for one in triggers
        )
    )
