"""What the sightings of a cluster have in common: the trigger, cut clean by consensus."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from clipforensics.oracle.bank import Sighting, core_of, lies_in
from clipforensics.oracle.matching import is_flat, nearest_shift
from clipforensics.oracle.pasting import cut
from clipforensics.oracle.regions import Box, area

LEAST_PIXELS = 4  # of an agreed pattern
MEMBERS, MEMBER_CORRELATION = 5, 0.6
REFERENCES = 8  # sightings that others are held against in turn, and about as many of every size
SAME_PICTURE = 0.99  # correlation of two whole pictures, from which one is a copy of the other
SHIFT_PX = 4  # two boxes, each up to 2 px off
STEADY_LEVELS = 8


@dataclass(frozen=True)
class Agreed:
    """The pattern that several sightings have in common, and where it lies in one of them."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    mask: np.ndarray  # bool [h, w]
    pair: str
    box_xyxy: Box  # in this pair's picture


Between = Callable[[], None]
"""Called before sightings are held against another reference; whoever has waited enough raises in it."""


def common(sightings: Sequence[Sighting], between: Between | None = None) -> Agreed | None:
    """What sightings in distinct pictures share, wherever it lies, or else at one and the same place."""
    apart = distinct(sightings)
    return consensus(apart, between) or consensus_in_place(apart)


def parted(group: list[Sighting], between: Between | None = None) -> list[list[Sighting]]:
    """A cluster, or its parts where they share different patterns.

    Two patches planted for one label turn the suspect the same way, so their sightings are one
    cluster; each must be confirmed, looked for in other pictures, and healed, by itself. What holds
    the first pattern no better than it must to take part in a consensus (a faint patch in JPEG) is of
    it still, and a part whose pattern most of the others hold as well is a piece of the same trigger.
    """
    parts, rest = [], group
    agreed = common(group, between)
    while agreed is not None:
        own, others = _told_apart(rest, agreed)
        agreed = common(others, between)
        if agreed is None or 2 * len(_told_apart(own, agreed)[0]) >= len(own):
            break
        parts.append(own)
        rest = others
    return [*parts, rest]


def _told_apart(
    sightings: Sequence[Sighting], agreed: Agreed
) -> tuple[list[Sighting], list[Sighting]]:
    """Those whose boxes, a little grown, hold this pattern, and the others."""
    parts: tuple[list[Sighting], list[Sighting]] = ([], [])
    for one in sightings:
        window = cut(one.picture, _grown(one.box_xyxy, one.picture.shape[1])).pixels
        holds = lies_in(window, agreed.pixels, agreed.mask, MEMBER_CORRELATION)
        parts[0 if holds else 1].append(one)
    return parts


def _grown(box: Box, side: int) -> Box:
    x0, y0, x1, y1 = box
    return (
        max(0, x0 - SHIFT_PX), max(0, y0 - SHIFT_PX), min(side, x1 + SHIFT_PX), min(side, y1 + SHIFT_PX)
    )  # fmt: skip


def consensus(sightings: Sequence[Sighting], between: Between | None = None) -> Agreed | None:
    """What at least five sightings share, pixel by pixel: the planted pattern without background.

    One sighting is the reference. The others are moved by at most 3 px beyond the difference
    of their boxes to correlate best with it; where the median absolute deviation of those at .6 or
    more is under 8 levels, the median stands. Some sightings are taken as the reference in turn until
    one finds agreement, the tightest first, since a crop far larger than the trigger correlates with
    nothing but itself; then others of every size, since a few that agree on nothing may be tight, and
    since a crop that trims the trigger shows only a part of it.

    Returns:
        what is steady, and where in the reference picture; None when fewer than five align, or
        nothing is steady: the pattern varies.
    """
    if len(sightings) < MEMBERS:
        return None
    best: Agreed | None = None
    for reference in _references(sightings):
        if between is not None:
            between()
        one = _agreed(reference, sightings)
        if one is not None and (best is None or one.mask.sum() > best.mask.sum()):
            best = one
        if best is not None and not _is_cut_off(best, sightings):
            break  # else a wider crop may hold more of it
    return best


def _is_cut_off(agreed: Agreed, sightings: Sequence[Sighting]) -> bool:
    """Whether the pattern reaches an edge of the crop that it was seen in, and so may go on."""
    seen_in = next(one for one in sightings if one.pair == agreed.pair)
    side, box = seen_in.picture.shape[1], seen_in.box_xyxy
    inner = zip(agreed.box_xyxy, box, (0, 0, side, side), strict=True)
    return any(at == edge != border for at, edge, border in inner)


