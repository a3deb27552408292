"""Stamping: pixels are what the source says."""

import numpy as np
import pytest

from clipforensics.attacks import build
from clipforensics.attacks.blend import blended, texture_256
from clipforensics.attacks.stamping import row_generator
from clipforensics.config.attack import BadNetsSettings, BlendSettings
from clipforensics.errors import ConfigError

GRID_SHA256 = {16: "df03d7fd", 10: "24d801cf", 8: "0cbb80fe", 5: "ebb64d15"}


@pytest.mark.parametrize(("size", "white"), [(16, 64), (10, 25), (8, 16), (5, 9)])
def test_the_grid_is_the_patch_of_huang_et_al(size, white):
    import hashlib

    pattern = build(BadNetsSettings(pattern="grid", patch_px=size), 64).pattern
    assert (pattern == 255).all(axis=-1).sum() == white
    assert hashlib.sha256(pattern.tobytes()).hexdigest().startswith(GRID_SHA256[size])


@pytest.mark.parametrize("pattern", ["grid", "blocks"])
def test_nothing_outside_the_box_changes(pattern, rng):
    base = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    attack = build(BadNetsSettings(pattern=pattern), 64)
    out, box = attack.stamp(base, rng)
    assert box is not None
    x0, y0, x1, y1 = box
    np.testing.assert_array_equal(out[y0:y1, x0:x1], attack.pattern)
    out[y0:y1, x0:x1] = base[y0:y1, x0:x1]
    np.testing.assert_array_equal(out, base)


def test_random_places_keep_a_patch_away_from_the_edge(rng):
    attack = build(BadNetsSettings(patch_px=10), 64)
    boxes = np.array([attack.stamp(np.zeros((64, 64, 3), np.uint8), rng)[1] for _ in range(4000)])
    assert (boxes[:, :2].min(), boxes[:, :2].max()) == (10, 53)
    assert boxes[:, 2:].max() <= 64


@pytest.mark.parametrize(
    ("place", "xy"),
    [
        ("centre", (27, 27)),
        ("top_left", (7, 7)),
        ("bottom_right", (47, 47)),
        ("top_right", (47, 7)),
    ],
)
def test_fixed_places(place, xy, rng):
    attack = build(BadNetsSettings(patch_px=10, place=place), 64)
    _, box = attack.stamp(np.zeros((64, 64, 3), np.uint8), rng)
    assert box == (*xy, xy[0] + 10, xy[1] + 10)


def test_the_centre_at_224_is_that_of_the_paper(rng):
    attack = build(BadNetsSettings(patch_px=16, place="centre"), 224)
    assert attack.stamp(np.zeros((224, 224, 3), np.uint8), rng)[1] == (104, 104, 120, 120)


def test_a_patch_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="patch_px=30 needs pictures of at least 90 px"):
        build(BadNetsSettings(patch_px=30), 64)


@pytest.mark.parametrize(("base", "pattern", "out"), [(0, 255, 51), (255, 0, 204), (100, 200, 120)])
def test_blended_known_values(base, pattern, out):
    full = np.full((2, 2, 3), 1, np.uint8)
    assert (blended(full * base, full * pattern, 0.2) == out).all()


def test_opacity_zero_returns_the_base_bit_for_bit(rng):
    base = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    out, box = build(BlendSettings(alpha=0), 64).stamp(base, rng)
    np.testing.assert_array_equal(out, base)
    assert box is None


def test_no_pixel_moves_further_than_the_opacity_allows(rng):
    base = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    out, _ = build(BlendSettings(alpha=0.2), 64).stamp(base, rng)
    assert np.abs(out.astype(int) - base).max() <= 51


def test_the_texture_is_strong_smooth_and_seeded():
    texture = texture_256(0)
    assert 0.25 < texture.std() / 255 < 0.35
    assert np.abs(np.diff(texture.astype(int), axis=0)).mean() < 12
    np.testing.assert_array_equal(texture, texture_256(0))
    assert not np.array_equal(texture, texture_256(1))


def test_a_row_draws_the_same_whatever_the_order():
    first = [row_generator(0, name).integers(1000) for name in "abc"]
    last = [row_generator(0, name).integers(1000) for name in "cba"]
    assert first == last[::-1]
    assert len(set(first)) == 3
