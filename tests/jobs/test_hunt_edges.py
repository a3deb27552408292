"""A hunt at its edges: bad files among the pictures, and what its evidence depends on."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.data.images import write_png
from clipforensics.data.pairs import Pairs
from clipforensics.errors import DataError
from clipforensics.jobs.hunting import banking, carrying, confirming, examining
from clipforensics.jobs.hunting.examiner import load_examiner
from clipforensics.jobs.hunting.examining import inspect, is_screened, screen
from clipforensics.jobs.hunting.triggers import hunt
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.bank import Sighting
from clipforensics.oracle.controls import Compared
from clipforensics.oracle.verify import Verification

SETTINGS = HuntSettings(top=12, detector="slof", verify=VerifySettings(n_screen=24, n_confirm=48))
POISONS = range(3, 100, 12)  # nine of them


@pytest.fixture(scope="module")
def pairs(toy, tmp_path_factory):
    return toy.toy_pairs(tmp_path_factory.mktemp("pairs").resolve(), 120)[0]


@pytest.fixture
def case(tmp_path, toy, pairs):
    return toy.ToyCase(tmp_path, pairs)


def test_files_that_are_no_picture_are_left_out_of_the_whole_hunt(tmp_path, toy, pairs):
    (pairs.root / "ring.png").symlink_to("ring.png")
    (pairs.root / "gone.png").symlink_to("nowhere.png")
    bad = tuple(pairs.root / name for name in ("ring.png", "gone.png"))
    odd = replace(pairs, paths=(*bad, *pairs.paths[2:]))
    found = hunt(toy.ToyCase(tmp_path, odd), SETTINGS)
    assert found["inspected"] == SETTINGS.top
    assert sorted(found["victims"]) == [f"{row:03d}" for row in POISONS]


def figures(label="banana", rate=0.95):
    """What a paste test that is passed says."""
    return Verification(
        label, 100, {"found": rate, "random": rate}, rate, (rate - 0.05, 1.0), 0.1, 0.0, 0.0, 6, 6,
        0.03, None, "verified", False,
    )  # fmt: skip


def test_a_stop_is_heard_among_the_controls_of_one_cluster(case, toy, monkeypatch):
    monkeypatch.setattr(confirming, "verify", lambda crop, label, *_, **__: figures(label))
    examiner, row = load_examiner(case, SETTINGS), POISONS[0]
    assert len(examiner.clean)  # asked about once, before anything is compared
    picture, told = case.pairs.picture(row, toy.SIDE), []
    shown, real = [], case._suspect.encode_pictures
    monkeypatch.setattr(case._suspect, "encode_pictures", lambda p: shown.append(len(p)) or real(p))
    sighting = Sighting(
        "003", "banana", (2, 2, 8, 8), picture, np.eye(1, 8, dtype=np.float32)[0], figures()
    )

    def tell(*said):
        told.append((said[-1], sum(shown)))

    def halt():
        return bool(told) and told[-1][0].startswith("comparing") and sum(shown) > told[-1][1]

    with pytest.raises(Stopped, match="comparing with controls; inspected pictures are kept"):
        banking.make_bank(examiner, [sighting], tell, halt)
    assert sum(shown) - told[-1][1] == 2 * SETTINGS.verify.n_screen  # the candidate's own


def test_too_few_pictures_to_paste_on_are_one_sentence_that_fits_every_user_of_them(tmp_path, toy):
    write_png(tmp_path / "a.png", toy.scene("sea", np.random.default_rng(0))[0])
    few = Pairs(tuple("abcdef"), ("a sea",) * 6, (tmp_path / "a.png",) * 6)
    examiner = load_examiner(toy.ToyCase(tmp_path, few), SETTINGS)
    with pytest.raises(DataError, match="at least 8 clean pictures, got 6") as problem:
        len(examiner.clean)
    assert "paste test" not in str(problem.value)  # an inversion has none
    assert "inspected" not in str(problem.value)  # looking at fewer pairs gives none more


def test_what_a_screen_depends_on_is_in_the_name_of_its_evidence(case, toy):
    """Whatever could change its answer: both models, the segmenter, the settings, the pictures."""
    examiner, row = load_examiner(case, SETTINGS), POISONS[0]
    assert [one.screened.status for one in screen(case, row, examiner)] == ["verified"]
    assert is_screened(case, row, load_examiner(case, SETTINGS))
    oracle, verify = examiner.oracle, SETTINGS.verify
    retrained = replace(oracle.trusted, encoder=toy.ToyClip(False, "trusted, retrained"))
    masks = toy.TrueMasks()
    masks.fingerprint = "other masks"
    others = {
        "suspect": {"suspect": replace(examiner.suspect, encoder=toy.ToyClip(True, "other"))},
        "trusted": {"oracle": replace(oracle, trusted=retrained)},
        "segmenter": {"oracle": replace(oracle, segmenter=masks)},
        "clean rows": {"clean_rows": examiner.clean_rows[:-1]},
        "their order": {"clean_rows": examiner.clean_rows[::-1]},
        "theta": {
            "settings": SETTINGS.model_copy(
                update={"oracle": SETTINGS.oracle.model_copy(update={"theta": 0.6})}
            )
        },
        "seed": {
            "settings": SETTINGS.model_copy(
                update={"verify": verify.model_copy(update={"seed": 1})}
            )
        },
    }
    for name, change in others.items():
        assert not is_screened(case, row, replace(examiner, **change)), name
    for name in ("data", "labels"):
        before, case.fingerprints[name] = case.fingerprints[name], "other"
        assert not is_screened(case, row, examiner), name
        case.fingerprints[name] = before
    assert not is_screened(case, row + 12, examiner)
    assert is_screened(case, row, examiner)


def test_an_inspection_is_made_anew_for_another_trusted_model_but_not_for_other_clean_rows(
    case, toy, monkeypatch
):
    examiner, looks, real = load_examiner(case, SETTINGS), [], examining.find_triggers
    monkeypatch.setattr(examining, "find_triggers", lambda *a: looks.append(1) or real(*a))
    retrained = replace(examiner.oracle.trusted, encoder=toy.ToyClip(False, "retrained"))
    for one, seen in (
        (examiner, 1), (examiner, 1), (replace(examiner, clean_rows=()), 1),
        (replace(examiner, oracle=replace(examiner.oracle, trusted=retrained)), 2),
    ):  # fmt: skip
        inspect(case, POISONS[0], one)
        assert len(looks) == seen


@pytest.mark.parametrize(
    ("agreed", "room", "stands"),
    [(0.93, 1, True), (0.91, 1, False), (0.6, 1, False),  # room around it, in pixels on two sides
     (0.91, 12, True), (0.78, 12, True), (0.77, 12, False), (0.6, 12, False)],
)  # fmt: skip
def test_what_sightings_share_yields_only_to_a_crop_that_flips_clearly_more(
    agreed, room, stands, case, monkeypatch, rng
):
    """The crops around it flip .97, and none is large; over four times its area, .8 of that will do."""
    monkeypatch.setattr(
        confirming, "verify",
        lambda crop, label, *_, **__: figures(label, agreed if len(crop.mask) <= 5 else 0.97),
    )  # fmt: skip
    monkeypatch.setattr(banking, "against_controls", lambda *_: Compared(0.01, 100, 0, 40))
    planted, seen = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), []
    for i in range(8):
        picture = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        picture[26:31, 26:31] = planted
        shift = np.eye(1, 8, dtype=np.float32)[0]
        box = (26 - room - i % 3, 26 - room - i % 2, 31, 31)
        seen.append(Sighting(f"{i:03d}", "banana", box, picture, shift, figures()))
    (made,) = banking.make_bank(load_examiner(case, SETTINGS), seen, lambda *_: None, lambda: False)
    assert made.consensus == stands
    assert made.figures.flip_rate == (agreed if stands else 0.97)


def test_a_pair_is_the_victim_of_the_trigger_whose_pattern_it_holds(monkeypatch):
    """Two triggers of one label turn the suspect alike: an effect may be of either, a match is not."""
    ids = ("a", "b", "c")
    match = np.array([[0.9, 0.3, 0.3], [0.7, 0.95, 0.3]], np.float32)
    monkeypatch.setattr(carrying, "_correlations", lambda *_: match)
    monkeypatch.setattr(carrying, "_floor", lambda *_: 0.6)
    monkeypatch.setattr(carrying, "is_flat", lambda *_: False)
    monkeypatch.setattr(carrying, "_effects", lambda *_: dict.fromkeys(ids, np.ones(1, np.float32)))
    case = SimpleNamespace(
        pairs=SimpleNamespace(ids=ids, captions=("banana",) * 3),
        labels=SimpleNamespace(named_in=lambda caption: [caption]),
    )
    figures = SimpleNamespace(status="verified")
    bank = [
        SimpleNamespace(
            label="banana", pair=name, figures=figures, pixels=None, core=None,
            signature=np.ones(1, np.float32),
        )
        for name in "xy"
    ]  # fmt: skip
    examiner = SimpleNamespace(suspect=SimpleNamespace(side=8))
    found, _ = carrying.suspicions_of(case, examiner, bank, {}, lambda *_: None, lambda: False)
    assert {one.pair: (one.trigger, one.kind) for one in found} == {
        "a": (0, "victim"), "b": (1, "victim"), "c": (0, "victim"),
    }  # fmt: skip
