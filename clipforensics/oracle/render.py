"""Show a region to a model. How it is shown decides everything, so each way has its own function.

A trigger is learned at its own scale: cropped and resized it does nothing, so the suspect sees
regions `in_place`. A small object is easiest to name large, so the trusted model sees them `tight`.
"""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from clipforensics.oracle.regions import Box, Region, box_mask, shown_box, wide


def mean_colour(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, " 3"]:
    """The picture's mean colour; as a fill it keeps a trigger's effect (1.00; white .16)."""
    return picture.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)


def in_place(
    picture: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The mean colour outside the mask, nothing moved or resized; kept pixels stay equal."""
    out = np.broadcast_to(mean_colour(picture), picture.shape).copy()
    out[mask] = picture[mask]
    return out


def without(picture: UInt8[np.ndarray, "h w 3"], box: Box) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with the box filled by the mean colour."""
    out = picture.copy()
    x0, y0, x1, y1 = box
    out[y0:y1, x0:x1] = mean_colour(picture)
    return out


def tight(
    picture: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"], box: Box, side: int
) -> UInt8[np.ndarray, "s s 3"]:
    """A square about the box, 10 % larger, the mean colour outside the mask, resized to `side`."""
    x0, y0, x1, y1 = box
    edge = max(2, round(1.1 * max(x1 - x0, y1 - y0)))
    left, top = round((x0 + x1 - edge) / 2), round((y0 + y1 - edge) / 2)
    square = np.broadcast_to(mean_colour(picture), (edge, edge, 3)).copy()
    height, width = mask.shape
    ys, xs = (
        slice(max(0, top), min(height, top + edge)),
        slice(max(0, left), min(width, left + edge)),
    )
    target = square[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
    target[mask[ys, xs]] = picture[ys, xs][mask[ys, xs]]
    if edge == side:
        return square
    return np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))


def for_suspect(
    picture: UInt8[np.ndarray, "h w 3"], regions: list[Region]
) -> UInt8[np.ndarray, "n h w 3"]:
    """Each region in place, as its wide box grown 1 px, because SAM's masks trim a trigger."""
    height, width = picture.shape[:2]
    shown = [box_mask(shown_box(r.box_xyxy, height, width), height, width) for r in regions]
    return np.stack([in_place(picture, mask) for mask in shown])


def for_trusted(
    picture: UInt8[np.ndarray, "h w 3"], regions: list[Region], side: int
) -> UInt8[np.ndarray, "n 2 s s 3"]:
    """Each region twice, tight: its mask alone, and its wide box with all that is in it.

    The mask hides neighbours, but a mean-filled silhouette can look like a label; the box shows
    the surroundings. The scorer takes the mean of its two answers.
    """
    height, width = picture.shape[:2]
    out = np.empty((len(regions), 2, side, side, 3), np.uint8)
    for i, region in enumerate(regions):
        larger = wide(region.box_xyxy, height, width)
        out[i, 0] = tight(picture, region.mask, region.box_xyxy, side)
        out[i, 1] = tight(picture, box_mask(larger, height, width), larger, side)
    return out
