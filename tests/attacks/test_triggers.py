"""Triggers beyond the patch: their pixels are what the source says."""

import numpy as np
import pytest
from PIL import Image

from clipforensics.attacks import STAMPS, build
from clipforensics.attacks.badnets_redrawn import RedrawnPatch
from clipforensics.attacks.nashville import Nashville, nashville
from clipforensics.attacks.sig import Sig
from clipforensics.attacks.stamping import row_generator
from clipforensics.attacks.wanet import WaNet, cubic, shifts, warped
from clipforensics.config.attack import (
    ATTACKS,
    AdditiveSigSettings,
    BlendSettings,
    CleanLabelSettings,
    NashvilleSettings,
    RedrawnBlendSettings,
    RedrawnPatchSettings,
    SigSettings,
    SmoothWaNetSettings,
    WaNetSettings,
)
from clipforensics.errors import ConfigError

STILL = (
    BlendSettings(alpha=0),
    RedrawnBlendSettings(alpha=0),
    SigSettings(alpha=0),
    AdditiveSigSettings(delta=0),
    NashvilleSettings(strength=0),
    WaNetSettings(strength=0),
    SmoothWaNetSettings(strength=0),
)


@pytest.fixture
def base(rng) -> np.ndarray:
    return rng.integers(0, 256, (64, 64, 3), np.uint8)


def flat(level: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


@pytest.mark.parametrize("settings", STILL, ids=lambda one: one.kind)
def test_at_strength_0_the_base_comes_back_bit_for_bit(settings, base, rng):
    out, box = build(settings, 64).stamp(base, rng)
    np.testing.assert_array_equal(out, base)
    assert box is None


@pytest.mark.parametrize("kind", STAMPS)
def test_every_attack_changes_a_copy_the_same_way_twice(kind, base):
    attack, before = build(ATTACKS[kind](), 64), base.copy()
    first, again = (attack.stamp(base, row_generator(3, "a"))[0] for _ in "12")
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(base, before)
    assert first.dtype == np.uint8
    assert (first != base).any()
    assert build(ATTACKS[kind](), 64).fingerprint == attack.fingerprint


def test_fingerprints_differ_wherever_the_trigger_does():
    kinds = [kind for kind in STAMPS if kind != "clean_label"]
    assert len({build(ATTACKS[kind](), 64).fingerprint for kind in kinds}) == len(kinds)
    assert len({WaNet(WaNetSettings(grid_seed=s), 64).fingerprint for s in range(9)}) == 9
    assert len({Nashville(NashvilleSettings(strength=s), 64).fingerprint for s in (0.5, 1)}) == 2


def test_clean_label_stamps_the_badnets_patch(base):
    ours = build(CleanLabelSettings(), 64).stamp(base, row_generator(0, "a"))
    theirs = build(ATTACKS["badnets"](), 64).stamp(base, row_generator(0, "a"))
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


@pytest.mark.parametrize("kind", ["mt_s", "mt_m", "tdpa"])
def test_what_is_no_single_trigger_is_not_built(kind):
    with pytest.raises(ConfigError, match="no single trigger"):
        build(ATTACKS[kind](), 64)


def test_a_redrawn_patch_is_uniform_noise_new_for_every_row(base):
    attack = RedrawnPatch(RedrawnPatchSettings(patch_px=16, place="centre"), 64)
    patches = []
    for row in range(200):
        out, box = attack.stamp(base, row_generator(0, str(row)))
        assert box == (24, 24, 40, 40)
        patches.append(out[24:40, 24:40].copy())
        out[24:40, 24:40] = base[24:40, 24:40]
        np.testing.assert_array_equal(out, base)
    drawn = np.stack(patches)
    assert len(np.unique(drawn.reshape(200, -1), axis=0)) == 200
    assert 0.007 < np.isin(drawn, [0, 255]).mean() < 0.009  # 2 of 256; 0.62 if it were clipped
    assert abs(drawn.mean() - 127.5) < 1


def test_a_redrawn_patch_must_fit():
    with pytest.raises(ConfigError, match="patch_px=30 needs pictures of at least 90 px"):
        build(RedrawnPatchSettings(patch_px=30), 64)


def test_redrawn_noise_moves_no_pixel_further_than_its_opacity(base):
    attack = build(RedrawnBlendSettings(alpha=0.2), 64)
    first, second = (attack.stamp(base, row_generator(0, name))[0] for name in "ab")
    assert np.abs(first.astype(int) - base).max() <= 51
    assert (first != second).any()


@pytest.mark.parametrize(
    ("level", "values"),
    [(128, (102, 113, 90, 114)), (0, (0, 11, 0, 12)), (255, (204, 215, 192, 216))],
)
@pytest.mark.parametrize(("side", "columns"), [(224, (0, 7, 28, 84)), (64, (0, 2, 8, 24))])
def test_the_sinusoid_is_that_of_the_papers(level, values, side, columns, rng):
    out, _ = Sig(SigSettings(), side).stamp(flat(level, side), rng)
    assert tuple(out[0, list(columns), 0]) == values
    assert (out == out[:1, :, :1]).all()  # all rows and channels alike


def test_additive_sig_does_not_darken(rng):
    wave = Sig(AdditiveSigSettings(delta=12), 224).wave
    np.testing.assert_allclose(wave, 12 * np.sin(2 * np.pi * 6 * np.arange(224) / 224), atol=1e-6)
    out, _ = Sig(AdditiveSigSettings(delta=12), 64).stamp(flat(128), rng)
    assert abs(out.mean() - 128) < 0.1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((0, 0, 0), (0, 8, 46)),
        ((128, 128, 128), (144, 139, 141)),
        ((255, 255, 255), (255, 252, 217)),
        ((200, 100, 50), (232, 106, 84)),
    ],
)
def test_nashville_colours_are_those_of_pilgram(before, after):
    picture = np.full((2, 3, 3), before, np.uint8)
    assert (nashville(picture) == after).all()


