"""The bank: what is one trigger, and its pattern without its backgrounds."""

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.bank import (
    Sighting,
    clusters,
    consensus,
    consensus_in_place,
    core_of,
    distinct,
    signature,
)
from clipforensics.oracle.pasting import Crop, cut
from clipforensics.oracle.scorer import suspect_judge
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


def test_clusters_need_equal_label_and_near_signature():
    near = np.array([[1, 0], [0.97, 0.243], [0, 1], [1, 0]], np.float32)
    assert clusters(["a", "a", "a", "b"], near) == [[0, 1], [2], [3]]


def test_single_link_joins_through_a_middle_member():
    turns = np.deg2rad([0, 20, 40])
    chain = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    assert clusters(["a"] * 3, chain) == [[0, 1, 2]]


def test_clusters_ignore_order(rng):
    signatures = rng.normal(size=(20, 3))
    signatures /= np.linalg.norm(signatures, axis=1, keepdims=True)
    order = rng.permutation(20)
    plain = {frozenset(g) for g in clusters(["a"] * 20, signatures)}
    moved = {frozenset(int(order[i]) for i in g) for g in clusters(["a"] * 20, signatures[order])}
    assert plain == moved


def test_crops_of_one_trigger_have_one_signature(toy, rng):
    suspect = suspect_judge(toy.ToyClip(True, "s"), toy.LABELS)
    pictures = np.stack([toy.scene(toy.NAMES[i % 6], rng)[0] for i in range(40)])
    before = suspect.features(pictures)
    shots = []
    for seed in (1, 2):
        picture, _, box = toy.scene("leaf", np.random.default_rng(seed), stamped=True)
        larger = (box[0] - seed, box[1] - 1, box[2] + 1, box[3] + seed)
        shots.append(signature(cut(picture, larger), pictures, before, suspect, 0))
    disc, _, _ = toy.scene("cherry", rng)
    other = signature(
        Crop(disc[8:20, 4:16], np.ones((12, 12), bool), (0, 0)), pictures, before, suspect, 0
    )
    assert shots[0] @ shots[1] > 0.98
    assert shots[0] @ other < 0.9
    assert np.linalg.norm(shots[0]) == pytest.approx(1, abs=1e-5)


class CornerClip:
    """Shifts its answer by what lies in the top left corner, and by little noise elsewhere."""

    def features(self, pictures):
        corner = pictures[:, :4, :4].reshape(len(pictures), -1).astype(np.float32) / 255
        rest = pictures[:, 8:, 8:].reshape(len(pictures), -1)[:, :48].astype(np.float32) / 255
        found = np.concatenate([corner, rest], axis=1)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_trigger_of_one_corner_is_one_cluster_though_it_does_nothing_elsewhere(rng):
    suspect = CornerClip()
    pictures = rng.integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    before, pattern = suspect.features(pictures), rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    crops = []
    for size in (4, 5, 6):  # the same patch with more or less background
        pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
        pixels[:4, :4] = pattern
        crops.append(Crop(pixels, np.ones((size, size), bool), (0, 0)))

    def groups(tied_to_place):
        made = [signature(one, pictures, before, suspect, 0, tied_to_place) for one in crops]
        return clusters(["a"] * 3, np.stack(made))

    assert len(groups(True)) == 1
    assert len(groups(False)) == 3


@pytest.mark.parametrize(
    ("found", "elsewhere", "tied"), [(1.0, 0.0, True), (0.9, 0.8, False), (0.2, 0.9, False)]
)
def test_a_trigger_is_tied_to_its_place_where_it_hardly_works_elsewhere(found, elsewhere, tied):
    from types import SimpleNamespace

    from clipforensics.oracle.verify import Verification

    figures = SimpleNamespace(flips={"found": found, "random": elsewhere})
    assert Verification.tied_to_place.fget(figures) is tied


def test_core_shrinks_but_never_vanishes():
    assert core_of(np.ones((14, 14), bool)).sum() == 64
    assert core_of(np.ones((5, 4), bool)).sum() > 0
    assert core_of(np.ones((1, 1), bool)).sum() == 1


def test_enough_control_crops_that_a_p_of_one_in_a_hundred_can_be_reached():
    settings = VerifySettings()
    assert (settings.n_screen, settings.n_confirm) == (40, 200)
    assert 1 / (settings.controls + 1) < 0.01


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
