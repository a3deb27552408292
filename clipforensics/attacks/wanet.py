"""WaNet (Nguyen and Tran, ICLR 2021): one fixed warp of all pictures, no pixel added."""

import numpy as np

from clipforensics.attacks.stamping import hash_of_pixels, to_levels
from clipforensics.config.attack import SmoothWaNetSettings, WaNetSettings

STEP_PX = 1 / 4096
"""Shifts are whole multiples of this, so that the last bit of a sum never changes the trigger."""


class WaNet:
    """`wanet` is a jitter of every pixel, `wanet_smooth` a warp of few control points.

    The first is what CleanCLIP and Huang et al. (2025) call WaNet: their grids have a control point
    at every pixel, so neighbours move independently. The second is WaNet's own (k = 4), without
    its noise mode (pictures with random warps and true labels). Huang et al. warp at 256 x 256 and
    resize afterwards, which weakens a jitter; we warp in the model's frame.
    """

    def __init__(self, settings: WaNetSettings | SmoothWaNetSettings, side: int) -> None:
        smooth = isinstance(settings, SmoothWaNetSettings)
        points = settings.control_points if smooth else side
        self._shift = shifts(points, settings.strength, settings.grid_seed, side)

    @property
    def shift_px(self) -> np.ndarray:
        """How far each pixel looks aside, x and y in pixels, float64 [side, side, 2]."""
        return self._shift

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the shifts."""
        return hash_of_pixels(self._shift)

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, None]:
        """Warp; nothing is drawn from `rng`."""
        return warped(base, self._shift), None


def shifts(points: int, strength: float, seed: int, side: int) -> np.ndarray:
    """n ~ U(-1, 1), n / mean |n|, upsampled, times strength (side - 1) / (2 side). float64 [S, S, 2].

    Args:
        points: control points per axis; `side` of them leave nothing to upsample.
        strength: s of the paper; its grid runs from -1 to 1, hence the factor to pixels.
        seed: of the noise.
        side: picture side S in pixels.
    """
    noise = np.random.default_rng([seed, points]).uniform(-1, 1, (points, points, 2))
    noise /= np.abs(noise).mean()
    if points != side:
        up = cubic(points, side)
        noise = np.einsum("yi,xj,ijc->yxc", up, up, noise)
    px = strength * noise * (side - 1) / (2 * side)
    return np.round(px / STEP_PX) * STEP_PX + 0.0


def cubic(points: int, side: int) -> np.ndarray:
    """Weights [side, points] of cubic upsampling, corners aligned, A = -0.75, edges repeated."""
    at = np.linspace(0, points - 1, side)
    first = np.minimum(np.floor(at).astype(int), points - 1)
    out = np.zeros((side, points))
    for step in (-1, 0, 1, 2):
        far = np.abs(at - (first + step))
        near_weight = (1.25 * far - 2.25) * far**2 + 1
        far_weight = ((-0.75 * far + 3.75) * far - 6) * far + 3
        weight = np.where(far <= 1, near_weight, np.where(far < 2, far_weight, 0))
        np.add.at(out, (np.arange(side), np.clip(first + step, 0, points - 1)), weight)
    return out


def warped(base: np.ndarray, shift_px: np.ndarray) -> np.ndarray:
    """Look up each pixel of uint8 [S, S, 3] at its place plus its shift, bilinearly; edges hold."""
    side = base.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float64)
    x, y = np.clip(x + shift_px[..., 0], 0, side - 1), np.clip(y + shift_px[..., 1], 0, side - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.minimum(left + 1, side - 1), np.minimum(top + 1, side - 1)
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    levels = base.astype(np.float64)
    upper = (1 - dx) * levels[top, left] + dx * levels[top, right]
    lower = (1 - dx) * levels[low, left] + dx * levels[low, right]
    return to_levels((1 - dy) * upper + dy * lower)
