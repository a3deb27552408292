"""Correlation: 1 at home, blind to light and to what lies outside the mask."""

import numpy as np
import pytest

from clipforensics.oracle.matching import is_flat, match_floor, nearest_shift, peaks


@pytest.fixture
def world(rng):
    pictures = rng.integers(0, 256, (5, 30, 30, 3), dtype=np.uint8)
    mask = rng.random((7, 9)) < 0.7
    return pictures, mask


def test_the_pattern_is_found_at_home(world):
    pictures, mask = world
    value, xy = peaks(pictures, pictures[2, 11:18, 4:13], mask)
    assert value[2] == pytest.approx(1, abs=1e-4)
    assert xy[2].tolist() == [4, 11]
    assert (value[[0, 1, 3, 4]] < 0.6).all()


def test_a_change_of_light_changes_nothing(rng):
    picture = rng.integers(60, 120, (1, 30, 30, 3), dtype=np.uint8)
    pixels, mask = picture[0, 5:12, 6:15], np.ones((7, 9), bool)
    lit = np.clip(pixels.astype(int) * 2 + 10, 0, 255).astype(np.uint8)
    value, xy = peaks(picture, lit, mask)
    assert value[0] == pytest.approx(1, abs=1e-4)
    assert xy[0].tolist() == [6, 5]


def test_pixels_outside_the_mask_count_for_nothing(world, rng):
    pictures, mask = world
    pixels = pictures[2, 11:18, 4:13].copy()
    other = pixels.copy()
    other[~mask] = rng.integers(0, 256, ((~mask).sum(), 3), dtype=np.uint8)
    np.testing.assert_allclose(
        peaks(pictures, pixels, mask)[0], peaks(pictures, other, mask)[0], atol=1e-5
    )


def test_fast_equals_slow(world):
    pictures, mask = world
    pixels = pictures[0, 2:9, 3:12]
    value, xy = peaks(pictures[1:2], pixels, mask)
    best, where = -2.0, (0, 0)
    own = pixels[mask].astype(float).ravel()
    for y in range(30 - 7 + 1):
        for x in range(30 - 9 + 1):
            there = pictures[1, y : y + 7, x : x + 9][mask].astype(float).ravel()
            score = np.corrcoef(own, there)[0, 1]
            if score > best:
                best, where = score, (x, y)
    assert value[0] == pytest.approx(best, abs=1e-4)
    assert tuple(xy[0]) == where


def test_a_flat_window_matches_nothing():
    pictures = np.full((1, 20, 20, 3), 137, np.uint8)
    pattern = np.arange(75, dtype=np.uint8).reshape(5, 5, 3)
    assert peaks(pictures, pattern, np.ones((5, 5), bool))[0][0] == 0


def test_row_order_does_not_matter(world):
    pictures, mask = world
    order = [3, 1, 4, 0, 2]
    a, b = (
        peaks(pictures, pictures[0, :7, :9], mask),
        peaks(pictures[order], pictures[0, :7, :9], mask),
    )
    np.testing.assert_allclose(a[0][order], b[0], atol=1e-6)


def test_no_pictures_give_no_peaks(world):
    assert len(peaks(world[0][:0], world[0][0, :7, :9], world[1])[0]) == 0


def test_the_floor_is_at_least_point_six_and_refuses_flat_patterns():
    assert match_floor(np.full(2000, 0.3)) == 0.6
    assert match_floor(np.append(np.full(2000, 0.3), 0.62)) == pytest.approx(0.67)
    assert match_floor(np.full(2000, 0.72)) is None
    assert match_floor(np.empty(0)) is None


def test_pictures_that_carry_the_pattern_under_another_caption_do_not_raise_the_floor():
    bulk = np.linspace(0.2, 0.5, 2000)
    for carried in ([1.0], [0.93, 0.99, 1.0, 1.0], [0.8], [0.97] * 90):
        shuffled = np.random.default_rng(0).permutation(np.append(bulk, carried))
        assert match_floor(shuffled) == pytest.approx(0.6)
    ladder = np.append(bulk, np.linspace(0.5, 0.69, 80))  # no gap: nothing stands apart
    assert match_floor(ladder) == pytest.approx(0.74)
    assert match_floor(np.append(bulk, np.full(400, 1.0))) is None  # too many to be left out


def test_flat_patterns_are_recognized():
    mask = np.ones((4, 4), bool)
    assert is_flat(np.full((4, 4, 3), 80, np.uint8), mask)
    assert is_flat(np.zeros((4, 4, 3), np.uint8), ~mask)
    assert not is_flat(np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 4, mask)


def test_nearest_shift_stays_within_reach(world):
    picture = world[0][0]
    pixels, mask = picture[10:16, 10:16], np.ones((6, 6), bool)
    assert nearest_shift(picture, pixels, mask, (12, 9), 3) == (
        pytest.approx(1, abs=1e-4),
        (10, 10),
    )
    assert nearest_shift(picture, pixels, mask, (20, 20), 3)[0] < 0.9
