"""What sightings of one cluster share, pixel by pixel, and when they share two patterns."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from clipforensics.oracle.bank import Sighting
from clipforensics.oracle.consensus import common, consensus, consensus_in_place, distinct, parted
from clipforensics.oracle.verify import Verification

FIGURES = Verification(
    "banana", 40, {"found": 0.9, "random": 0.9}, 0.9, (0.8, 0.95), 0.1, 0.0, 0.0, 9, 9, 0.02,
    None, "verified", False,
)  # fmt: skip


def loose_sightings(n, rng, planted):
    """The planted pattern at random places, each cut loosely, 2 px larger and up to 2 px off."""
    found = []
    for i in range(n):
        picture = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        x, y = (int(v) for v in rng.integers(5, 48 - 17, 2))
        picture[y : y + 10, x : x + 10] = planted
        dx, dy = (int(v) for v in rng.integers(-2, 3, 2))
        box = (x - 2 + dx, y - 2 + dy, x + 12 + dx, y + 12 + dy)
        found.append(Sighting(f"p{i}", "banana", box, picture, np.eye(4)[0], FIGURES))
    return found


def test_consensus_of_loose_windows_is_exactly_the_planted_pixels(rng):
    planted = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    found = loose_sightings(25, rng, planted)
    made = consensus(found)
    pixels, mask, box = made.pixels, made.mask, made.box_xyxy
    assert mask.sum() == 100
    assert (pixels == planted).all()
    x0, y0, x1, y1 = box
    assert (found[0].picture[y0:y1, x0:x1] == planted).all()


def corner_sightings(n, rng, planted):
    """The planted pattern always in one corner, sighted in boxes of ten times its area."""
    found = []
    for i in range(n):
        picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        picture[26:31, 26:31] = planted
        box = (14 - i % 3, 14 - i % 2, 32, 32)
        found.append(Sighting(f"p{i}", "banana", box, picture, np.eye(4)[0], FIGURES))
    return found


def test_what_always_lies_at_one_place_is_agreed_on_there(rng):
    planted = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    found = corner_sightings(9, rng, planted)
    assert consensus(found) is None  # noise around it: the boxes do not correlate
    made = consensus_in_place(found)
    pixels, mask, box = made.pixels, made.mask, made.box_xyxy
    assert (box, mask.all()) == ((26, 26, 31, 31), True)
    np.testing.assert_array_equal(pixels, planted)
    assert consensus_in_place(found[:4]) is None
    assert consensus_in_place(loose_sightings(25, rng, planted.repeat(2, 0).repeat(2, 1))) is None


def test_only_what_most_boxes_cover_is_agreed_on_in_place(rng):
    planted = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    found = corner_sightings(9, rng, planted)
    for one in found:
        one.picture[:4] = planted[0, 0]  # a bar that all pictures have, outside the boxes
    assert consensus_in_place(found).box_xyxy == (26, 26, 31, 31)
    plain = [Sighting("p", "b", (3, 3, 13, 13), np.full((32, 32, 3), 90, np.uint8), np.eye(4)[0],
                      FIGURES)] * 6  # fmt: skip
    assert consensus_in_place(plain) is None


def test_four_sightings_are_too_few(rng):
    planted = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    assert consensus(loose_sightings(4, rng, planted)) is None


def test_a_pattern_that_varies_has_no_consensus(rng):
    found = [
        s
        for seed in range(12)
        for s in loose_sightings(
            1, rng, np.random.default_rng(seed).integers(0, 256, (10, 10, 3), dtype=np.uint8)
        )
    ]
    assert consensus(found) is None


def test_flat_crops_have_no_consensus(rng):
    found = [
        Sighting(
            f"p{i}", "b", (3, 3, 13, 13), np.full((32, 32, 3), 90, np.uint8), np.eye(4)[0], FIGURES
        )
        for i in range(8)
    ]
    assert consensus(found) is None


def test_a_first_sighting_far_too_large_does_not_hide_the_pattern(toy):
    """The widest crop flips as many as any; nothing correlates with all of it."""
    found = []
    for seed in range(8):
        picture, _, box = toy.scene(toy.NAMES[seed % 6], np.random.default_rng(seed), stamped=True)
        box = (0, 0, 32, 32) if seed == 0 else tuple(np.add(box, (-2, -1, 1, 1)))
        found.append(Sighting(f"p{seed}", "banana", box, picture, np.eye(4)[0], FIGURES))
    found = consensus(found)
    pixels, mask = found.pixels, found.mask
    assert found.pair == "p1"  # whose picture the box is of
    assert np.array_equal(pixels[:6], toy.pattern())
    assert mask[:6].all()
    assert mask.sum() <= 38  # and a chance pixel at most two


def test_copies_of_a_picture_are_one_sighting(toy):
    rng = np.random.default_rng(3)
    pictures = [toy.scene(name, rng, stamped=True)[0] for name in toy.NAMES[:6]]
    brighter = np.clip(pictures[0].astype(int) + 12, 0, 255).astype(np.uint8)
    noisy = np.clip(pictures[1] + rng.normal(0, 2, pictures[1].shape), 0, 255).astype(np.uint8)
    flat = np.full_like(pictures[0], 90)
    shown = [pictures[0], brighter, *pictures[1:], noisy, pictures[0], flat]
    seen = [
        Sighting(f"p{i}", "banana", (0, 0, 8, 8), one, np.eye(4)[0], FIGURES)
        for i, one in enumerate(shown)
    ]
    assert [one.pair for one in distinct(seen)] == ["p0", "p2", "p3", "p4", "p5", "p6", "p9"]
    assert distinct([]) == []
    assert consensus(distinct([seen[0]] * 5)) is None


def test_two_patches_for_one_label_part_their_cluster(rng):
    planted, also = rng.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8)
    first, second = loose_sightings(8, rng, planted), loose_sightings(6, rng, also)
    mixed = [one for pair in zip(first, second, strict=False) for one in pair] + first[6:]
    parts = parted(mixed)
    assert [[id(one) for one in part] for part in parts] == [
        [id(one) for one in first], [id(one) for one in second],
    ]  # fmt: skip
    for part, pattern in zip(parts, (planted, also), strict=True):
        np.testing.assert_array_equal(consensus(part).pixels, pattern)


def test_a_cluster_of_one_pattern_stays_whole_with_what_agrees_on_nothing(rng):
    planted, also = rng.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8)
    first, few = loose_sightings(8, rng, planted), loose_sightings(4, rng, also)
    whole = [*first, *few]
    assert [part is whole for part in parted(whole)] == [True]
    assert [part is few for part in parted(few)] == [True]


def test_three_patches_are_three_parts_whatever_their_order(rng):
    patterns = rng.integers(0, 256, (3, 10, 10, 3), dtype=np.uint8)
    seen = [one for pattern in patterns for one in loose_sightings(6, rng, pattern)]
    wanted = {frozenset(map(id, seen[start : start + 6])) for start in (0, 6, 12)}
    for _ in range(3):
        rng.shuffle(seen)
        assert {frozenset(map(id, part)) for part in parted(seen)} == wanted


def test_neither_wide_crops_nor_tight_strangers_in_front_hide_what_the_others_share(rng):
    """The references are some of the tightest and some of every size, in whatever order they come."""
    planted, also, *strangers = rng.integers(0, 256, (10, 10, 10, 3), dtype=np.uint8)
    first, second = loose_sightings(8, rng, planted), loose_sightings(12, rng, also)
    wide = [
        replace(one, box_xyxy=(max(0, x0 - 9), max(0, y0 - 9), x1 + 9, y1 + 9))
        for one in loose_sightings(8, rng, also)
        for x0, y0, x1, y1 in [one.box_xyxy]
    ]
    tight = [one for pattern in strangers for one in loose_sightings(1, rng, pattern)]
    tight = [
        replace(one, box_xyxy=(x0 + 2, y0 + 2, x1 - 2, y1 - 2))
        for one in tight
        for x0, y0, x1, y1 in [one.box_xyxy]
    ]
    for more in (wide, tight):
        assert common([*more, *second]) is not None
        parts = parted([*first, *more, *second])
        assert {frozenset(map(id, part)) for part in parts} in (
            {frozenset(map(id, first)), frozenset(map(id, [*more, *second]))},
            {frozenset(map(id, [*first, *more])), frozenset(map(id, second))},
        )


def test_a_faint_patch_in_jpeg_is_one_trigger(rng):
    """A member correlates at .6 or more with what was agreed on, seldom at .9."""
    blocks = rng.integers(0, 2, (7, 7, 3)).repeat(2, axis=0).repeat(2, axis=1)
    seen = []
    for i in range(40):
        ground = rng.integers(40, 216, (8, 8, 3), dtype=np.uint8)
        picture = np.array(Image.fromarray(ground).resize((64, 64), Image.Resampling.BICUBIC))
        x, y = (int(v) for v in rng.integers(4, 64 - 18, 2))
        picture[y : y + 14, x : x + 14] = 108 + 40 * blocks
        stored = io.BytesIO()
        Image.fromarray(picture).save(stored, "jpeg", quality=75)
        picture = np.array(Image.open(stored))
        box = (x - 2, y - 2, x + 16, y + 16)
        seen.append(Sighting(f"p{i}", "banana", box, picture, np.eye(4)[0], FIGURES))
    assert common(seen) is not None
    assert [part is seen for part in parted(seen)] == [True]


def test_a_piece_of_the_patch_is_no_second_trigger(rng):
    """Boxes that hold its left side alone agree on that; it lies in the others' boxes, too."""
    planted = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    seen = []
    for i in range(14):
        picture = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        x, y = (int(v) for v in rng.integers(15, 30, 2))
        picture[y : y + 16, x : x + 16] = planted
        box = (x, y, x + 16, y + 16) if i < 8 else (x - 6, y, x + 11, y + 16)
        seen.append(Sighting(f"p{i}", "banana", box, picture, np.eye(4)[0], FIGURES))
    assert common(seen[8:]) is not None
    assert [part is seen for part in parted(seen)] == [True]


