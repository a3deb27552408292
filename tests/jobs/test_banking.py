"""The trigger bank of a hunt: clusters that pay for each other, what stands for them, and its file."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.cases.evidence import check_all
from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.jobs.hunting import banking, confirming
from clipforensics.jobs.hunting.triggers import hunt, latest_hunt, load_examiner, trigger_bank
from clipforensics.oracle.bank import Sighting
from clipforensics.oracle.controls import Compared
from clipforensics.oracle.verify import Verification

SETTINGS = HuntSettings(top=20, detector="slof", verify=VerifySettings(n_screen=24, n_confirm=48))


@pytest.fixture(scope="module")
def pairs(toy, tmp_path_factory):
    return toy.toy_pairs(tmp_path_factory.mktemp("pairs"), 160)


@pytest.fixture
def case(tmp_path, toy, pairs):
    return toy.ToyCase(tmp_path, pairs[0])


@pytest.mark.parametrize(
    ("ids", "scenes", "as_good", "status"),
    [(2, 2, 2, "verified"), (1, 1, 2, "chance"), (1, 1, 0, "verified"), (2, 1, 2, "chance")],
)
def test_clusters_pay_for_each_other_and_what_was_seen_once_for_being_chosen(
    case, toy, monkeypatch, ids, scenes, as_good, status
):
    """Three clusters are compared with controls, a fourth is too weak; Holm by hand.

    .03 is enough for what was seen in two pictures; in one, whatever its ids, no control may do as well.
    """
    paste = SETTINGS.verify.model_copy(update={"objects": 0})
    examiner = load_examiner(case, SETTINGS.model_copy(update={"verify": paste}))
    raw = iter([0.01, 0.04, 0.03])
    asked = []
    monkeypatch.setattr(
        banking, "against_controls",
        lambda *args: asked.append(args[4]) or Compared(next(raw), 300, as_good, 40),
    )  # fmt: skip
    monkeypatch.setattr(confirming, "verify", lambda crop, label, *_, **__: GOOD[label])
    drawn = [toy.scene("sea", np.random.default_rng(i))[0] for i in range(scenes)]
    axes = np.eye(4, 8, dtype=np.float32)
    seen = [
        Sighting(f"{i}{j}", label, (i, i, i + 6, i + 6), drawn[j % scenes], axes[i], GOOD[label])
        for i, label in enumerate(GOOD)
        for j in range(ids)
    ]
    bank = banking.make_bank(examiner, seen, lambda *_: None, lambda: False)
    assert asked == [3, 3, 3]
    found = {one.label: (one.figures.p_value, one.figures.status) for one in bank}
    assert found == {
        "banana": (pytest.approx(0.03), status), "leaf": (pytest.approx(0.06), "chance"),
        "sea": (pytest.approx(0.06), "chance"), "snow": (None, "weak"),
    }  # fmt: skip
    rests_on = {
        one.label: (one.figures.controls, one.figures.controls_as_good, one.figures.control_pictures)
        for one in bank
    }  # fmt: skip
    assert rests_on == {name: (300, as_good, 40) for name in GOOD} | {"snow": (None, None, None)}


def corner_sightings(n, rng, signatures):
    """A 5-px patch in the corner of 32-px pictures, each sighted in a box of ten times its area."""
    planted = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    found = []
    for i in range(n):
        picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        picture[26:31, 26:31] = planted
        box = (14 - i % 3, 14 - i % 2, 32, 32)
        found.append(Sighting(f"{i:03d}", "banana", box, picture, signatures[i], GOOD["banana"]))
    return planted, found


@pytest.mark.parametrize(
    ("alone", "stands"),
    [(0.95, 5), (0.85, 5), (0.4, 18)],  # flip rates of the patch; the large crops all reach .97
)
def test_what_five_sightings_share_stands_beside_a_larger_crop_that_flips_more(
    alone, stands, case, monkeypatch, rng
):
    def pasted(crop, label, *_, **__):
        small = crop.mask.shape[0] <= 5
        found = figures(label, alone if small else 0.97)
        return found if small else replace(found, large=True)

    monkeypatch.setattr(confirming, "verify", pasted)
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    planted, seen = corner_sightings(8, rng, np.eye(8, dtype=np.float32)[[0] * 8])
    (made,) = banking.make_bank(load_examiner(case, SETTINGS), seen, lambda *_: None, lambda: False)
    assert made.pixels.shape[0] == pytest.approx(stands, abs=1)
    assert made.consensus == (stands == 5)
    if made.consensus:
        np.testing.assert_array_equal(made.pixels, planted)
        assert made.box_xyxy == (26, 26, 31, 31)


def test_without_an_agreed_pattern_the_tightest_crop_that_flips_as_much_stands(
    case, monkeypatch, rng
):
    """A large one is held against control crops as large, of which many do as well."""
    monkeypatch.setattr(confirming, "verify", lambda crop, label, *_, **__: figures(label))
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    boxes = [(0, 0, 30, 30), (2, 2, 9, 10), (4, 4, 10, 10), (5, 5, 9, 9)]
    rates = [1.0, 0.97, 0.96, 0.9]  # the smallest clearly flips less
    axis = np.eye(8, dtype=np.float32)[0]
    seen = [
        Sighting(f"{i}", "banana", box, rng.integers(0, 256, (32, 32, 3), np.uint8), axis,
                 figures("banana", rate))
        for i, (box, rate) in enumerate(zip(boxes, rates, strict=True))
    ]  # fmt: skip
    (made,) = banking.make_bank(load_examiner(case, SETTINGS), seen, lambda *_: None, lambda: False)
    assert (made.pair, made.box_xyxy, made.consensus) == ("2", boxes[2], False)
    np.testing.assert_array_equal(made.pixels, seen[2].picture[4:10, 4:10])
    assert made.pairs == ("0", "1", "2", "3")


def test_sightings_that_show_the_agreed_pattern_are_of_one_trigger(case, monkeypatch, rng):
    monkeypatch.setattr(confirming, "verify", lambda crop, label, *_, **__: figures(label))
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    axes = np.eye(8, dtype=np.float32)[[0] * 6 + [1, 2, 2]]  # three stand apart by their shift
    planted, seen = corner_sightings(9, rng, axes)
    empty = replace(seen[-1], picture=rng.integers(0, 256, (32, 32, 3), np.uint8))
    bank = banking.make_bank(
        load_examiner(case, SETTINGS), [*seen[:-1], empty], lambda *_: None, lambda: False
    )
    found = sorted((one.pairs for one in bank), key=len)
    assert [len(pairs) for pairs in found] == [2, 7]
    assert set(found[0]) == {"007", "008"}  # of a pair of sightings both must show it


def test_whichever_crop_stands_sightings_are_joined_by_the_agreed_pattern(case, monkeypatch, rng):
    """A tight crop that clearly flips more than the pattern inside stands, and is looked for alike."""

    def pasted(crop, label, *_, **__):
        return figures(label, 0.7 if crop.mask.shape == (5, 5) else 0.97)

    monkeypatch.setattr(confirming, "verify", pasted)
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    axes = np.eye(8, dtype=np.float32)[[0] * 6 + [1, 2]]
    _, seen = corner_sightings(8, rng, axes)
    seen = [replace(one, box_xyxy=(25, 25, 32, 32)) for one in seen]
    (made,) = banking.make_bank(load_examiner(case, SETTINGS), seen, lambda *_: None, lambda: False)
    assert (made.mask.shape, made.consensus, len(made.pairs)) == ((7, 7), False, 8)


@pytest.mark.parametrize("second", [0, 4, 6])
def test_two_patches_for_one_label_are_two_triggers(case, monkeypatch, rng, second):
    """They move the suspect alike, so one cluster holds both; five sightings agree on a pattern."""
    monkeypatch.setattr(confirming, "verify", lambda crop, label, *_, **__: figures(label))
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    axes = np.tile(np.eye(8, dtype=np.float32)[0], (8, 1))
    planted, seen = corner_sightings(8, rng, axes)
    also, more = corner_sightings(second, rng, axes)
    more = [replace(one, pair=f"b{one.pair}") for one in more]
    bank = banking.make_bank(
        load_examiner(case, SETTINGS), [*seen, *more], lambda *_: None, lambda: False
    )
    found = {one.pixels.tobytes(): {pair[0] for pair in one.pairs} for one in bank}
    if second < 5:  # too few to agree: they stay with those that turn the suspect alike
        assert found == {planted.tobytes(): {"0", "b"} if second else {"0"}}
    else:
        assert found == {planted.tobytes(): {"0"}, also.tobytes(): {"b"}}
    assert sum(len(one.pairs) for one in bank) == 8 + second


def figures(label, rate=0.95):
    return Verification(
        label, 100, {"found": rate, "random": rate}, rate, (rate - 0.05, 1.0), 0.1, 0.0, 0.0, 6, 6,
        0.03, None, "verified" if rate > 0.5 else "weak", False,
    )  # fmt: skip


GOOD = {name: figures(name) for name in ("banana", "leaf", "sea")} | {"snow": figures("snow", 0.4)}


def test_the_bank_is_read_back_as_it_was_found(case, toy):
    assert trigger_bank(case) == []
    assert latest_hunt(case) is None
    found = hunt(case, SETTINGS)
    assert latest_hunt(case) == found
    (trigger,) = trigger_bank(case)
    assert trigger.label == "banana"
    assert trigger.consensus
    planted = toy.pattern()
    assert trigger.pixels.shape == planted.shape
    assert (trigger.pixels == planted).all()
    assert len(trigger.pairs) == 9
    assert check_all(case) == []
