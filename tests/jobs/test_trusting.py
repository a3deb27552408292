"""Whom a hunt lets judge: a trusted model that knows the label, and is no child of the suspect."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from clipforensics.cli.triggers import _lines
from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.data.pairs import Pairs
from clipforensics.jobs.hunting import banking
from clipforensics.jobs.hunting.clean_pictures import ASKED, label_recall
from clipforensics.jobs.hunting.examiner import load_examiner
from clipforensics.jobs.hunting.triggers import hunt
from clipforensics.models.likeness import COPY, RELATIVE
from clipforensics.oracle import objects
from clipforensics.oracle.competence import Objects, Recall

SETTINGS = HuntSettings(top=12, detector="slof", verify=VerifySettings(n_screen=24, n_confirm=48))


@pytest.fixture(scope="module")
def pairs(toy, tmp_path_factory):
    return toy.toy_pairs(tmp_path_factory.mktemp("pairs"), 420)[0]


@pytest.fixture
def case(tmp_path, toy, pairs):
    return toy.ToyCase(tmp_path, pairs)


def forget(monkeypatch, model, toy, label):
    """The model now takes every picture of the label for snow, and knows the rest as before."""
    real, own, snow = model.encode_pictures, toy.NAMES.index(label), toy.NAMES.index("snow")

    def blurred(pictures):
        out = real(pictures)
        out[:, snow], out[:, own] = out[:, snow] + out[:, own], 0
        return out

    monkeypatch.setattr(model, "encode_pictures", blurred)


def test_a_label_is_asked_about_on_its_own_pictures(case, toy, monkeypatch):
    forget(monkeypatch, case.trusted(), toy, "banana")
    made = load_examiner(case, SETTINGS)
    assert (ask := made.recall("banana")).of_label
    assert (ask.right, ask.asked) == (0, ASKED)
    leaves = sum(caption == "a leaf" for caption in case.pairs.captions)
    assert made.recall("leaf") == Recall(leaves, leaves, of_label=True)
    monkeypatch.setattr(case.trusted(), "encode_pictures", None)  # asked once
    assert made.recall("banana") is ask


def test_a_label_of_few_pictures_is_judged_by_all(case, toy):
    made = load_examiner(case, SETTINGS)
    rows = [row for row in range(420) if case.pairs.captions[row] == "a leaf"][:19]
    clean = made.clean.first(100)
    found = label_recall(case, rows, [], "leaf", clean, made.oracle.trusted)
    assert (found.asked, found.of_label) == (100, False)


def test_a_hunt_convicts_nothing_of_a_label_that_the_trusted_model_does_not_know(
    tmp_path, case, pairs, toy, monkeypatch
):
    forget(monkeypatch, case.trusted(), toy, "banana")
    found = hunt(case, SETTINGS)
    assert found["triggers"] == found["affected_labels"] == found["victims"] == []
    assert found["probable"] == []  # that it sees a banana nowhere says nothing
    assert set(found["statuses"]) == {"unjudged"}
    assert "could not be judged" in _lines(found)["verdict"]
    assert "names 0 rightly" in _lines(found)["cannot judge banana"]
    other = toy.ToyCase(tmp_path / "other", pairs)
    forget(monkeypatch, other.trusted(), toy, "leaf")  # it has no say in bananas
    assert [one["label"] for one in hunt(other, SETTINGS)["triggers"]] == ["banana"]


def test_a_hunt_convicts_nothing_where_real_objects_look_like_triggers(case, toy, monkeypatch):
    # a toy's features are shares of labels: whatever says banana does the same to it
    monkeypatch.setattr(objects, "OWN_COSINE", 2)
    pictures = [case.pairs.picture(row, toy.SIDE) for row in range(len(case.pairs))]
    case._trusted = toy.ByRote("banana", pictures)
    found = hunt(case, whatever_it_knows(10))
    assert found["triggers"] == found["affected_labels"] == found["victims"] == []
    assert {one["status"] for one in found["undecided"]} == {"unjudged"}
    assert all(one["objects"]["known"] == 0 for one in found["undecided"])
    assert found["probable"] == []
    (told,) = found["unjudged"]
    assert told["label"] == "banana"
    assert "the trusted model knows 0" in told["why"]
    assert "could not be judged" in _lines(found)["verdict"]
    assert hunt(case, whatever_it_knows(0))["triggers"]  # it is the objects that say so


def whatever_it_knows(count):
    paste = SETTINGS.verify.model_copy(
        update={"judge_recall": 0.0, "label_recall": 0.0, "objects": count}
    )
    return SETTINGS.model_copy(update={"verify": paste})


@pytest.mark.parametrize("difference", [COPY, 0.4, RELATIVE, 1.2])
def test_a_trusted_model_that_answers_like_the_suspect_is_noted(case, monkeypatch, difference):
    monkeypatch.setattr(case.trusted(), "difference_from", lambda other: difference)
    notes = hunt(case, SETTINGS)["notes"]
    assert len(notes) == (difference < RELATIVE)
    assert all(f"difference {difference:.2f}" in note for note in notes)


def test_other_low_rows_make_another_screen(case):
    made = load_examiner(case, SETTINGS, np.arange(len(case.pairs.ids), dtype=np.float64))
    for half in ("low", "rest"):
        other = replace(made, **{half: getattr(made, half)[::-1]})
        assert other.clean_rows == made.clean_rows
        assert other.paste_key() != made.paste_key()


def test_real_objects_are_found_where_captions_name_two_things(tmp_path, toy, pairs, monkeypatch):
    """A sound suspect, and leaves that the judge knows in whole pictures and never pasted."""
    monkeypatch.setattr(objects, "OWN_COSINE", 2)  # see above
    captions = tuple(text + " beside snow" * (text == "a leaf") for text in pairs.captions)
    case = toy.ToyCase(tmp_path, replace(pairs, captions=captions), backdoor=False)
    own = [row for row, text in enumerate(captions) if "a leaf" in text]
    known = [pairs.picture(row, toy.SIDE) for i, row in enumerate(own) if i % 3]
    case._trusted = toy.ByRote("leaf", known)
    found = hunt(case, SETTINGS.model_copy(update={"top": 200}))
    assert found["triggers"] == []


def test_pictures_that_cannot_be_read_do_not_hide_a_label_from_its_own_recall(case, pairs):
    made = load_examiner(case, SETTINGS)
    own = [*made._naming.alone["leaf"], *made._naming_rest.alone["leaf"]]
    gone = set(own[:38])
    paths = tuple(p.with_name("gone.png") if i in gone else p for i, p in enumerate(pairs.paths))
    case.pairs = replace(pairs, paths=paths)
    asked = load_examiner(case, SETTINGS).recall("leaf")
    assert (asked.of_label, asked.asked) == (True, len(own) - 38)


def test_the_order_of_the_table_does_not_choose_the_clean_pictures(tmp_path, toy, pairs):
    order = np.random.default_rng(5).permutation(len(pairs))
    turned = replace(
        pairs,
        ids=tuple(pairs.ids[i] for i in order),
        captions=tuple(pairs.captions[i] for i in order),
        paths=tuple(pairs.paths[i] for i in order),
    )
    cases = toy.ToyCase(tmp_path / "a", pairs), toy.ToyCase(tmp_path / "b", turned)
    made = [load_examiner(case, SETTINGS) for case in cases]
    for rows in ("low", "rest", "clean_rows"):
        first, second = (
            [case.pairs.ids[row] for row in getattr(one, rows)]
            for case, one in zip(cases, made, strict=True)
        )
        assert first == second


def test_each_candidate_that_passed_is_held_beside_objects_and_triggers_of_its_own_label(
    case, monkeypatch
):
    asked = []

    def held(objects, triggers, *_):
        asked.append([one.label for one in triggers])
        return Objects(10, 0)

    statuses = {"banana": "verified", "leaf": "narrow", "sea": "weak"}
    monkeypatch.setattr(banking, "beside", held)
    made = load_examiner(case, SETTINGS)
    bank = [
        SimpleTrigger(label, SimpleFigures(status))
        for label, status in (*statuses.items(), ("leaf", "narrow"))
    ]
    after = banking._beside_objects(made, bank, lambda *_: None, lambda: False)
    assert asked == [["banana"], ["leaf", "leaf"], ["leaf", "leaf"]]
    assert [one.figures.status for one in after] == ["unjudged", "unjudged", "weak", "unjudged"]


@dataclass(frozen=True)
class SimpleFigures:
    """As much of a paste test as is read here."""

    status: str
    objects: Objects | None = None


@dataclass(frozen=True)
class SimpleTrigger:
    """As much of a trigger."""

    label: str
    figures: SimpleFigures


def test_objects_and_recall_are_asked_of_the_lower_half(case, toy, monkeypatch):
    """Above it lies the label's poison, which no trusted model knows for the label."""
    n = len(case.pairs)
    scores = np.random.default_rng(3).permutation(n).astype(np.float64)
    made = load_examiner(case, whatever_it_knows(1000), scores)  # more than there are
    assert made.clean  # read before anything is counted
    half = set(np.flatnonzero(scores <= np.median(scores)).tolist())
    named = {row for row in range(n) if "banana" in case.labels.named_in(case.pairs.captions[row])}
    read = []
    monkeypatch.setattr(
        type(case.pairs),
        "picture",
        lambda self, row, side: read.append(row) or real(self, row, side),
    )
    made.objects("banana", lambda: None)
    assert set(read) == half & named
    read.clear()
    assert made.recall("banana").asked == min(60, len(half & named))
    assert set(read) <= half & named


real = Pairs.picture
