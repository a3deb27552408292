"""BadNets as in CleanCLIP's code: a square of noise, drawn anew for every picture."""

import numpy as np

from clipforensics.attacks.badnets import check_fits, place_of
from clipforensics.attacks.stamping import Box, digest_of
from clipforensics.config.attack import RedrawnPatchSettings
from clipforensics.data.paste import paste


class RedrawnPatch:
    """Uniform bytes: any noisy square becomes the trigger.

    CleanCLIP (Bansal et al., ICCV 2023) adds N(0, 1) to each channel's mean in [0, 1] and casts to
    8 bits without clipping; the cast wraps, so its bytes are uniform too. It draws again at every
    call; ours is drawn once for each row, so that a row can be remade.
    """

    def __init__(self, settings: RedrawnPatchSettings, side: int) -> None:
        """Check the size.

        Raises:
            ConfigError: the picture is too small for the patch and its margins.
        """
        check_fits(settings, side)
        self._settings, self._side = settings, side
        self._mask = np.ones((settings.patch_px, settings.patch_px), bool)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the law, since no pattern is shared."""
        return digest_of(f"uniform bytes {self._settings.patch_px}").hex()

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
        """Draw the place, then the noise, and paste it."""
        x, y = place_of(self._settings, self._side, rng)
        p = self._settings.patch_px
        noise = rng.integers(0, 256, (p, p, 3), np.uint8)
        return paste(base, noise, self._mask, (x, y)), (x, y, x + p, y + p)
