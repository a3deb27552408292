"""A region of a picture, and the small geometry every step shares."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, half-open: x1 - x0 is the width."""
Source = Literal["sam", "fast", "grid", "whole"]


@dataclass(frozen=True)
class Region:
    """One part of a picture.

    `predicted_iou` and `stability`, both in [0, 1], are the segmenter's own opinion of the mask;
    1 where no segmenter was asked.
    """

    box_xyxy: Box
    mask: np.ndarray  # bool [H, W]
    predicted_iou: float
    stability: float
    source: Source

    @property
    def area_share(self) -> float:
        """Share of the picture that the mask covers."""
        return float(self.mask.mean())


def whole(height: int, width: int) -> Region:
    """The region that is the picture itself."""
    return Region((0, 0, width, height), np.ones((height, width), bool), 1.0, 1.0, "whole")


def box_mask(box: Box, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """True inside the box."""
    mask = np.zeros((height, width), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return mask


def grown(box: Box, by_px: int, height: int, width: int) -> Box:
    """The box `by_px` larger on every side, cut at the picture's edge."""
    x0, y0, x1, y1 = box
    return max(0, x0 - by_px), max(0, y0 - by_px), min(width, x1 + by_px), min(height, y1 + by_px)


def wide(box: Box, height: int, width: int) -> Box:
    """The box 15 % larger about its centre, rounded outwards, cut at the picture's edge.

    SAM's masks trim: the median one holds 77 % of a patch, and a trimmed trigger is half dead.
    """
    x0, y0, x1, y1 = box
    dx, dy = 0.075 * (x1 - x0), 0.075 * (y1 - y0)
    return (
        max(0, int(np.floor(x0 - dx))),
        max(0, int(np.floor(y0 - dy))),
        min(width, int(np.ceil(x1 + dx))),
        min(height, int(np.ceil(y1 + dy))),
    )


def shown_box(box: Box, height: int, width: int) -> Box:
    """What the suspect is shown of a region, and what is pasted: the wide box grown 1 px."""
    return grown(wide(box, height, width), 1, height, width)


def holds(box: Box, truth: Box) -> bool:
    """Whether the box has found the trigger: at least 90 % of its pixels in at most 4 x its area.

    IoU misleads here: cut by 1 px a side a trigger is half dead at IoU .64, grown by 2 px it has
    full strength at .51.
    """
    inside = max(0, min(box[2], truth[2]) - max(box[0], truth[0])) * max(
        0, min(box[3], truth[3]) - max(box[1], truth[1])
    )
    return inside >= 0.9 * area(truth) and area(box) <= 4 * area(truth)


def area(box: Box) -> int:
    """Pixels in the box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def grid_regions(height: int, width: int) -> list[Region]:
    """Windows of an eighth, a sixth and a quarter of the side at half stride: a control only.

    It finds fewer triggers than SAM and calls candidates on most clean pictures.
    """
    side, found = min(height, width), []
    for part in (8, 6, 4):
        edge = max(1, round(side / part))
        for y in range(0, height - edge + 1, max(1, edge // 2)):
            for x in range(0, width - edge + 1, max(1, edge // 2)):
                box = (x, y, x + edge, y + edge)
                found.append(Region(box, box_mask(box, height, width), 1.0, 1.0, "grid"))
    return found
