"""Attacks by name: each stamps one framed picture and can say where it touched it."""

from clipforensics.attacks.badnets import BadNets
from clipforensics.attacks.blend import Blend
from clipforensics.attacks.stamping import Attack
from clipforensics.config.attack import BadNetsSettings, BlendSettings


def build(settings: BadNetsSettings | BlendSettings, side: int) -> Attack:
    """The attack these settings describe, for pictures of `side` x `side` pixels.

    Raises:
        ConfigError: the trigger does not fit the picture.
    """
    if isinstance(settings, BadNetsSettings):
        return BadNets(settings, side)
    return Blend(settings, side)


__all__ = ["Attack", "BadNets", "Blend", "build"]
