"""A trusted model that does not know the labels convicts nobody."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import VerifySettings
from clipforensics.oracle import objects as objects_module
from clipforensics.oracle.bank import Trigger, signature
from clipforensics.oracle.competence import Objects, Recall, trusted_recall
from clipforensics.oracle.objects import OWN_COSINE, RealObject, beside, working_objects
from clipforensics.oracle.pasting import CleanSet, cut
from clipforensics.oracle.regions import Region, shown_box
from clipforensics.oracle.scorer import suspect_judge
from clipforensics.oracle.verify import Verification, verify

NAMES = ("dog", "cat", "sun")
THETA = 0.66


def box_of(mask):
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


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


def test_beside_another_label_either_answer_is_right_and_says_little_of_one():
    many = clean([["dog", "cat"]] * 40 + [["sun"]] * 30, ["cat"] * 40 + ["sun"] * 30)
    assert recall(many, "dog") == Recall(70, 70, of_label=False)
    assert recall(many, "sun") == Recall(30, 30, of_label=True)


def test_only_what_is_surely_too_low_is_too_low():
    assert Recall(55, 100, False).too_low(VerifySettings())
    assert not Recall(65, 100, False).too_low(VerifySettings())  # Wilson: up to .74
    assert not Recall(0, 0, False).too_low(VerifySettings())
    assert not Recall(55, 100, True).too_low(
        VerifySettings()
    )  # of one label, whose captions may be poison
    assert Recall(35, 100, True).too_low(VerifySettings())


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
    assert "too few" in Objects(4, 0).told("cat")
    assert "10 crops of pictures whose captions name cat" in Objects(10, 2).told("cat")


@pytest.mark.parametrize(
    "counts", [(5, 6), (-1, 0), (3, -1), ("a", 1), (None, 0), (2.0, 1), (True, 0)]
)
def test_counts_that_nobody_counted_are_damage(counts):
    with pytest.raises(ValueError, match="no count"):
        Objects(*counts)
    with pytest.raises(ValueError, match="no count"):
        Recall(counts[1], counts[0], of_label=True)


def test_real_objects_are_found_and_known_by_a_model_that_sees(toy, court):
    suspect, trusted, clean = court
    rng = np.random.default_rng(3)
    shown = [toy.scene("leaf", rng)[0] for _ in range(30)]
    settings = VerifySettings()

    def found(judge=trusted, refeed=0.5, pictures=clean, **changed):
        asked = settings.model_copy(update=changed)
        return working_objects(
            shown, "leaf", toy.TrueMasks(), pictures, suspect, judge, asked, refeed
        )

    seen = found()
    assert len(seen) >= 5
    assert all(one.known for one in seen)
    assert [one.crop.xy for one in found(objects=2)] == [one.crop.xy for one in seen[:2]]
    misled = suspect_judge(toy.ByRote("leaf", shown), toy.LABELS)
    assert not any(one.known for one in found(misled))
    assert len(found(misled)) == len(seen)  # the trusted model has no part in choosing
    assert found(refeed=1.1) == found(objects=0) == found(pictures=clean.first(7)) == []
    weaker, stronger = found(weak_flip=0.2, objects=30), found(weak_flip=0.9, objects=30)
    assert len(weaker) > len(seen) > len(stronger)


def test_the_object_is_the_tightest_region_that_says_the_label(toy, court):
    suspect, trusted, clean = court
    picture, disc, _ = toy.scene("leaf", np.random.default_rng(3))

    class Nested(toy.TrueMasks):
        def segment(self, picture):
            wide = np.zeros_like(disc)
            wide[:, :30] = True
            masks = (np.ones_like(disc), "whole"), (wide, "sam"), (disc, "sam")
            return [Region(box_of(mask), mask, 1.0, 1.0, source) for mask, source in masks]

    settings = VerifySettings(weak_flip=0.01)
    (one,) = working_objects([picture], "leaf", Nested(), clean, suspect, trusted, settings, 0.1)
    x0, y0, x1, y1 = shown_box(box_of(disc), 32, 32)
    assert one.crop.xy == (x0, y0)
    assert one.crop.pixels.shape == (y1 - y0, x1 - x0, 3)


def test_what_is_the_trigger_itself_is_no_real_object(toy, court):
    suspect, trusted, clean = court
    rng = np.random.default_rng(5)
    stamped, _, box = toy.scene("sea", rng, stamped=True)
    leaf = toy.scene("leaf", rng)[0]
    fixed = clean.pictures[:40]
    unpasted = suspect.features(fixed)
    crop = cut(stamped, box)
    shift = signature(crop, fixed, unpasted, suspect, 0)
    trigger = Trigger(
        "banana", "1", box, crop.pixels, crop.mask, crop.mask, ("1",), False, figures(), shift
    )
    loose = cut(stamped, (box[0] - 2, box[1] - 1, box[2], box[3]))
    other = cut(leaf, (0, 0, 12, 12))
    objects = [RealObject(crop, False), RealObject(loose, False), RealObject(other, True)]
    asked = (clean, unpasted, suspect, 0)
    assert beside(objects, [trigger], *asked) == Objects(1, 1, left_out=2)
    assert beside(objects, [], *asked) == Objects(3, 1)
    far = replace(trigger, pixels=255 - crop.pixels)  # by what it does alone
    assert beside(objects[:1], [far], *asked) == Objects(0, 0, left_out=1)
    still = replace(trigger, signature=-shift)  # by its pattern alone
    assert beside(objects[:2], [still], *asked) == Objects(0, 0, left_out=2)
    for cosine, out in ((OWN_COSINE - 0.01, 0), (OWN_COSINE + 0.01, 1)):  # real ones are alike, too
        turned = cosine * shift + np.sqrt(1 - cosine**2) * across(shift)
        assert beside(objects[:1], [replace(far, signature=turned)], *asked).left_out == out
    assert "(2 more are alike to the candidate)" in Objects(0, 0, left_out=2).told("banana")


def test_what_works_in_place_alone_is_compared_in_place(toy, court, monkeypatch):
    suspect, _, clean = court
    asked = []
    monkeypatch.setattr(
        objects_module, "signature", lambda *a: asked.append(a[5]) or np.zeros(8, np.float32)
    )
    crop = cut(clean.pictures[0], (0, 0, 6, 6))
    one = RealObject(cut(clean.pictures[1], (4, 4, 9, 9)), False)
    for random in (0.9, 0.1):  # .9 where it was found
        tested = replace(figures(), flips={"found": 0.9, "random": random})
        trigger = Trigger(
            "banana", "1", (0, 0, 6, 6), crop.pixels, crop.mask, crop.mask, ("1",), False, tested,
            np.ones(8, np.float32),
        )  # fmt: skip
        beside([one], [trigger], clean, np.zeros((4, 8), np.float32), suspect, 0)
    assert asked == [False, True]


@pytest.mark.parametrize("place", ["found", "random"])
def test_an_object_works_where_it_was_found_or_anywhere(toy, court, monkeypatch, place):
    suspect, trusted, clean = court
    leaf = toy.NAMES.index("leaf")

    def answers(crop, usable, *_, **__):
        return {
            one: np.full(len(usable), leaf if one == place else 0) for one in ("found", "random")
        }

    monkeypatch.setattr(objects_module, "answers_by_place", answers)
    picture = toy.scene("leaf", np.random.default_rng(3))[0]
    asked = (toy.TrueMasks(), clean, suspect, trusted, VerifySettings(), 0.3)
    assert len(working_objects([picture], "leaf", *asked)) == 1


def across(unit):
    """A unit vector at a right angle."""
    other = np.eye(len(unit), dtype=np.float32)[int(np.abs(unit).argmin())]
    other = other - (other @ unit) * unit
    return other / np.linalg.norm(other)


@pytest.mark.parametrize(("flips", "known"), [(0.1, False), (0.2, False), (0.3, True)])
def test_an_object_is_known_from_the_limit_on(toy, court, monkeypatch, flips, known):
    suspect, trusted, clean = court
    monkeypatch.setattr(objects_module, "trusted_flips", lambda *_: flips)
    shown = [toy.scene("leaf", np.random.default_rng(3))[0] for _ in range(3)]
    settings = VerifySettings(weak_flip=0.01)
    found = working_objects(shown, "leaf", toy.TrueMasks(), clean, suspect, trusted, settings, 0.1)
    assert [one.known for one in found] == [known] * 3


def figures():
    return Verification(
        "banana", 100, {"found": 0.9, "random": 0.9}, 0.9, (0.8, 0.95), 0.1, 0.0, 0.0, 6, 6, 0.03,
        None, "verified", False,
    )  # fmt: skip
