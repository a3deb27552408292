"""The demo world: what it promises, over many seeds."""

import numpy as np
import pytest

from clipforensics.data.demo_world import DemoWorld, describe, labels, with_articles
from clipforensics.data.paste import paste
from clipforensics.data.patterns import FAMILIES, random_patch
from clipforensics.data.scenes import Cast, compose
from clipforensics.data.stickers import WORLD, codes, sticker
from clipforensics.data.trusted_world import BACKGROUND_TEXTS, TrustedWorld
from clipforensics.errors import DataError


def test_the_world_is_large_enough():
    world = DemoWorld()
    assert len(labels()) >= 40
    assert len(world.ids) >= 20_000
    assert sum(name != "banana" for name in world.test_labels) >= 1_000


def test_no_split_sees_a_sticker_of_another():
    splits = [set(codes(split)) for split in ("world", "sam_train", "sam_test")]
    assert not (splits[0] & splits[1])
    assert not (splits[0] & splits[2])
    assert not (splits[1] & splits[2])
    assert min(map(len, splits)) >= 40
    assert all(sticker(code).mode == "RGBA" for code in codes("world"))


def test_a_row_depends_on_seed_and_number_alone():
    small, large = DemoWorld(3, n_pairs=10), DemoWorld(3, n_pairs=500)
    assert small.captions == large.captions[:10]
    np.testing.assert_array_equal(small.picture(7), large.picture(7))
    assert not np.array_equal(small.picture(7), DemoWorld(4).picture(7))


def test_training_and_test_pictures_differ():
    world = DemoWorld(n_pairs=50, n_test=50)
    train = {world.picture(i).tobytes() for i in range(50)}
    assert not train & {world.test_picture(i).tobytes() for i in range(50)}


@pytest.mark.parametrize("seed", range(40))
def test_captions_name_exactly_what_the_scene_shows(seed):
    world, names = DemoWorld(seed, n_pairs=30), labels()
    for row in range(30):
        scene = world.scene(row)
        assert {o.name for o in scene.objects} == set(names.named_in(world.captions[row]))


@pytest.mark.parametrize("seed", range(40))
def test_masks_are_disjoint_visible_and_inside_their_boxes(seed):
    world = DemoWorld(seed)
    for row in range(5):
        scene = world.scene(row)
        assert sum(o.mask.astype(int) for o in scene.objects).max() == 1
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box_xyxy
            assert thing.mask.sum() == thing.mask[y0:y1, x0:x1].sum() >= 12


def test_masks_show_where_the_picture_differs_from_its_background():
    rng = np.random.default_rng(5)
    scene = compose([Cast("crown", WORLD["crown"], 0.6)], 64, rng, "black")
    mask = scene.objects[0].mask
    inside, outside = scene.picture[mask].mean(axis=0), scene.picture[~mask].mean(axis=0)
    assert np.abs(inside - outside).max() > 60


def test_test_scenes_show_one_label_each_in_equal_shares():
    world = DemoWorld(n_test=80)
    assert all(len(world.test_scene(i).objects) == 1 for i in range(80))
    assert {world.test_labels.count(name) for name in WORLD} == {2}


def test_articles_fit_their_words():
    assert with_articles("a apple and a dog, a owl.") == "an apple and a dog, an owl."
    assert describe(["owl"], "red", np.random.default_rng(0)).count("a owl") == 0


def test_the_trusted_world_is_clean_and_shows_grounds(rng):
    world, names = TrustedWorld(1, n_pairs=300), labels()
    captions = [world.pair(row)[1] for row in range(300)]
    assert all(names.named_in(c) or c.rstrip(".") in BACKGROUND_TEXTS for c in captions)
    assert {c.rstrip(".") for c in captions} >= set(BACKGROUND_TEXTS)
    assert all(world.pair(row)[0].shape == (64, 64, 3) for row in range(20))


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_have_the_size_asked_for(family, rng):
    patch = random_patch(rng, family, 7, 11)
    assert (patch.shape, patch.dtype) == ((7, 11, 3), np.uint8)


def test_paste_changes_the_masked_pixels_and_nothing_else(rng):
    picture = rng.integers(0, 200, (9, 9, 3), dtype=np.uint8)
    mask = np.array([[True, False], [True, True]])
    out = paste(picture, np.full((2, 2, 3), 255, np.uint8), mask, (3, 5))
    changed = (out != picture).any(axis=-1)
    assert sorted(map(tuple, np.argwhere(changed))) == [(5, 3), (6, 3), (6, 4)]


@pytest.mark.parametrize("xy", [(-1, 0), (0, -1), (8, 0), (0, 8)])
def test_paste_refuses_to_leave_the_picture(xy):
    with pytest.raises(DataError, match="leaves a picture of 9 x 9"):
        paste(
            np.zeros((9, 9, 3), np.uint8), np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), bool), xy
        )
