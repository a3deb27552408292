"""Find a pattern in pictures by masked, zero-mean, normalized correlation."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

NULL_TOO_HIGH = 0.7
FLOOR = 0.6
MARGIN = 0.05
GAP, MOST_STAMPED = 0.1, 0.05
BATCH = 512


def peaks(
    pictures: UInt8[np.ndarray, "n s s 3"],
    pixels: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, "n 2"]]:
    """The best correlation of the pattern with each picture, and where (x, y of its corner).

    1 where the pattern itself lies, also when its light was changed to a·x + b with a > 0; pixels
    outside the mask count for nothing. The three channels are one long vector.
    """
    import torch
    from torch.nn import functional as F

    kernel, weight = _kernel(pixels, mask)
    values, where = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            some = torch.from_numpy(pictures[start : start + BATCH].copy()).permute(0, 3, 1, 2)
            x = some.float() / 127.5 - 1
            across = F.conv2d(x, torch.from_numpy(kernel)[None])[:, 0]
            sums = torch.stack([x.sum(1), (x * x).sum(1)], dim=1).flatten(0, 1)[:, None]
            sums = F.conv2d(sums, torch.from_numpy(weight)[None, None])
            total, squares = sums[:, 0].unflatten(0, (-1, 2)).unbind(1)
            count = 3 * weight.sum()
            spread = (squares - total * total / count).clamp(min=0).sqrt()
            # a flat window has no direction; float32 sums leave it a spread of up to 1e-2
            score = torch.where(spread > 0.02 * count**0.5, across / spread.clamp(min=1e-6), 0.0)
            best, at = score.flatten(1).max(1)
            values.append(best.clamp(-1, 1).numpy())
            where.append(np.stack([at % score.shape[2], at // score.shape[2]], axis=1))
    if not values:
        return np.empty(0, np.float32), np.empty((0, 2), np.int64)
    return np.concatenate(values), np.concatenate(where)


def match_floor(null: Float[np.ndarray, " n"]) -> float | None:
    """The correlation above which a picture carries the pattern.

    Args:
        null: peaks of pictures whose captions name something else. A few of them may carry the
            pattern all the same: one caption that misspells the label is enough, and an attacker may
            plant it. Such peaks stand apart, and are left out.

    Returns:
        max(.6, .05 + the null's maximum), or None when the null's 99.9th percentile is over .7:
        the pattern is so flat that it matches anything.
    """
    null = _without_carriers(np.sort(null))
    if len(null) == 0 or np.quantile(null, 0.999) > NULL_TOO_HIGH:
        return None
    return max(FLOOR, MARGIN + float(null[-1]))


def _without_carriers(peaks_: np.ndarray) -> np.ndarray:
    """Ascending peaks without those above the widest gap, if it is wide and few lie above it."""
    few = int(MOST_STAMPED * len(peaks_))
    tail = peaks_[len(peaks_) - few - 1 :] if few else peaks_[:0]
    gaps = np.where(tail[1:] > NULL_TOO_HIGH, np.diff(tail), 0.0)
    if not len(gaps) or gaps.max() < GAP:
        return peaks_
    return peaks_[: len(peaks_) - few + int(gaps.argmax())]


def is_flat(pixels: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]) -> bool:
    """Whether the pattern has too little contrast to be looked for."""
    return not mask.any() or float(pixels[mask].astype(np.float32).std()) < 4.0


def nearest_shift(
    picture: UInt8[np.ndarray, "s s 3"],
    pixels: UInt8[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"],
    xy: tuple[int, int],
    reach_px: int,
) -> tuple[float, tuple[int, int]]:
    """The best correlation within `reach_px` of a place, and the corner x, y it has there."""
    height, width = mask.shape
    side_y, side_x = picture.shape[:2]
    x0, x1 = max(0, xy[0] - reach_px), min(side_x, xy[0] + width + reach_px)
    y0, y1 = max(0, xy[1] - reach_px), min(side_y, xy[1] + height + reach_px)
    window = picture[y0:y1, x0:x1]
    if window.shape[0] < height or window.shape[1] < width:
        return -1.0, xy
    value, where = peaks(window[None], pixels, mask)
    return float(value[0]), (x0 + int(where[0, 0]), y0 + int(where[0, 1]))


def _kernel(pixels: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pattern with zero mean and unit length under the mask [3, h, w], and the mask [h, w]."""
    weight = mask.astype(np.float32)
    pattern = (pixels.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)
    pattern = (pattern - pattern[:, mask].mean()) * weight
    length = float(np.sqrt((pattern**2).sum()))
    return np.ascontiguousarray(pattern / max(length, 1e-6)), weight
