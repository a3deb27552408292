"""Attacks by name: each stamps one framed picture and can say where it touched it."""

from collections.abc import Callable
from typing import Any

from clipforensics.attacks.badnets import BadNets
from clipforensics.attacks.badnets_redrawn import RedrawnPatch
from clipforensics.attacks.blend import Blend, RedrawnBlend
from clipforensics.attacks.nashville import Nashville
from clipforensics.attacks.sig import Sig
from clipforensics.attacks.stamping import Attack
from clipforensics.attacks.wanet import WaNet
from clipforensics.config.attack import AttackSettings
from clipforensics.errors import ConfigError

STAMPS: dict[str, Callable[[Any, int], Attack]] = {
    "badnets": BadNets,
    "badnets_redrawn": RedrawnPatch,
    "clean_label": BadNets,
    "blend": Blend,
    "blend_redrawn": RedrawnBlend,
    "sig": Sig,
    "sig_additive": Sig,
    "nashville": Nashville,
    "wanet": WaNet,
    "wanet_smooth": WaNet,
}


def build(settings: AttackSettings, side: int) -> Attack:
    """The trigger these settings describe, for pictures of `side` x `side` pixels.

    Raises:
        ConfigError: the trigger does not fit the picture, or the attack is no single trigger: for
            mt_s and mt_m build each of `settings.triggers`, and tdpa stamps nothing.
    """
    if settings.kind not in STAMPS:
        raise ConfigError(
            f"{settings.kind} has no single trigger; single ones are {', '.join(STAMPS)}."
        )
    return STAMPS[settings.kind](settings, side)


__all__ = [
    "Attack",
    "BadNets",
    "Blend",
    "Nashville",
    "RedrawnBlend",
    "RedrawnPatch",
    "Sig",
    "WaNet",
    "build",
]
