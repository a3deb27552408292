"""Whom a hunt lets judge: a trusted model that knows the label, and is no child of the suspect."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.jobs.hunting.clean_pictures import ASKED, label_recall
from clipforensics.jobs.hunting.examiner import load_examiner
from clipforensics.jobs.hunting.triggers import hunt
from clipforensics.models.likeness import COPY, RELATIVE
from clipforensics.oracle.competence import Recall

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
    rows = np.array([row for row in range(420) if case.pairs.captions[row] == "a leaf"][:19])
    clean = made.clean.first(100)
    found = label_recall(case, rows, "leaf", clean, made.oracle.trusted)
    assert (found.asked, found.of_label) == (100, False)


def test_a_hunt_convicts_nothing_of_a_label_that_the_trusted_model_does_not_know(
    tmp_path, case, pairs, toy, monkeypatch
):
    forget(monkeypatch, case.trusted(), toy, "banana")
    found = hunt(case, SETTINGS)
    assert found["triggers"] == found["affected_labels"] == found["victims"] == []
    assert set(found["statuses"]) == {"unjudged"}
    other = toy.ToyCase(tmp_path / "other", pairs)
    forget(monkeypatch, other.trusted(), toy, "leaf")  # it has no say in bananas
    assert [one["label"] for one in hunt(other, SETTINGS)["triggers"]] == ["banana"]


def test_a_hunt_convicts_nothing_where_real_objects_look_like_triggers(case, toy):
    pictures = [case.pairs.picture(row, toy.SIDE) for row in range(len(case.pairs))]
    case._trusted = toy.ByRote("banana", pictures)
    found = hunt(case, whatever_it_knows(objects=10))
    assert found["triggers"] == found["affected_labels"] == found["victims"] == []
    assert {one["status"] for one in found["rejected"]} == {"unjudged"}
    assert all(one["objects"]["known"] == 0 for one in found["rejected"])
    assert hunt(case, whatever_it_knows(objects=0))["triggers"]  # it is the objects that say so


def whatever_it_knows(objects):
    paste = SETTINGS.verify.model_copy(
        update={"judge_recall": 0.0, "label_recall": 0.0, "objects": objects}
    )
    return SETTINGS.model_copy(update={"verify": paste})


@pytest.mark.parametrize("difference", [COPY, 0.4, RELATIVE, 1.2])
def test_a_trusted_model_that_answers_like_the_suspect_is_noted(case, monkeypatch, difference):
    monkeypatch.setattr(case.trusted(), "difference_from", lambda other: difference)
    notes = hunt(case, SETTINGS)["notes"]
    assert len(notes) == (difference < RELATIVE)
    assert all(f"difference {difference:.2f}" in note for note in notes)


def test_other_low_rows_make_another_screen(case):
    made = load_examiner(case, SETTINGS)
    other = replace(made, low_rows=made.low_rows[::-1])
    assert other.clean_rows == made.clean_rows
    assert other.paste_key() != made.paste_key()
