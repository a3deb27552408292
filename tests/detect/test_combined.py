"""Density and caption in one ranking."""

import numpy as np
import pytest

from clipforensics.detect.apart import MEASURES, Apart, lengths
from clipforensics.detect.combined import (
    CAP,
    VOTE,
    WEIGHT,
    Footings,
    combined,
    density_and_caption,
    votes,
)
from clipforensics.detect.metrics import auroc
from clipforensics.errors import DataError


def by_scales(outlying):
    """What lies apart by density over scales alone: the other measures tell nothing."""
    return Apart(outlying, *np.zeros((3, len(outlying))))


def ranked(outlying, disagreement):
    apart = outlying if isinstance(outlying, Apart) else by_scales(outlying)
    return combined(apart, disagreement, Footings.of(apart, disagreement))


def test_both_parts_stand_on_one_footing_by_hand():
    outlying = np.array([0.0, 1, 2, 3, 4])  # median 2, MAD 1
    one = 1 / 1.4826
    same = np.full(5, 0.5)  # all equal: tells nothing
    np.testing.assert_allclose(ranked(outlying, same), [-2 * one, -one, 0, one, 2 * one])
    disagreement = np.array([12.0, 2, 0, 1, 3])  # median 2, MAD 1; 10 / 1.4826 is cut at 2
    expected = np.array([-2 * one, -one, 0, one, 2 * one]) + WEIGHT * np.array(
        [CAP, 0, -2 * one, -one, one]
    )
    np.testing.assert_allclose(ranked(outlying, disagreement), expected)


def test_a_caption_that_fits_too_well_counts_no_more_than_one_that_does_not():
    on = Footings(dict.fromkeys([*MEASURES, "outlying", "disagreement"], (0.0, 1.0)))
    np.testing.assert_array_equal(
        combined(by_scales(np.zeros(4)), np.array([-9.0, -1, 1, 9]), on),
        WEIGHT * np.array([-CAP, -1, 1, CAP]),
    )


def test_density_and_caption_alone_by_hand():
    one = 1 / 1.4826
    found = density_and_caption(np.array([0.0, 1, 2, 3, 4]), np.array([12.0, 2, 0, 1, np.nan]))
    # of 12, 2, 0 and 1: median 1.5, MAD 1; the first is cut at 2, the last says nothing
    odd = np.array([CAP, 0.5 * one, -1.5 * one, -0.5 * one, 0])
    np.testing.assert_allclose(found, np.array([-2, -1, 0, 1, 2]) * one + odd)


def test_density_and_length_lead_and_the_others_have_a_vote():
    on = Footings(dict.fromkeys([*MEASURES, "outlying", "disagreement"], (0.0, 1.0)))
    many = np.array([-9.0, -0.5, 0.5, 9])
    said = votes(Apart(many, many, many, many), on)
    np.testing.assert_array_equal(said["scales"], many)
    np.testing.assert_array_equal(said["norm"], [-VOTE, -0.5, 0.5, 9])
    for name in ("kdist", "dimension"):
        np.testing.assert_array_equal(said[name], [-VOTE, -0.5, 0.5, VOTE])
    found = combined(Apart(many, many, many, many), np.zeros(4), on)
    np.testing.assert_array_equal(found, [-9 - 3 * VOTE, -2, 2, 18 + 2 * VOTE])


def test_the_sum_of_the_measures_has_a_footing_of_its_own():
    on = Footings(dict.fromkeys([*MEASURES, "disagreement"], (0.0, 1.0)) | {"outlying": (2.0, 4.0)})
    found = combined(Apart(*np.full((4, 1), 5.0)), np.zeros(1), on)
    np.testing.assert_allclose(found, (5 + 5 + VOTE + VOTE - 2) / 4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_lengths_that_differ_by_rounding_alone_have_no_say(rng, dtype):
    x = rng.normal(size=(500, 64))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)
    x[3] *= dtype(1.002)  # else one pair were on top at no cost
    lying = Apart(*rng.normal(size=(3, 500)), lengths(x))
    on = Footings.of(lying, np.zeros(500))
    assert (votes(lying, on)["norm"] == 0).all()
    lying.norm[:] = rng.normal(10, 0.1, 500)
    assert votes(lying, Footings.of(lying, np.zeros(500)))["norm"].std() > 0.5


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_lengths_neither_overflow_nor_vanish(rng, scale):
    x = rng.normal(size=(9, 5))
    x[4] = 0
    np.testing.assert_allclose(lengths(scale * x), scale * np.linalg.norm(x, axis=1), rtol=1e-12)


