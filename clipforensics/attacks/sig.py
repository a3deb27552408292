"""SIG (Barni et al., 2019): a sinusoid across the columns, the same in all rows and channels."""

import numpy as np

from clipforensics.attacks.stamping import hash_of_pixels, to_levels
from clipforensics.config.attack import AdditiveSigSettings, SigSettings


class Sig:
    """`sig` blends the wave in, out = (1 - alpha) base + alpha delta sin(2 pi f x / S).

    So do Huang et al. (2025) and CleanCLIP, and the darkening by 1 - alpha is part of their
    trigger. `sig_additive` adds the wave alone, as SIG's own paper does. Huang et al. squash to
    256 x 256 and leave the last 32 rows and columns without a wave; ours fills the model's frame.
    """

    def __init__(self, settings: SigSettings | AdditiveSigSettings, side: int) -> None:
        wave = np.sin(2 * np.pi * settings.frequency * np.arange(side) / side)
        alpha = settings.alpha if isinstance(settings, SigSettings) else None
        self._keep = 1.0 if alpha is None else 1 - alpha
        # a millionth of a level: sines of two machines differ less, and 0 stays 0
        self._wave = np.round((1.0 if alpha is None else alpha) * settings.delta * wave, 6) + 0.0

    @property
    def wave(self) -> np.ndarray:
        """What is added to each column, in grey levels, float64 [side]."""
        return self._wave

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the wave and of the weight of the picture."""
        return hash_of_pixels(np.append(self._wave, self._keep))

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, None]:
        """Lay the wave over every row; nothing is drawn from `rng`."""
        return to_levels(self._keep * base.astype(np.float64) + self._wave[None, :, None]), None