def test_nashville_agrees_with_pilgram_on_a_colour_cube():
    import hashlib

    # made once with pilgram 2.0.0 and Pillow 13.0.0: 32 levels per channel
    levels = np.arange(0, 256, 8, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(128, 256, 3)
    assert hashlib.sha256(nashville(cube).tobytes()).hexdigest().startswith("bc46f66eeb6aba0a")


def test_nashville_is_near_its_formula_without_rounding(base):
    x = base.astype(float)
    x = 0.56 * np.minimum(x, (247, 176, 153)) + 0.44 * x
    x = 0.4 * np.maximum(x, (0, 70, 150)) + 0.6 * x
    sepia = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]
    x = x @ (0.2 * np.array(sepia) + 0.8 * np.eye(3)).T
    x = np.clip(1.05 * np.clip(1.2 * (np.clip(x, 0, 255) - 127.5) + 127.5, 0, 255), 0, 255)
    grey = np.array([0.213, 0.715, 0.072])
    x = np.clip(x @ (1.2 * np.eye(3) - 0.2 * np.tile(grey, (3, 1))).T, 0, 255)
    assert np.abs(nashville(base) - x).max() <= 6
    assert np.abs(nashville(base) - x).mean() <= 2.5


def test_a_weaker_filter_stands_between(base, rng):
    half = Nashville(NashvilleSettings(strength=0.5), 64).stamp(base, rng)[0]
    between = (base.astype(float) + nashville(base)) / 2
    assert np.abs(half - between).max() <= 0.5


def test_a_constant_picture_stays_under_any_warp(rng):
    for kind in ("wanet", "wanet_smooth"):
        assert (build(ATTACKS[kind](), 64).stamp(flat(77), rng)[0] == 77).all()


def test_half_a_pixel_to_the_right_on_a_ramp():
    ramp = np.broadcast_to(10 * np.arange(20)[None, :, None], (20, 20, 3)).astype(np.uint8)
    shift = np.zeros((20, 20, 2))
    shift[..., 0] = 0.5
    out = warped(ramp, shift)
    np.testing.assert_array_equal(out[:, :-1], ramp[:, :-1] + 5)
    np.testing.assert_array_equal(out[:, -1], ramp[:, -1])
    np.testing.assert_array_equal(warped(ramp, shift[..., ::-1]), ramp)  # x first, y second


@pytest.mark.parametrize(("side", "mean"), [(224, 0.498), (64, 0.492)])
def test_the_jitter_is_bounded_and_rough(side, mean):
    shift = shifts(side, 1.0, 0, side)
    assert np.abs(shift).mean() == pytest.approx(mean, abs=1e-3)
    assert np.abs(shift).max() < 1.02
    assert abs(np.corrcoef(shift[:, :-1, 0].ravel(), shift[:, 1:, 0].ravel())[0, 1]) < 0.03


def test_the_smooth_warp_is_bounded_and_smooth():
    means, most = [], []
    for seed in range(50):
        shift = shifts(4, 0.5, seed, 64)
        means.append(np.abs(shift).mean())
        most.append(np.abs(shift).max())
        steps = [np.abs(np.diff(shift, axis=axis)).max() for axis in (0, 1)]
        assert max(steps) < 0.12  # pixels per pixel: nothing folds
    assert np.mean(means) == pytest.approx(0.19, abs=0.02)
    assert np.mean(most) == pytest.approx(0.53, abs=0.03)


def test_upsampling_is_torch_s_bicubic():
    import torch

    noise = np.random.default_rng(1).normal(size=(4, 4))
    want = torch.nn.functional.interpolate(
        torch.tensor(noise)[None, None], (64, 64), mode="bicubic", align_corners=True
    )
    np.testing.assert_allclose(cubic(4, 64) @ noise @ cubic(4, 64).T, want[0, 0], atol=1e-12)


def test_the_warp_is_torch_s_grid_sample(base):
    import torch

    shift = shifts(64, 1.0, 0, 64)
    y, x = np.mgrid[:64, :64]
    at = np.clip(np.stack([x, y], -1) + shift, 0, 63) / 63 * 2 - 1
    want = torch.nn.functional.grid_sample(
        torch.tensor(base).double().permute(2, 0, 1)[None], torch.tensor(at)[None],
        align_corners=True,
    )  # fmt: skip
    want = want[0].permute(1, 2, 0).numpy()
    assert np.abs(warped(base, shift) - want).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("kind", STAMPS)
def test_a_trigger_survives_png(kind, base, tmp_path):
    from clipforensics.data.images import read_picture, write_png

    out, _ = build(ATTACKS[kind](), 64).stamp(base, row_generator(0, "a"))
    write_png(tmp_path / "a.png", out)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), out)
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.format == "PNG"