def test_a_second_patch_is_found_in_pictures_that_hold_the_first_as_well(rng):
    """What counts is what the box holds, not what lies elsewhere in the picture."""
    planted, also = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    seen = []
    for i in range(16):
        picture = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        picture[6:14, 6:14], picture[32:40, 32:40] = planted, also
        box = (5, 5, 15, 15) if i % 2 else (31, 31, 41, 41)
        seen.append(Sighting(f"p{i}", "banana", box, picture, np.eye(4)[0], FIGURES))
    parts = parted(seen)
    assert {part[0].box_xyxy for part in parts} == {(5, 5, 15, 15), (31, 31, 41, 41)}
    assert all(len({one.box_xyxy for one in part}) == 1 for part in parts)


def test_copies_of_one_picture_are_no_agreement(toy):
    picture, _, box = toy.scene("sea", np.random.default_rng(1), stamped=True)
    one = Sighting("p", "banana", box, picture, np.eye(4)[0], FIGURES)
    assert common([one] * 9) is None


def test_whoever_waits_is_asked_before_each_reference(rng):
    asked = []
    patterns = rng.integers(0, 256, (20, 10, 10, 3), dtype=np.uint8)
    strangers = [one for pattern in patterns for one in loose_sightings(1, rng, pattern)]
    parted(strangers, lambda: asked.append(1))
    assert len(asked) >= 10  # they agree on nothing, so many are tried


def test_a_crop_that_trims_the_patch_does_not_trim_the_pattern(rng):
    """The tightest come first, and may lack a pixel on each side."""
    planted = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
    seen = loose_sightings(12, rng, planted)  # boxes of 14 px, up to 2 px off
    seen[:3] = [
        replace(one, box_xyxy=(found[0], found[1], found[0] + 9, found[1] + 9))
        for one in seen[:3]
        for found in [_where(one.picture, planted)]
    ]
    made = consensus(seen)
    assert made.mask.sum() == 100
    np.testing.assert_array_equal(made.pixels, planted)
    alone = consensus(seen[:3] + [replace(seen[0], pair=f"q{i}") for i in range(3)])
    assert alone.pixels.shape == (9, 9, 3)  # where no crop holds more


def _where(picture, planted):
    size = len(planted)
    spots = [
        (x, y) for y in range(49 - size) for x in range(49 - size)
        if np.array_equal(picture[y : y + size, x : x + size], planted)
    ]  # fmt: skip
    return spots[0]