def test_a_file_that_was_cut_short_is_said(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.normal(size=(4000, 64)).astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with open(tmp_path / "x.npy", "r+b") as file:
        file.truncate(50_000)
    with pytest.raises(DataError, match="was cut short"):
        lengths(mapped)


def test_lengths_are_of_what_is_scored(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("clipforensics.detect.embeddings.CHUNK_NUMBERS", 7 * 600)
    x = (100 * rng.normal(size=(20, 600))).astype(
        np.float16
    )  # squares that half precision cannot hold
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_allclose(lengths(mapped), np.linalg.norm(x.astype(float), axis=1), rtol=1e-6)
    np.testing.assert_array_equal(lengths(mapped, normalize=True), np.ones(20))


def test_a_score_that_many_rows_share_sets_the_footing_once():
    scores = np.array([0.0, 1, 2, 3, 4] + [4.0] * 40)  # of the different ones: median 2, MAD 1
    assert Footings.of(by_scales(scores), scores).by_name["disagreement"] == pytest.approx(
        (2, 1.4826)
    )


@pytest.mark.parametrize("share", [0.3, 0.53, 0.9])
@pytest.mark.parametrize("jitter", [0.0, 1e-7])
def test_many_copies_of_one_pair_do_not_blank_the_ranking(share, jitter, rng):
    outlying, disagreement = rng.normal(size=(2, 2000))
    truth = np.arange(2000) < 30
    outlying[truth] += 6
    copies = np.arange(2000) >= 2000 * (1 - share)
    for one in (outlying, disagreement):
        one[copies] = 0.1 + jitter * rng.normal(size=copies.sum())
    found = ranked(outlying, disagreement)
    assert auroc(found, truth) > 0.99
    assert np.abs(found).max() < 200


def test_the_units_of_neither_score_matter(rng):
    a, b = rng.normal(size=(4, 200)), rng.normal(size=200)
    other = Apart(*(a * [[3], [0.2], [5], [40]] + 7))
    np.testing.assert_allclose(ranked(Apart(*a), b), ranked(other, 0.1 * b - 4), atol=1e-9)


def test_shuffling_rows_shuffles_the_ranking(rng):
    a, b, order = Apart(*rng.normal(size=(4, 99))), rng.normal(size=99), rng.permutation(99)
    np.testing.assert_allclose(ranked(a[order], b[order]), ranked(a, b)[order])


def test_a_row_without_direction_counts_as_usual_and_one_without_density_has_no_score(rng):
    a, b = rng.normal(size=99), rng.normal(size=99)
    a[3], b[5] = np.nan, np.nan
    found = ranked(a, b)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]
    on = Footings.of(by_scales(a), b).by_name
    assert found[5] == pytest.approx((a[5] - np.nanmedian(a)) / on["scales"][1] / on["outlying"][1])


def test_nothing_to_compare_leaves_the_density_alone(rng):
    a = rng.normal(size=50)
    assert (np.argsort(ranked(a, np.full(50, np.nan))) == np.argsort(a)).all()


def test_footings_survive_json():
    import json

    on = Footings.of(Apart(*np.arange(36.0).reshape(4, 9)), np.arange(9.0) ** 2)
    assert Footings.read(json.loads(json.dumps(on.record()))) == on


def test_one_planted_extreme_does_not_silence_the_density(rng):
    outlying, disagreement = rng.normal(size=(2, 2000))
    alone = ranked(outlying, disagreement)
    outlying[0] = 1e9
    np.testing.assert_allclose(ranked(outlying, disagreement)[1:], alone[1:], atol=0.02)


def made(seed):
    """Poison that lies apart a little and fits its caption a little less well."""
    rng = np.random.default_rng(seed)
    outlying, disagreement = rng.normal(size=(2, 5000))
    truth = np.arange(5000) < 50
    outlying[truth] += 2.5
    disagreement[truth] += 1.5
    return outlying, disagreement, truth


def test_a_poison_that_both_parts_see_a_little_is_seen_better_by_both():
    found = np.array([
        [auroc(ranked(a, b), truth), auroc(a, truth), auroc(b, truth)]
        for a, b, truth in map(made, range(5))
    ]).mean(axis=0)  # fmt: skip
    assert found[0] > found[1] > found[2]


@pytest.mark.parametrize("seed", range(5))
def test_captions_swapped_by_mistake_do_not_lead_the_ranking(seed):
    outlying, disagreement, truth = made(seed)
    disagreement[50:300] += 8
    top = {name: truth[np.argsort(-score)[:50]].mean() for name, score in
           (("cut", ranked(outlying, disagreement)), ("sum", outlying + disagreement))}  # fmt: skip
    assert top["cut"] > 0.2 > 0.02 >= top["sum"]
