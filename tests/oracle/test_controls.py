"""Controls: asking about a few pictures first must change the cost alone."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle import controls
from clipforensics.oracle.controls import (
    ENOUGH_AS_GOOD,
    Compared,
    against_controls,
    as_good_as,
    control_flips,
)
from clipforensics.oracle.pasting import Crop, cut, pasted_at, random_crop

SETTINGS = VerifySettings()


class Counting:
    """An encoder that counts the pictures it is shown."""

    def __init__(self, encoder):
        self.encoder, self.shown = encoder, 0

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_pictures(self, pictures):
        self.shown += len(pictures)
        return self.encoder.encode_pictures(pictures)


def planted(toy, rng):
    picture, _, (x0, y0, x1, y1) = toy.scene("sea", rng, stamped=True)
    return cut(picture, (x0 - 1, y0 - 1, x1 + 1, y1 + 1))


def quarter(toy, rng):
    """A quarter of a picture: its controls flip a fifth of the answers, or all, or in between."""
    return cut(toy.scene("banana", rng)[0], (4, 4, 20, 20))


@pytest.mark.parametrize("make", [planted, quarter])
def test_the_same_controls_are_as_good_as_when_all_pictures_are_asked(toy, court, rng, make):
    suspect, _, clean = court
    crop = make(toy, rng)
    flips = np.array(list(control_flips(crop, clean, suspect, SETTINGS, 40)))
    some = np.quantile(flips, [0.1, 0.5, 0.9], method="nearest")
    for least in (0.0, *some, 0.35, 0.7, 1.0):
        found = list(as_good_as(float(least), crop, clean, suspect, SETTINGS, 40))
        assert found == (flips >= least).tolist()
    if make is quarter:
        assert flips.min() < some[1] < flips.max()  # else it would tell little


def test_none_of_100_controls_does_what_the_planted_patch_does(toy, court, rng):
    suspect, _, clean = court
    found = against_controls(planted(toy, rng), clean, suspect, SETTINGS, clusters=1)
    assert found == Compared(1 / 101, controls=100, as_good=0, pictures=SETTINGS.n_screen)


def test_controls_are_pasted_on_pictures_that_no_candidate_was_chosen_by(
    toy, court, rng, monkeypatch
):
    suspect, _, clean = court
    asked = []

    def seen(crop, shown, *rest):
        asked.append(shown.pictures)
        return pasted_at(crop, shown, *rest)

    monkeypatch.setattr(controls, "pasted_at", seen)
    against_controls(planted(toy, rng), clean, suspect, SETTINGS, clusters=1)
    last = clean.pictures[-SETTINGS.n_screen :]
    assert len(clean) >= 2 * SETTINGS.n_screen
    assert asked
    assert all(np.array_equal(pictures, last) for pictures in asked)


def test_more_clusters_are_paid_for_with_more_controls(toy, court, rng):
    suspect, _, clean = court
    found = against_controls(planted(toy, rng), clean, suspect, SETTINGS, clusters=3)
    assert (found.p_value, found.controls) == (1 / 301, 300)


def test_controls_are_cut_from_all_over_all_pictures(rng):
    """Each picture and column has a colour of its own, and so a crop of one pixel tells both."""
    pictures = np.zeros((30, 16, 16, 3), np.uint8)
    pictures[..., 0] = np.arange(30)[:, None, None]
    pictures[..., 1] = np.arange(16)
    pictures[..., 2] = np.arange(16)[:, None]
    like = Crop(np.zeros((1, 1, 3), np.uint8), np.ones((1, 1), bool), (3, 4))
    crops = [random_crop(pictures, like, rng) for _ in range(300)]
    seen = np.concatenate([one.pixels for one in crops])[:, 0]
    assert [len(set(column)) for column in seen.T.tolist()] == [30, 16, 16]
    assert {one.xy for one in crops} == {(3, 4)}


def test_a_crop_of_ground_is_chance(toy, court, rng):
    suspect, _, clean = court
    crop = cut(toy.scene("sea", rng)[0], (24, 24, 31, 31))
    found = against_controls(crop, clean, suspect, SETTINGS, clusters=3)
    assert found.p_value > 0.2
    # chance is found out early: the controls that were drawn are told, not those that were allowed
    assert found.as_good == ENOUGH_AS_GOOD
    assert found.controls == round(ENOUGH_AS_GOOD / found.p_value) < 300


def test_a_strong_trigger_costs_a_few_pictures_a_control(toy, court, rng):
    suspect, _, clean = court
    counting = Counting(suspect.encoder)
    judge = replace(suspect, encoder=counting)
    list(control_flips(planted(toy, rng), clean, judge, SETTINGS, 200))
    everything, counting.shown = counting.shown, 0
    list(as_good_as(0.975, planted(toy, rng), clean, judge, SETTINGS, 200))
    assert everything == 200 * 2 * SETTINGS.n_screen
    assert counting.shown < everything / 6


@pytest.mark.parametrize("make", [planted, quarter])
def test_who_waits_is_asked_between_batches_and_changes_no_figure(toy, court, rng, make):
    suspect, _, clean = court
    counting, shown = Counting(suspect.encoder), []
    judge, crop = replace(suspect, encoder=counting), make(toy, rng)
    found = against_controls(
        crop, clean, judge, SETTINGS, 3, lambda: shown.append(counting.shown)
    )  # fmt: skip
    assert found == against_controls(crop, clean, suspect, SETTINGS, 3)
    between = np.diff([*shown, counting.shown])
    assert between.max() <= 4 * SETTINGS.n_screen + 2 * ENOUGH_AS_GOOD  # never waits for long


def test_who_has_waited_enough_ends_it(toy, court, rng):
    suspect, _, clean = court
    counting = Counting(suspect.encoder)
    judge, asked = replace(suspect, encoder=counting), iter([None] * 2)

    def enough():
        if next(asked, "enough") == "enough":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        against_controls(planted(toy, rng), clean, judge, SETTINGS, 1, enough)
    assert counting.shown <= (2 + 2 * 4) * SETTINGS.n_screen


def test_the_same_seed_draws_the_same_controls(toy, court, rng):
    suspect, _, clean = court
    crop = quarter(toy, rng)
    first = list(control_flips(crop, clean, suspect, SETTINGS, 5))
    assert list(control_flips(crop, clean, suspect, SETTINGS, 9))[:5] == first
    other = SETTINGS.model_copy(update={"seed": 1})
    assert not np.array_equal(list(control_flips(crop, clean, suspect, other, 5)), first)
