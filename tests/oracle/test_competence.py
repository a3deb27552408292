"""A trusted model that does not know the labels convicts nobody."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.competence import Recall, trusted_recall
from clipforensics.oracle.pasting import CleanSet, cut
from clipforensics.oracle.verify import verify

NAMES = ("dog", "cat", "sun")
THETA = 0.66


def recall(many, label):
    return trusted_recall(many.named, many.trusted_before, NAMES, label)


def clean(named, answers):
    pictures = np.zeros((len(named), 8, 8, 3), np.uint8)
    said = np.array([NAMES.index(one) for one in answers])
    return CleanSet(pictures, tuple(map(frozenset, named)), np.zeros(len(named), int), said)


def test_any_named_label_is_right_and_a_caption_without_one_is_not_asked():
    found = recall(
        clean([["dog"], ["dog", "cat"], [], ["sun"]], ["dog", "cat", "dog", "cat"]), "dog"
    )
    assert found == Recall(right=2, asked=3, of_label=False)


def test_a_label_of_twenty_pictures_is_judged_by_its_own():
    many = clean([["dog"]] * 20 + [["cat"]] * 60, ["sun"] * 20 + ["cat"] * 60)
    assert recall(many, "dog") == Recall(0, 20, of_label=True)
    assert recall(many, "sun") == Recall(60, 80, of_label=False)
    assert recall(many.after(1), "dog") == Recall(60, 79, of_label=False)


def test_only_what_is_surely_too_low_is_too_low():
    assert Recall(55, 100, False).below(0.7)
    assert not Recall(65, 100, False).below(0.7)  # Wilson: up to .74
    assert not Recall(0, 0, False).below(0.7)


@pytest.mark.parametrize("confirm", [False, True])
def test_what_a_model_cannot_judge_is_no_trigger(toy, court, rng, confirm):
    suspect, trusted, pictures = court
    crop = cut(toy.scene("sea", rng, stamped=True)[0], (0, 0, 48, 48))
    blind = replace(pictures, trusted_before=np.roll(pictures.trusted_before, 1))
    asked = (crop, "banana", 0.0, blind, suspect, trusted)
    found = verify(*asked, VerifySettings(), THETA, confirm)
    assert found.recall is not None
    assert found.status == "unjudged"
    lenient = VerifySettings(judge_recall=0.0)
    assert verify(*asked, lenient, THETA, confirm).status != "unjudged"
    sound = verify(
        crop, "banana", 0.0, pictures, suspect, trusted, VerifySettings(), THETA, confirm
    )
    assert sound.status != "unjudged"
