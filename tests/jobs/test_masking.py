"""Masks kept in a case: cut once, the same when read back, bounded on disk."""

from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases.evidence import check_all
from clipforensics.config.oracle import SEGMENTER_PRESETS, SegmenterSettings
from clipforensics.errors import CaseError
from clipforensics.jobs.hunting.masking import KeptMasks
from clipforensics.oracle.regions import Region, grid_regions, whole


class Counted:
    """A segmenter that remembers how often it was asked."""

    def __init__(self, fingerprint="plain", regions=None):
        self.fingerprint, self.regions, self.calls = fingerprint, regions, 0

    def segment(self, picture):
        self.calls += 1
        return grid_regions(*picture.shape[:2])[:7] if self.regions is None else self.regions

    def with_settings(self, settings):
        return Counted(f"{self.fingerprint}, {settings.sha256()}", self.regions)


@pytest.fixture
def case(tmp_path):
    return SimpleNamespace(dir=tmp_path)


@pytest.fixture
def picture(rng):
    return rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)


def same(one: list[Region], two: list[Region]) -> bool:
    return len(one) == len(two) and all(
        (a.box_xyxy, a.predicted_iou, a.stability, a.source)
        == (b.box_xyxy, b.predicted_iou, b.stability, b.source)
        and (a.mask == b.mask).all()
        for a, b in zip(one, two, strict=True)
    )


def test_the_same_picture_is_cut_once_and_read_back_alike(case, picture):
    asked = Counted()
    first = KeptMasks(case, asked).segment(picture)
    again = KeptMasks(case, asked).segment(picture.copy())
    assert asked.calls == 1
    assert same(first, again)
    assert check_all(case) == []


def test_other_pixels_shapes_settings_and_weights_are_cut_anew(case, picture):
    asked = Counted()
    kept = KeptMasks(case, asked)
    kept.segment(picture)
    other = picture.copy()
    other[0, 0, 0] ^= 1
    kept.segment(other)
    kept.segment(picture.reshape(20, 24, 3))
    assert asked.calls == 3
    fast = kept.with_settings(SEGMENTER_PRESETS["fast"])
    fast.segment(picture)
    fast.segment(picture)
    assert fast.segmenter.calls == 1
    assert fast.fingerprint != kept.fingerprint
    stranger = Counted("other weights")
    KeptMasks(case, stranger).segment(picture)
    assert stranger.calls == 1


@pytest.mark.parametrize("regions", [[], [whole(24, 20)]])
def test_no_mask_and_one_over_all_are_remembered_too(case, picture, regions):
    asked = Counted(regions=regions)
    for _ in range(2):
        assert same(KeptMasks(case, asked).segment(picture), regions)
    assert asked.calls == 1


def test_a_full_share_of_the_disk_keeps_no_more_but_still_answers(case, picture, rng):
    asked = Counted()
    kept = KeptMasks(case, asked, most_bytes=1)
    kept.segment(picture)  # the first still fits under the limit
    other = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    assert kept.segment(other)
    assert kept.segment(other)
    assert KeptMasks(case, asked, most_bytes=1).segment(other)
    assert asked.calls == 4
    assert len(list((case.dir / "evidence" / "masks").iterdir())) == 1


def test_damaged_masks_are_one_sentence(case, picture):
    KeptMasks(case, Counted()).segment(picture)
    (file,) = (case.dir / "evidence" / "masks").glob("*/masks.npz")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CaseError, match="masks.npz changed since it became evidence"):
        KeptMasks(case, Counted()).segment(picture)


def test_the_small_sam_embeds_a_picture_once_for_all_its_prompts(picture, monkeypatch):
    from clipforensics.oracle import small_sam
    from clipforensics.oracle.segmenter import SmallSamSegmenter

    calls, real = [], small_sam.encode
    monkeypatch.setattr(small_sam, "encode", lambda *a: calls.append(1) or real(*a))
    settings = SegmenterSettings(points_per_side=6, points_per_batch=5)  # eight batches
    SmallSamSegmenter(small_sam.small_sam(), settings, "none").segment(picture)
    assert len(calls) == 1
