"""SAM, small and official: same arithmetic as released, and a clear word for every wrong file."""

from functools import partial

import numpy as np
import pytest
import torch

from clipforensics.config.oracle import SEGMENTER_PRESETS, SegmenterSettings
from clipforensics.errors import ModelError
from clipforensics.models.weights import save_state
from clipforensics.oracle.segmenter import (
    OfficialSamSegmenter,
    boxes_of,
    load_segmenter,
    regions_from,
)
from clipforensics.oracle.small_sam import (
    INPUT_SIDE,
    MASK_SIDE,
    build_sam,
    decode,
    draw_masks,
    encode,
    grid_points,
    prompt,
    small_sam,
)


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return small_sam()


@pytest.fixture(scope="module")
def weights(sam, tmp_path_factory):
    path = tmp_path_factory.mktemp("sam") / "small.safetensors"
    save_state(path, sam.state_dict())
    return path


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)


def test_the_small_sam_has_the_size_it_claims(sam):
    assert 1.0e6 < sum(p.numel() for p in sam.parameters()) < 1.2e6


@torch.inference_mode()
@pytest.mark.parametrize("with_boxes", [False, True])
def test_the_batched_decoder_equals_the_released_loop(sam, rng, with_boxes):
    pictures = torch.from_numpy(
        rng.integers(0, 256, (3, 3, INPUT_SIDE, INPUT_SIDE), dtype=np.uint8)
    )
    points = torch.from_numpy(rng.uniform(0, INPUT_SIDE, (3, 4, 2)).astype(np.float32))
    corners = rng.uniform(0, INPUT_SIDE, (3, 4, 4)).astype(np.float32)
    boxes = torch.from_numpy(corners) if with_boxes else None
    embedded = encode(sam, pictures)
    sparse, dense = prompt(
        sam, points.flatten(0, 1), None if boxes is None else boxes.flatten(0, 1)
    )
    fast_masks, fast_ious = decode(sam, embedded.repeat_interleave(4, 0), sparse, dense)
    for i in range(3):
        one, flat = prompt(sam, points[i], None if boxes is None else boxes[i])
        masks, ious = sam.mask_decoder(
            image_embeddings=embedded[i : i + 1], image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=one, dense_prompt_embeddings=flat, multimask_output=True,
        )  # fmt: skip
        torch.testing.assert_close(fast_masks[4 * i : 4 * i + 4], masks, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(fast_ious[4 * i : 4 * i + 4], ious, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_size_of_a_prompt_batch_changes_nothing(sam, rng):
    picture = rng.integers(0, 256, (INPUT_SIDE, INPUT_SIDE, 3), dtype=np.uint8)
    points = grid_points(4)
    one, two = draw_masks(sam, picture, points, 16), draw_masks(sam, picture, points, 5)
    torch.testing.assert_close(one[0], two[0], atol=1e-4, rtol=1e-4)
    assert one[0].shape == (48, MASK_SIDE, MASK_SIDE)


def test_regions_are_what_the_settings_allow(weights, picture):
    for settings in (SEGMENTER_PRESETS["small"], SEGMENTER_PRESETS["fast"]):
        segmenter = load_segmenter("small", weights, settings)
        found = segmenter.segment(picture)
        assert len(found) <= settings.keep
        for region in found:
            x0, y0, x1, y1 = region.box_xyxy
            assert region.mask.shape == (48, 48)
            assert 0 <= region.predicted_iou <= 1
            assert 0 <= region.stability <= 1
            assert region.mask[y0:y1, x0:x1].any()
            assert not region.mask.sum() - region.mask[y0:y1, x0:x1].sum()
            if region.source == "fast":
                assert region.mask.sum() == (x1 - x0) * (y1 - y0)


def test_cutting_twice_gives_the_same(weights, picture):
    segmenter = load_segmenter("small", weights)
    one, two = segmenter.segment(picture), segmenter.segment(picture)
    assert [r.box_xyxy for r in one] == [r.box_xyxy for r in two]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (90, 20)])
def test_odd_pictures_are_cut_without_error(weights, shape):
    picture = np.full((*shape, 3), 77, np.uint8)
    for region in load_segmenter("small", weights).segment(picture):
        assert region.mask.shape == shape


def test_settings_and_weights_make_the_fingerprint(weights):
    small = load_segmenter("small", weights)
    fast = small.with_settings(SEGMENTER_PRESETS["fast"])
    assert small.fingerprint != fast.fingerprint
    assert small.fingerprint == load_segmenter("small", weights).fingerprint
    assert fast.fingerprint == load_segmenter("small", weights, fast=True).fingerprint


