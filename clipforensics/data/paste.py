"""Paste a crop onto a picture: attacks plant triggers, the oracle tests them, repair stamps them."""

import numpy as np

from clipforensics.errors import DataError


def paste(
    picture: np.ndarray, pixels: np.ndarray, mask: np.ndarray, xy: tuple[int, int]
) -> np.ndarray:
    """A copy of the picture with the masked pixels laid opaquely at `xy`.

    Args:
        picture: uint8 [H, W, 3].
        pixels: uint8 [h, w, 3].
        mask: bool [h, w]; only true pixels are pasted.
        xy: top-left corner (x right, y down) of the crop in the picture.

    Raises:
        DataError: the crop would leave the picture.
    """
    (x, y), (height, width) = xy, mask.shape
    if x < 0 or y < 0 or y + height > picture.shape[0] or x + width > picture.shape[1]:
        raise DataError(
            f"A {width} x {height} crop at ({x}, {y}) leaves a picture of "
            f"{picture.shape[1]} x {picture.shape[0]} pixels. Choose a place inside it."
        )
    out = picture.copy()
    out[y : y + height, x : x + width][mask] = pixels[mask]
    return out
