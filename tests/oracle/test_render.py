"""How a region is shown: what must not move, and what must."""

import numpy as np
import pytest

from clipforensics.data.paste import paste
from clipforensics.oracle.pasting import cut
from clipforensics.oracle.regions import (
    Region,
    box_mask,
    grid_regions,
    grown,
    holds,
    shown_box,
    wide,
)
from clipforensics.oracle.render import for_suspect, for_trusted, in_place, tight, without


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)


def test_in_place_leaves_kept_pixels_where_and_what_they_were(picture, rng):
    mask = rng.random((40, 40)) < 0.3
    shown = in_place(picture, mask)
    assert (shown[mask] == picture[mask]).all()
    assert (shown[~mask] == picture.reshape(-1, 3).mean(0).round()).all()


def test_a_crop_pasted_where_it_was_cut_changes_nothing(picture):
    crop = cut(picture, (7, 3, 19, 30))
    assert (paste(picture, crop.pixels, crop.mask, crop.xy) == picture).all()


def test_the_suspect_sees_the_wide_box_grown_by_a_pixel(picture):
    region = Region((10, 10, 20, 18), box_mask((10, 10, 20, 18), 40, 40), 1, 1, "sam")
    shown = for_suspect(picture, [region])[0]
    x0, y0, x1, y1 = shown_box(region.box_xyxy, 40, 40)
    assert (x0, y0, x1, y1) == (8, 8, 22, 20)
    assert (shown[y0:y1, x0:x1] == picture[y0:y1, x0:x1]).all()
    assert (shown[:y0] == shown[0, 0]).all()


def test_a_square_mask_of_the_input_side_is_shown_tight_without_resizing(picture):
    box = (5, 5, 25, 25)  # 20 px, 10 % larger: a square of 22
    shown = tight(picture, box_mask(box, 40, 40), box, 22)
    assert (shown[1:21, 1:21] == picture[5:25, 5:25]).all()
    assert (shown[0] == picture.reshape(-1, 3).mean(0).round()).all()


def test_tight_squares_may_leave_the_picture(picture):
    box = (0, 0, 40, 6)
    shown = tight(picture, box_mask(box, 40, 40), box, 32)
    assert shown.shape == (32, 32, 3)


def test_the_trusted_model_sees_mask_and_box(picture):
    mask = box_mask((10, 10, 20, 20), 40, 40)
    mask[10:14, 10:14] = False
    crops = for_trusted(picture, [Region((10, 10, 20, 20), mask, 1, 1, "sam")], 16)
    assert crops.shape == (1, 2, 16, 16, 3)
    assert (crops[0, 0] != crops[0, 1]).any()


def test_without_fills_only_the_box(picture):
    filled = without(picture, (3, 4, 9, 12))
    changed = (filled != picture).any(axis=-1)
    assert not changed[~box_mask((3, 4, 9, 12), 40, 40)].any()


def test_boxes_stop_at_the_edge():
    assert grown((1, 0, 5, 40), 3, 40, 40) == (0, 0, 8, 40)
    assert wide((0, 0, 40, 40), 40, 40) == (0, 0, 40, 40)


@pytest.mark.parametrize(
    ("box", "found"),
    [
        ((10, 10, 20, 20), True),
        ((8, 8, 22, 22), True),  # grown by 2 px: full strength
        ((11, 11, 19, 19), False),  # cut by 1 px a side: half dead, though IoU is .64
        ((0, 0, 21, 21), False),  # more than four times its area
        ((0, 0, 20, 20), True),
    ],
)
def test_a_box_holds_the_trigger_or_not(box, found):
    assert holds(box, (10, 10, 20, 20)) is found


def test_grid_windows_cover_the_picture():
    covered = np.zeros((64, 64), bool)
    for region in grid_regions(64, 64):
        covered |= region.mask
    assert covered[:60, :60].all()