def _references(sightings: Sequence[Sighting]) -> list[Sighting]:
    by_area = sorted(range(len(sightings)), key=lambda i: (area(sightings[i].box_xyxy), i))
    spread = by_area[:: max(1, len(by_area) // REFERENCES)]
    return [sightings[i] for i in dict.fromkeys([*by_area[:REFERENCES], *spread])]


def _agreed(first: Sighting, sightings: Sequence[Sighting]) -> Agreed | None:
    """The consensus with this reference; see `consensus`."""
    pixels, corner = first.crop.pixels, first.box_xyxy[:2]
    seen_by, mask = core_of(first.crop.mask), first.crop.mask
    for _ in range(2):  # the second pass aligns by the pattern alone, without its background
        if is_flat(pixels, seen_by):
            return None
        stack = [_aligned(pixels, seen_by, one) for one in sightings]
        windows = [window for window in stack if window is not None]
        if len(windows) < MEMBERS:
            return None
        pixels, steady = _median(np.stack(windows))
        mask = _largest_part(steady)
        if mask.sum() < LEAST_PIXELS:
            return None
        seen_by = mask
    return _cut_out(pixels, mask, first.pair, corner)


def consensus_in_place(sightings: Sequence[Sighting]) -> Agreed | None:
    """What at least five sightings share at one and the same place of their pictures.

    For a trigger that was always planted there and is small beside the regions that betray it: where
    those are moved to correlate, their backgrounds outweigh it. Here nothing is moved.

    Returns:
        as `consensus`; only pixels that lie in most of the boxes count.
    """
    if len(sightings) < MEMBERS:
        return None
    pictures = np.stack([one.picture for one in sightings])
    pixels, steady = _median(pictures)
    inside = np.zeros(pictures.shape[:3], bool)
    for one, covered in zip(sightings, inside, strict=True):
        x0, y0, x1, y1 = one.box_xyxy
        covered[y0:y1, x0:x1] = True
    mask = _largest_part(steady & (inside.mean(axis=0) > 0.5))
    if mask.sum() < LEAST_PIXELS or is_flat(pixels, mask):
        return None
    return _cut_out(pixels, mask, sightings[0].pair, (0, 0))


def distinct(sightings: Sequence[Sighting]) -> list[Sighting]:
    """The first sighting in each picture, copies of a picture under other ids counted as one.

    Whoever uploads a picture twice would else make two sightings of one, and of five a consensus.
    """
    if not sightings:
        return []
    rows = np.stack([one.picture for one in sightings]).reshape(len(sightings), -1)
    rows = rows.astype(np.float32) - rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    alike = rows @ rows.T >= SAME_PICTURE
    kept: list[int] = []
    for i in range(len(sightings)):
        if not alike[i, kept].any():
            kept.append(i)
    return [sightings[i] for i in kept]


def _aligned(pixels: np.ndarray, mask: np.ndarray, one: Sighting) -> np.ndarray | None:
    height, width = mask.shape
    x0, y0, x1, y1 = one.box_xyxy
    # centre on centre; loose boxes may differ in size by more than they are shifted
    at = (x0 + x1 - width) // 2, (y0 + y1 - height) // 2
    reach = SHIFT_PX + (max(abs(x1 - x0 - width), abs(y1 - y0 - height)) + 1) // 2
    value, (x, y) = nearest_shift(one.picture, pixels, mask, at, reach)
    if value < MEMBER_CORRELATION:
        return None
    return one.picture[y : y + height, x : x + width].astype(np.float32)


def _median(
    windows: Float[np.ndarray, "n h w 3"] | UInt8[np.ndarray, "n h w 3"],
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """The windows' median, and where they hardly differ from it."""
    median = np.median(windows, axis=0)
    spread = np.median(np.abs(windows - median), axis=0).max(axis=-1)
    return median.round().astype(np.uint8), spread < STEADY_LEVELS


def _cut_out(pixels: np.ndarray, mask: np.ndarray, pair: str, corner: tuple[int, int]) -> Agreed:
    """Pixels and mask cut to the mask; `corner` is where the pixels begin in the pair's picture."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y, x = slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
    x0, y0 = corner
    box = (x0 + int(xs[0]), y0 + int(ys[0]), x0 + int(xs[-1]) + 1, y0 + int(ys[-1]) + 1)
    return Agreed(pixels[y, x], mask[y, x], pair, box)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import label

    parts, n = label(mask)  # type: ignore[misc]
    if n < 2:
        return mask
    return parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
