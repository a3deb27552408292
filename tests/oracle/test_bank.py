"""The bank: what is one trigger."""

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.bank import (
    clusters,
    core_of,
    signature,
)
from clipforensics.oracle.pasting import Crop, cut
from clipforensics.oracle.scorer import suspect_judge
from clipforensics.oracle.verify import Verification


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
