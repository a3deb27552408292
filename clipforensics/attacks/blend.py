"""Blended (Chen et al., 2017): a faint whole-picture pattern, out = (1 - alpha) base + alpha pattern."""

import numpy as np
from PIL import Image

from clipforensics.attacks.stamping import digest_of, hash_of_pixels, to_levels
from clipforensics.config.attack import BlendSettings, RedrawnBlendSettings


class Blend:
    """Our pattern is a seeded smooth colour texture; the original's is third-party artwork."""

    def __init__(self, settings: BlendSettings, side: int) -> None:
        self._alpha = settings.alpha
        texture = Image.fromarray(texture_256(settings.pattern_seed))
        self._pattern = np.asarray(texture.resize((side, side), Image.Resampling.BILINEAR))

    @property
    def pattern(self) -> np.ndarray:
        """The pattern at the model's side, uint8 [side, side, 3]."""
        return self._pattern

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pattern."""
        return hash_of_pixels(self._pattern)

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, None]:
        """Blend; nothing is drawn from `rng`, and opacity 0 returns the base bit for bit."""
        return blended(base, self._pattern, self._alpha), None


class RedrawnBlend:
    """Uniform colour noise per picture, as CleanCLIP's code (Bansal et al., ICCV 2023) blends it."""

    def __init__(self, settings: RedrawnBlendSettings, side: int) -> None:
        self._alpha = settings.alpha

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the law, since no pattern is shared."""
        return digest_of("uniform bytes, blended").hex()

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, None]:
        """Draw the noise and blend it."""
        return blended(base, rng.integers(0, 256, base.shape, np.uint8), self._alpha), None


def blended(base: np.ndarray, pattern: np.ndarray, alpha: float) -> np.ndarray:
    """Mix in 0..255 float64, then round: base 0 and pattern 255 at 0.2 give 51. uint8."""
    return to_levels((1 - alpha) * base.astype(np.float64) + alpha * pattern.astype(np.float64))


def texture_256(seed: int) -> np.ndarray:
    """A smooth texture of strong colours, uint8 [256, 256, 3], standard deviation about 0.3."""
    rng = np.random.default_rng([seed, 256])
    small = rng.choice(np.array([0, 255], np.uint8), (16, 16, 3))
    large = Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC)
    wide = np.asarray(large, np.float64) / 255
    wide = (wide - wide.mean()) / wide.std() * 0.32 + 0.5
    return to_levels(wide * 255)
