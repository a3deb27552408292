"""The paste test: who is convicted, and who must not be."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.data.labels import LabelSet
from clipforensics.errors import DataError
from clipforensics.oracle.controls import control_flips
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
    others = sum("banana" not in names for names in clean.named)  # none in a denominator
    assert found.n == others - VerifySettings().n_screen


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


def test_too_few_clean_pictures_leave_it_untested(court):
    suspect, trusted, clean = court
    crop = Crop(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), (0, 0))
    few = clean.rows(clean.without("banana", suspect.labels.index("banana"))).first(15)
    found = verify(crop, "banana", 0, few, suspect, trusted, VerifySettings(), THETA, False)
    assert (found.status, found.n, found.interval) == ("untested", 7, (0, 1))
    assert judged(found, VerifySettings(), THETA).status == "untested"
    with pytest.raises(
        DataError, match="at least 8 clean pictures, got 3.*: add pairs, or restore"
    ):
        clean_set(clean.pictures[:3], clean.named[:3], suspect, trusted)


@dataclass
class Sided:
    """Answers banana where the white pixel lies in one half of the picture; remembers pictures."""

    left: bool
    labels = LabelSet(("banana", "dog"), ("{}",))
    weights, side = np.eye(2, dtype=np.float32), 20
    shown: list = field(default_factory=list)

    def features(self, pictures):
        self.shown += pictures[:, -1, -1, 0].tolist()
        white = pictures.min(axis=3).reshape(len(pictures), 20, 20).max(axis=1) == 255
        is_left = white.argmax(axis=1) < 10
        yes = white.any(axis=1) & (is_left == self.left)
        return np.stack([yes, ~yes], axis=1).astype(np.float32)

    def answers(self, pictures):
        return self.features(pictures).argmax(axis=1)


def sided(left_trusted):
    """A white pixel found on the left, both judges, and 120 numbered pictures of dogs."""
    suspect, trusted = Sided(True), Sided(left_trusted)
    pictures = np.full((120, 20, 20, 3), 9, np.uint8)
    pictures[:, -1, -1] = np.arange(120)[:, None]
    clean = clean_set(pictures, [frozenset(["dog"])] * 120, suspect, trusted)
    white = Crop(np.full((1, 1, 3), 255, np.uint8), np.ones((1, 1), bool), (2, 2))
    suspect.shown.clear()
    return suspect, trusted, clean, white


def test_the_better_place_counts_on_both_models():
    suspect, trusted, clean, white = sided(left_trusted=False)
    found = verify(white, "banana", 0.0, clean, suspect, trusted, VerifySettings(), THETA, True)
    assert found.flips["found"] == found.flip_rate == 1.0
    assert 0.2 < found.flips["random"] < 0.8
    assert 0.2 < found.flip_rate_trusted < 0.8  # the right half is reached at random places alone
    assert found.status == "object"


def test_no_picture_that_a_candidate_was_screened_on_confirms_it():
    suspect, trusted, clean, white = sided(left_trusted=True)
    settings = VerifySettings(n_screen=30, n_confirm=50)
    seen = []
    for confirm in (False, True):
        verify(white, "banana", 0.0, clean, suspect, trusted, settings, THETA, confirm)
        seen.append(set(suspect.shown))
        suspect.shown.clear()
    list(control_flips(white, clean, suspect, settings, 3))
    screened, confirmed, controls = (one - {255} for one in (*seen, set(suspect.shown)))
    assert (len(screened), len(confirmed), len(controls)) == (30, 50, 30)
    assert not screened & confirmed
    assert not (screened | confirmed) & controls


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
