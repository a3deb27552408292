"""Four kinds of change that a full-picture trigger can be: mask, blend, colour and warp.

Each takes pictures in [0, 1] to changed ones, has a size that can be made small by gradient, and
is searched through free numbers without bounds. What is kept are its `values` in natural units,
so that a reviewer can wear a found trigger on any picture and read what it does.

Source: mask is Wang et al., "Neural Cleanse", IEEE S&P 2019; the other three are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional as F

from clipforensics.config.inversion import FamilyName

Pixels = Float[torch.Tensor, "n 3 s s"]
Free = list[torch.Tensor]
Values = dict[str, torch.Tensor]

GRID = 4
"""Control points of a warp, per axis."""
COLOUR_STEP = 0.1
"""A step of Adam at rate .1 moves a colour weight by .01, a mask's logit by .1."""
TINY = 1e-12


@dataclass(frozen=True)
class Family:
    """One kind of change.

    Attributes:
        name, unit: what it is called and what its size is counted in.
        start: (side, generator) to free numbers, float32.
        values: free numbers to natural units; differentiable.
        change: (values, pixels, strength) to changed pixels in [0, 1]; strength 0 changes nothing,
            1 wears the whole trigger.
        size: values to their size in `unit`; differentiable.
        full: side to the size that counts as 1 when size is weighed against success.
    """

    name: FamilyName
    unit: str
    start: Callable[[int, torch.Generator], Free]
    values: Callable[[Free], Values]
    change: Callable[[Values, Pixels, float], Pixels]
    size: Callable[[Values, int], torch.Tensor]
    full: Callable[[int], float]


def _noise(shape: tuple[int, ...], generator: torch.Generator, spread: float) -> torch.Tensor:
    return torch.randn(shape, generator=generator) * spread


def _mask_start(side: int, generator: torch.Generator) -> Free:
    return [
        _noise((1, side, side), generator, 0.1),
        _noise((3, side, side), generator, 0.1),
    ]


def _mask_values(free: Free) -> Values:
    return {"mask": torch.sigmoid(free[0]), "pattern": (torch.tanh(free[1]) + 1) / 2}


def _mask_change(values: Values, x: Pixels, strength: float) -> Pixels:
    return x + strength * values["mask"] * (values["pattern"] - x)


def _blend_start(side: int, generator: torch.Generator) -> Free:
    return [_noise((1,), generator, 0.1), _noise((3, side, side), generator, 0.1)]


def _blend_values(free: Free) -> Values:
    return {"opacity": torch.sigmoid(free[0]), "pattern": (torch.tanh(free[1]) + 1) / 2}


def _blend_change(values: Values, x: Pixels, strength: float) -> Pixels:
    return x + strength * values["opacity"] * (values["pattern"] - x)


def _colour_start(side: int, generator: torch.Generator) -> Free:
    return [_noise((3, 4), generator, 0.1)]


def _colour_values(free: Free) -> Values:
    return {"shift": COLOUR_STEP * free[0]}


def _colour_change(values: Values, x: Pixels, strength: float) -> Pixels:
    """Add `shift` [3, 4] times (r, g, b, 1) to every pixel: an affine map near the identity."""
    weights, offset = values["shift"][:, :3], values["shift"][:, 3]
    moved = torch.einsum("ij,njyx->niyx", weights, x) + offset[None, :, None, None]
    return (x + strength * moved).clamp(0, 1)


def _warp_start(side: int, generator: torch.Generator) -> Free:
    return [_noise((2, GRID, GRID), generator, 0.1)]


def _warp_values(free: Free) -> Values:
    return {"flow_px": free[0]}


def _warp_change(values: Values, x: Pixels, strength: float) -> Pixels:
    """Look up each pixel at its place plus its shift, bilinearly; edges hold."""
    side = x.shape[-1]
    shift = strength * _flow(values, side) * (2 / max(1, side - 1))
    axis = torch.linspace(-1, 1, side)
    y, x_ = torch.meshgrid(axis, axis, indexing="ij")
    at = torch.stack([x_ + shift[0], y + shift[1]], dim=-1)
    return F.grid_sample(
        x, at.expand(len(x), -1, -1, -1), padding_mode="border", align_corners=True
    ).clamp(0, 1)


def _flow(values: Values, side: int) -> Float[torch.Tensor, "2 s s"]:
    """Shifts in x and y, px, at every pixel."""
    grid = values["flow_px"][None]
    return F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=True)[0]


def _shift_size(values: Values, side: int) -> torch.Tensor:
    # the root has no slope at 0, where a fresh warp begins
    return (_flow(values, side).square().sum(dim=0) + TINY).sqrt().mean()


FAMILIES: dict[FamilyName, Family] = {
    "mask": Family(
        "mask", "px", _mask_start, _mask_values, _mask_change,
        lambda values, side: values["mask"].sum(), lambda side: float(side * side),
    ),
    "blend": Family(
        "blend", "opacity", _blend_start, _blend_values, _blend_change,
        lambda values, side: values["opacity"].sum(), lambda side: 1.0,
    ),
    "colour": Family(
        "colour", "distance", _colour_start, _colour_values, _colour_change,
        lambda values, side: (values["shift"].square().sum() + TINY).sqrt(), lambda side: 1.0,
    ),
    "warp": Family(
        "warp", "px shift", _warp_start, _warp_values, _warp_change,
        _shift_size, lambda side: side / 16,
    ),
}  # fmt: skip
"""Sizes: sum of the mask, px; opacity, 0 to 1; Frobenius distance of the 3 x 4 map from the
identity, pixels in [0, 1]; mean length of the shift, px."""


def worn(
    family: Family,
    values: Mapping[str, np.ndarray],
    pictures: UInt8[np.ndarray, "n s s 3"],
    strength: float = 1.0,
) -> UInt8[np.ndarray, "n s s 3"]:
    """The pictures with a found trigger, rounded to levels as a stored picture would be."""
    if not len(pictures):
        return pictures
    kept = {name: torch.from_numpy(np.asarray(one, np.float32)) for name, one in values.items()}
    with torch.inference_mode():
        changed = family.change(kept, to_pixels(pictures), strength)
    levels = (changed * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).numpy())


def to_pixels(pictures: UInt8[np.ndarray, "n s s 3"]) -> Pixels:
    """uint8 [n, s, s, 3] to float32 [n, 3, s, s] in [0, 1], channels last in memory."""
    planes = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return planes.float() / 255
