"""A trusted model that does not know the labels convicts nobody."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle.competence import Objects, Recall, trusted_recall
from clipforensics.oracle.objects import pasted_objects
from clipforensics.oracle.pasting import CleanSet, cut
from clipforensics.oracle.scorer import suspect_judge
from clipforensics.oracle.verify import Verification, judged, verify

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
    assert Recall(55, 100, False).below(0.7, 0.5)
    assert not Recall(65, 100, False).below(0.7, 0.5)  # Wilson: up to .74
    assert not Recall(0, 0, False).below(0.7, 0.5)
    assert not Recall(55, 100, True).below(0.7, 0.5)  # of one label, whose captions may be poison
    assert Recall(35, 100, True).below(0.7, 0.5)


@pytest.mark.parametrize("confirm", [False, True])
def test_what_a_model_cannot_judge_is_no_trigger(toy, court, rng, confirm):
    suspect, trusted, pictures = court
    crop = cut(toy.scene("sea", rng, stamped=True)[0], (0, 0, 48, 48))
    blind = replace(pictures, trusted_before=np.roll(pictures.trusted_before, 1))
    asked = (crop, "banana", 0.0, blind, suspect, trusted)
    found = verify(*asked, VerifySettings(), THETA, confirm)
    assert found.recall is not None
    assert found.status == "unjudged"
    lenient = VerifySettings(judge_recall=0.0, label_recall=0.0)
    assert verify(*asked, lenient, THETA, confirm).status != "unjudged"
    sound = verify(
        crop, "banana", 0.0, pictures, suspect, trusted, VerifySettings(), THETA, confirm
    )
    assert sound.status != "unjudged"


def test_real_objects_that_are_not_known_leave_nobody_to_judge():
    assert Objects(13, 6).below(0.8)
    assert not Objects(13, 13).below(0.8)
    assert Objects(5, 3).below(0.8)
    assert not Objects(5, 4).below(0.8)
    assert not Objects(4, 0).below(0.8)  # too few to tell
    known, unknown = Objects(10, 10), Objects(10, 2)
    settings = VerifySettings()
    figures = Verification(
        "cat", 100, {"found": 0.9, "random": 0.9}, 0.9, (0.8, 0.95), 0.1, 0.0, 0.0, 6, 6, 0.03,
        None, "verified", False,
    )  # fmt: skip
    assert judged(replace(figures, objects=known), settings, THETA).status == "verified"
    assert judged(replace(figures, objects=unknown), settings, THETA).status == "unjudged"
    lenient = VerifySettings(objects_known=0)
    assert judged(replace(figures, objects=unknown), lenient, THETA).status == "verified"


def test_real_objects_are_found_and_known_by_a_model_that_sees(toy, court):
    suspect, trusted, clean = court
    rng = np.random.default_rng(3)
    shown = [toy.scene("leaf", rng)[0] for _ in range(20)]
    asked = (toy.TrueMasks(), clean, suspect)
    seen = pasted_objects(shown, "leaf", *asked, trusted, VerifySettings(), 0.5)
    assert seen.working >= 5
    assert seen.known == seen.working
    wanted = VerifySettings(objects=2)
    assert pasted_objects(shown, "leaf", *asked, trusted, wanted, 0.5) == Objects(2, 2)
    misled = suspect_judge(toy.ByRote("leaf", shown), toy.LABELS)
    unknown = pasted_objects(shown, "leaf", *asked, misled, VerifySettings(), 0.5)
    assert unknown == replace(seen, known=0)
    blind = replace(trusted, weights=np.roll(trusted.weights, 1, axis=0))  # names none of them
    assert pasted_objects(shown, "leaf", *asked, blind, VerifySettings(), 0.5) == Objects(0, 0)
    assert pasted_objects(shown, "leaf", *asked, trusted, VerifySettings(), 1.1).working == 0
    few = clean.first(7)
    nobody = pasted_objects(shown, "leaf", asked[0], few, suspect, trusted, VerifySettings(), 0.5)
    assert nobody == Objects(0, 0)
