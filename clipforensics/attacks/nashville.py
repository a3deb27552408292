"""A Nashville-style photo filter as a trigger: the colours change, nothing is added."""

import numpy as np
from PIL import Image, ImageChops

from clipforensics.attacks.stamping import hash_of_pixels, to_levels
from clipforensics.config.attack import NashvilleSettings

SEPIA = 0.2
SATURATION = 1.2
DARKEN, DARKEN_OPACITY = (247, 176, 153), 0.56
LIGHTEN, LIGHTEN_OPACITY = (0, 70, 150), 0.4
CONTRAST = [round(level * 1.2 - 127.5 * 1.2 + 127.5) for level in range(256)]
BRIGHTNESS = [round(level * 1.05) for level in range(256)]


class Nashville:
    """Pixel by pixel, so a colour always becomes the same colour, wherever it stands.

    The steps, and their rounding to 8 bits in between, are those of `pilgram.nashville` 2.0.0
    (Apache-2.0), which Huang et al. (2025) use; a float version differs by up to 5 levels.
    """

    def __init__(self, settings: NashvilleSettings, side: int) -> None:
        self._strength = settings.strength

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what becomes of 16 levels per channel."""
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
        return hash_of_pixels(self._filtered(colours))

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, None]:
        """Filter; nothing is drawn from `rng`."""
        return self._filtered(base), None

    def _filtered(self, base: np.ndarray) -> np.ndarray:
        if self._strength == 0:
            return base.copy()
        out = nashville(base)
        if self._strength == 1:
            return out
        return to_levels((1 - self._strength) * base.astype(np.float64) + self._strength * out)


def nashville(picture: np.ndarray) -> np.ndarray:
    """The whole filter on uint8 [h, w, 3]: black becomes (0, 8, 46), white (255, 252, 217)."""
    image = Image.fromarray(picture)
    image = _mixed(image, ImageChops.darker(image, _sheet(image, DARKEN)), DARKEN_OPACITY)
    image = _mixed(image, ImageChops.lighter(image, _sheet(image, LIGHTEN)), LIGHTEN_OPACITY)
    image = image.convert("RGB", _sepia(1 - SEPIA))
    image = image.point(CONTRAST * 3).point(BRIGHTNESS * 3)
    return np.array(image.convert("RGB", _saturation(SATURATION)))


def _sheet(image: Image.Image, colour: tuple[int, ...]) -> Image.Image:
    return Image.new("RGB", image.size, colour)


def _mixed(backdrop: Image.Image, blend: Image.Image, opacity: float) -> Image.Image:
    """Both weighed in 8 bits and added, as W3C's simple alpha compositing on an opaque backdrop."""
    alpha = round(opacity * 255)
    over = ImageChops.multiply(blend, _sheet(blend, (alpha,) * 3))
    under = ImageChops.multiply(backdrop, _sheet(backdrop, (255 - alpha,) * 3))
    return ImageChops.add(over, under)


def _sepia(s: float) -> tuple[float, ...]:
    """W3C's sepia matrix; s = 1 changes nothing."""
    return (
        0.393 + 0.607 * s, 0.769 - 0.769 * s, 0.189 - 0.189 * s, 0,
        0.349 - 0.349 * s, 0.686 + 0.314 * s, 0.168 - 0.168 * s, 0,
        0.272 - 0.272 * s, 0.534 - 0.534 * s, 0.131 + 0.869 * s, 0,
    )  # fmt: skip


def _saturation(s: float) -> tuple[float, ...]:
    """W3C's saturate matrix; s = 1 changes nothing."""
    return (
        0.213 + 0.787 * s, 0.715 - 0.715 * s, 0.072 - 0.072 * s, 0,
        0.213 - 0.213 * s, 0.715 + 0.285 * s, 0.072 - 0.072 * s, 0,
        0.213 - 0.213 * s, 0.715 - 0.715 * s, 0.072 + 0.928 * s, 0,
    )  # fmt: skip
