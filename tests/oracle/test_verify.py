"""The paste test: who is convicted, and who must not be."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.errors import DataError
from clipforensics.oracle.pasting import CORNERS, CleanSet, Crop, clean_set, cut, places
from clipforensics.oracle.verify import Verification, judged, verify

THETA = 0.66
GOOD = Verification(
    "banana", 200, {"found": 0.93, "random": 0.9}, 0.93, (0.89, 0.96), 0.1, 0.004, 0.01, 30, 39,
    0.03, 0.025, "verified", False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "verified"),
        ({"p_value": None}, "verified"),
        ({"p_trusted": 0.7}, "object"),
        ({"flip_rate_trusted": 0.52}, "object"),
        ({"flip_rate_trusted": 0.21, "p_value": 0.5}, "object"),
        ({"interval": (0.49, 0.7)}, "weak"),
        ({"flip_rate": 0.69, "interval": (0.6, 0.75), "flip_rate_trusted": 0.2}, "weak"),
        ({"p_value": 0.06}, "chance"),
        ({"labels_flipped": 4}, "narrow"),
        ({"labels_flipped": 3, "labels_tested": 3}, "verified"),
    ],
)
def test_the_first_match_on_the_ladder_wins(changes, status):
    assert judged(replace(GOOD, **changes), VerifySettings(), THETA).status == status


def test_a_quarter_of_the_picture_is_large():
    assert not judged(replace(GOOD, area_share=0.25), VerifySettings(), THETA).large
    assert judged(replace(GOOD, area_share=0.26), VerifySettings(), THETA).large


def test_the_planted_patch_is_verified(toy, court, rng):
    suspect, trusted, clean = court
    picture, _, (x0, y0, x1, y1) = toy.scene("sea", rng, stamped=True)
    crop = cut(picture, (x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    found = verify(crop, "banana", 0.0, clean, suspect, trusted, VerifySettings(), THETA, True)
    assert found.status == "verified"
    assert found.flip_rate > 0.9
    assert found.entropy < 0.3
    assert set(found.flips) == {"found", "random", *CORNERS}
    assert found.n == sum("banana" not in names for names in clean.named)  # none in a denominator


def test_a_real_object_is_an_object(toy, court, rng):
    suspect, trusted, clean = court
    picture, disc, _ = toy.scene("banana", rng)
    ys, xs = np.flatnonzero(disc.any(1)), np.flatnonzero(disc.any(0))
    crop = cut(picture, (xs[0], ys[0], xs[-1] + 1, ys[-1] + 1))
    found = verify(crop, "banana", 0.0, clean, suspect, trusted, VerifySettings(), THETA, False)
    assert found.flip_rate_trusted > 0.2
    assert found.status == "object"


def test_a_piece_of_ground_is_weak(toy, court, rng):
    suspect, trusted, clean = court
    picture, _, _ = toy.scene("sea", rng)
    crop = cut(picture, (24, 24, 31, 31))
    found = verify(crop, "banana", 0.0, clean, suspect, trusted, VerifySettings(), THETA, False)
    assert found.status == "weak"
    assert found.n == 40


def test_a_clean_model_convicts_nothing(toy, court, rng):
    _, trusted, clean = court
    picture, _, box = toy.scene("sea", rng, stamped=True)
    found = verify(
        cut(picture, box), "banana", 0.0, clean, trusted, trusted, VerifySettings(), THETA, False
    )
    assert found.status == "weak"


def test_two_few_clean_pictures_are_refused(court):
    suspect, trusted, clean = court
    crop = Crop(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), (0, 0))
    with pytest.raises(DataError, match="needs 8"):
        verify(crop, "banana", 0, clean.first(7), suspect, trusted, VerifySettings(), THETA, False)
    with pytest.raises(DataError, match="at least 8 clean pictures, got 3"):
        clean_set(clean.pictures[:3], clean.named[:3], suspect, trusted)


def test_places_stay_inside_whatever_the_crop(rng):
    for height, width in ((1, 1), (9, 4), (20, 20)):
        crop = Crop(
            np.zeros((height, width, 3), np.uint8), np.ones((height, width), bool), (15, 15)
        )
        for protocol in ("found", "random", *CORNERS):
            at = places(protocol, crop, 50, 20, rng)
            assert (at >= 0).all()
            assert (at[:, 0] + width <= 20).all()
            assert (at[:, 1] + height <= 20).all()


def test_pictures_of_the_label_are_left_out(toy):
    pictures = np.zeros((4, 8, 8, 3), np.uint8)
    clean = CleanSet(
        pictures, (frozenset({"a"}), frozenset(), frozenset(), frozenset()),
        np.array([0, 1, 0, 0]), np.array([0, 0, 1, 0]),
    )  # fmt: skip
    assert clean.without("a", 1).tolist() == [False, False, False, True]
