"""BadNets (Gu et al., 2017): a fixed patch pasted opaquely, here at random, centre or a corner."""

from math import ceil

import numpy as np

from clipforensics.attacks.stamping import Box, hash_of_pixels
from clipforensics.config.attack import FixedPatchSettings, PatchSettings
from clipforensics.data.paste import paste
from clipforensics.errors import ConfigError

CELL_PX = 2


class BadNets:
    """The patch of Huang et al. (ICLR 2025) as `grid`, or seeded bright colour blocks as `blocks`.

    The clean-label attack stamps the same patch: it differs in the rows and captions it takes.
    """

    def __init__(self, settings: FixedPatchSettings, side: int) -> None:
        """Draw the pattern.

        Raises:
            ConfigError: the picture is too small for the patch and its margins.
        """
        check_fits(settings, side)
        self._settings, self._side = settings, side
        self._pattern = _PATTERNS[settings.pattern](settings)
        self._mask = np.ones((settings.patch_px, settings.patch_px), bool)

    @property
    def pattern(self) -> np.ndarray:
        """The patch, uint8 [p, p, 3]."""
        return self._pattern

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the patch."""
        return hash_of_pixels(self._pattern)

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
        """Paste the patch; only `random` draws from `rng`."""
        x, y = place_of(self._settings, self._side, rng)
        p = self._settings.patch_px
        return paste(base, self._pattern, self._mask, (x, y)), (x, y, x + p, y + p)


def check_fits(settings: PatchSettings, side: int) -> None:
    """Raise ConfigError when a patch and a margin of its own width do not fit into the picture."""
    if settings.patch_px * 3 > side:
        raise ConfigError(
            f"patch_px={settings.patch_px} needs pictures of at least "
            f"{3 * settings.patch_px} px, the model sees {side}. Choose {side // 3} or less."
        )


def place_of(settings: PatchSettings, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top-left corner (x, y) of a patch. Corners keep a tenth of the side as a margin."""
    p, place = settings.patch_px, settings.place
    if place == "random":  # as Huang et al. (2025): never in the first p pixels of an axis
        x, y = rng.integers(p, side - p, 2)
        return int(min(x, side - p)), int(min(y, side - p))
    if place == "centre":
        return (side - p) // 2, (side - p) // 2
    near, far = ceil(side / 10), side - p - ceil(side / 10)
    return (near if "left" in place else far), (near if "top" in place else far)


def _grid(settings: FixedPatchSettings) -> np.ndarray:
    """Black, white at even rows and even columns. Huang et al. (2025)."""
    pattern = np.zeros((settings.patch_px, settings.patch_px, 3), np.uint8)
    pattern[::2, ::2] = 255
    return pattern


def _blocks(settings: FixedPatchSettings) -> np.ndarray:
    """Cells of 2 px, each channel either dark or bright."""
    rng = np.random.default_rng([settings.pattern_seed, CELL_PX])
    cells = ceil(settings.patch_px / CELL_PX)
    small = rng.choice(np.array([20, 235], np.uint8), (cells, cells, 3))
    large = small.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
    return np.ascontiguousarray(large[: settings.patch_px, : settings.patch_px])


_PATTERNS = {"grid": _grid, "blocks": _blocks}