def test_half_precision_weights_load(sam, tmp_path):
    path = tmp_path / "half.safetensors"
    save_state(path, sam.state_dict(), half=True)
    assert load_segmenter("small", path).sam.mask_decoder.iou_token.weight.dtype == torch.float32


def test_masks_over_all_become_whole_and_the_largest_go_first():
    masks = np.zeros((4, 20, 20), bool)
    masks[0] = True
    masks[1, :10] = True
    masks[2, :4, :4] = True
    masks[3, 0, 0] = True  # below 4 px
    ones = np.ones(4)
    plain = regions_from(masks, ones, ones, SegmenterSettings())
    assert [r.source for r in plain] == ["whole", "sam", "sam"]
    few = SegmenterSettings(keep=1, drop_first="largest")
    assert [r.mask.sum() for r in regions_from(masks, ones, ones, few)] == [16]
    trusting = SegmenterSettings(keep=1)
    assert [r.source for r in regions_from(masks, ones, ones, trusting)] == ["whole"]
    assert regions_from(masks[:0], ones[:0], ones[:0], few) == []


def test_boxes_are_half_open_and_exact(rng):
    masks = rng.random((30, 16, 12)) < 0.05
    masks[:, 3, 4] = True
    for box, mask in zip(boxes_of(torch.from_numpy(masks)), masks, strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def tiny_official(checkpoint=None):
    assert checkpoint is None, "weights must never be loaded by the package's own builder"
    return build_sam(64, 16, 32, 1, 2, 32, 32, 2)


@pytest.fixture
def official(monkeypatch, tmp_path):
    """A tiny SAM of the released classes under the name of an official one, saved to disk."""
    from segment_anything import sam_model_registry

    monkeypatch.setitem(sam_model_registry, "vit_b", tiny_official)
    torch.manual_seed(1)
    path = tmp_path / "sam_vit_b.pth"
    torch.save(tiny_official().state_dict(), path)
    return path


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_an_official_checkpoint_goes_through_the_released_generator(official, picture, crop_layers):
    settings = SegmenterSettings(points_per_side=4, points_per_batch=8, crop_layers=crop_layers)
    segmenter = load_segmenter("vit_b", official, settings)
    assert isinstance(segmenter, OfficialSamSegmenter)
    found = segmenter.segment(picture)
    assert found
    for region in found:
        x0, y0, x1, y1 = region.box_xyxy
        ys, xs = np.nonzero(region.mask)
        if region.source == "sam":
            assert (x0, y0, x1, y1) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_official_floors_may_leave_nothing(official, picture):
    assert load_segmenter("vit_b", official).settings == SEGMENTER_PRESETS["official"]
    strict = SegmenterSettings(points_per_side=2, predicted_iou_floor=1.0, stability_floor=1.0)
    assert load_segmenter("vit_b", official, strict).segment(picture) == []


def test_files_of_another_model_are_refused(weights, official, tmp_path):
    with pytest.raises(ModelError, match="does not fit the small SAM"):
        load_segmenter("small", official)
    with pytest.raises(ModelError, match="does not fit the vit_b SAM"):
        load_segmenter("vit_b", weights)
    other = tmp_path / "other.safetensors"
    save_state(other, {"weight": torch.zeros(3)})
    with pytest.raises(ModelError, match="does not fit"):
        load_segmenter("small", other)


def test_missing_truncated_and_unknown_are_refused(weights, official, tmp_path):
    with pytest.raises(ModelError, match="No SAM weights at"):
        load_segmenter("small", tmp_path / "nothing.safetensors")
    with pytest.raises(ModelError, match="Unknown segmenter 'vit_x'"):
        load_segmenter("vit_x", weights)
    for source in (weights, official):
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(source.read_bytes()[:50_000])
        with pytest.raises(ModelError, match=r"damaged|refused"):
            load_segmenter("small", cut)


def test_a_pickle_is_refused_and_never_runs(tmp_path):
    import pickle

    class Bomb:
        def __reduce__(self):
            return partial(open, tmp_path / "boom", "w"), ()

    path = tmp_path / "bomb.pth"
    path.write_bytes(pickle.dumps({"weight": Bomb()}))
    with pytest.raises(ModelError, match="refused"):
        load_segmenter("small", path)
    assert not (tmp_path / "boom").exists()
