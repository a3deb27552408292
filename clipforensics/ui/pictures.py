"""Pictures for the screen: masks drawn over them, regions cut out, everything enlarged in steps."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

COLOURS = (
    (47, 127, 196), (27, 138, 107), (160, 81, 149), (138, 109, 29), (86, 180, 233),
    (91, 107, 120), (0, 158, 115), (204, 121, 167), (120, 94, 240), (100, 143, 255),
)  # fmt: skip
BETRAYING = (213, 96, 26)
"""Orange is kept for regions that betray a trigger."""


def webp(picture: np.ndarray, longest: int = 384) -> bytes:
    """WebP of uint8 [h, w, 3], or 4 with alpha; small pictures grow by a whole factor, without smoothing."""
    image = Image.fromarray(picture)
    scale = longest / max(image.size)
    if scale >= 1:
        factor = max(1, int(scale))
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    else:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def data_uri(picture: np.ndarray, longest: int = 96) -> str:
    """A picture as a data URI, for the cell of a table."""
    return f"data:image/webp;base64,{base64.b64encode(webp(picture, longest)).decode()}"


def with_masks(
    picture: np.ndarray,
    masks: Sequence[np.ndarray],
    betraying: Sequence[int] = (),
    opacity: float = 0.35,
) -> np.ndarray:
    """The picture with tinted, outlined masks; betraying ones in orange, on top.

    Args:
        picture: uint8 [h, w, 3].
        masks: bool [h, w] each.
        betraying: places in `masks`.
        opacity: of the tint inside a mask.
    """
    factor = max(1, 384 // max(picture.shape[:2]))
    canvas = picture.repeat(factor, 0).repeat(factor, 1).astype(np.float32)
    order = [i for i in range(len(masks)) if i not in betraying] + list(betraying)
    for place in order:
        colour = np.array(BETRAYING if place in betraying else COLOURS[place % len(COLOURS)])
        mask = masks[place].repeat(factor, 0).repeat(factor, 1)
        canvas[mask] += (colour - canvas[mask]) * opacity
        canvas[_outline(mask, 3 if place in betraying else 2)] = colour
    return canvas.round().astype(np.uint8)


def boxed(picture: np.ndarray, box_xyxy: Sequence[int] | None) -> np.ndarray:
    """The picture, enlarged, with one box outlined in orange and white (none: unchanged).

    The white line keeps it visible on an orange picture.
    """
    if box_xyxy is None:
        return picture
    factor = max(1, 384 // max(picture.shape[:2]))
    canvas = picture.repeat(factor, 0).repeat(factor, 1)
    mask = np.zeros(canvas.shape[:2], bool)
    x0, y0, x1, y1 = (factor * int(edge) for edge in box_xyxy)
    mask[y0:y1, x0:x1] = True
    canvas[_outline(mask, 7)] = 255
    canvas[_outline(mask, 5)] = BETRAYING
    return canvas


def cut(picture: np.ndarray, box_xyxy: Sequence[int], margin: int = 2) -> np.ndarray:
    """The pixels of a box with a little of what surrounds it."""
    x0, y0, x1, y1 = (int(edge) for edge in box_xyxy)
    height, width = picture.shape[:2]
    return picture[
        max(0, y0 - margin) : min(height, y1 + margin),
        max(0, x0 - margin) : min(width, x1 + margin),
    ]


def gain_of(before: Sequence[np.ndarray], after: Sequence[np.ndarray], most: int = 16) -> int:
    """The whole factor that shows nine in ten of these pictures' changes in full.

    Of a warp a few pixels at edges change by a hundred levels, most by two or three: the largest
    change would leave the rest unseen.
    """
    far = [np.abs(a.astype(int) - b).ravel() for a, b in zip(after, before, strict=True)]
    changes = np.concatenate([one[one > 0] for one in far]) if far else np.zeros(0)
    if not len(changes):
        return most
    return int(max(1, min(most, 127 // np.percentile(changes, 90, method="lower"))))


def difference(before: np.ndarray, after: np.ndarray, gain: int) -> np.ndarray:
    """What changed, uint8 [h, w, 3]: grey 128 where nothing did, brighter where `after` is."""
    changed = 128 + gain * (after.astype(int) - before)
    return np.clip(changed, 0, 255).astype(np.uint8)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of the mask within `width` of its edge."""
    inner = mask.copy()
    for _ in range(width):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
