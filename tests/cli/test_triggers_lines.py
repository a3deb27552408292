"""What `clipforensics triggers` prints of a hunt."""

from types import SimpleNamespace

import pytest

from clipforensics.cli.output import answer, printable
from clipforensics.cli.triggers import _lines
from clipforensics.jobs.hunting.findings import against_truth


def hunt(**changed):
    empty = {"triggers": [], "rejected": [], "affected_labels": [], "inspected": 0, "seconds": 1.0}
    empty |= {"undecided": [], "unjudged": []}
    return empty | {"victims": [], "carriers": [], "probable": []} | changed


def test_one_is_not_counted_as_many():
    trigger = {
        "label": "banana", "flip_rate": 1.0, "n": 50, "interval": [0.93, 1.0], "pair": "7",
        "flip_rate_trusted": 0.0, "pairs": ["7"], "box": [0, 0, 6, 6],
    }  # fmt: skip
    one = _lines(hunt(triggers=[trigger], rejected=[trigger], inspected=1))
    assert one["verdict"] == "1 verified trigger, 1 candidate rejected, in 1 inspected picture"
    assert "seen in 1 picture, first 7" in one["trigger 1"]
    many = _lines(hunt(triggers=[trigger] * 2, inspected=1200))
    assert many["verdict"] == (
        "2 verified triggers, 0 candidates rejected, in 1,200 inspected pictures"
    )
    labels = [{"label": name, "victims": n} for name, n in (("dog", 1), ("cat", 2))]
    said = _lines(hunt(affected_labels=labels))
    assert (said["label dog"], said["label cat"]) == ("1 victim", "2 victims")


def test_each_kind_of_pair_says_what_it_means():
    said = _lines(hunt(probable=["a", "b"]))
    assert said["probable"].startswith("2 (a weaker sign, ")
    assert said["probable"].endswith("the trusted model sees nowhere): a, b")
    assert said["victims"] == "0 (carry a trigger, and the caption names its label)"


def test_what_nobody_could_judge_is_neither_rejected_nor_passed_over():
    blind = [{"label": "cat", "regions": 172, "why": "of 60 pictures it names 6 rightly"}]
    said = _lines(hunt(inspected=40, unjudged=blind, undecided=[{}] * 2))
    assert "0 candidates rejected, 2 undecided, in 40 inspected pictures" in said["verdict"]
    assert "; 172 regions could not be judged" in said["verdict"]
    assert said["cannot judge cat"] == "172 regions: of 60 pictures it names 6 rightly"


def test_a_p_value_says_what_it_rests_on():
    trigger = {
        "label": "banana", "flip_rate": 1.0, "n": 50, "interval": [0.93, 1.0], "pair": "7",
        "flip_rate_trusted": 0.0, "pairs": ["7"], "box": [0, 0, 6, 6], "controls": 400,
        "controls_as_good": 0, "p_value": 0.00998, "objects": {"working": 10, "known": 9, "left_out": 0},
    }  # fmt: skip
    said = _lines(hunt(triggers=[trigger]))["trigger 1"]
    assert "0 of 400 control crops as good (p 0.00998, Holm)" in said
    assert "of 10 crops of pictures whose captions name banana" in said
    assert "the trusted model knows 9" in said


def test_what_the_attacker_wrote_does_not_move_the_cursor(capsys):
    hostile = "dog\x1b[2Jcat\u202egnp\u200b\x07"
    answer({"label " + hostile: hostile, "more": [hostile]}, as_json=False)
    said = capsys.readouterr().out
    assert all(one == "\n" or one.isprintable() for one in said)
    assert "dog\\x1b[2Jcat\\u202egnp\\u200b\\x07" in said
    assert printable("größer, 犬\n") == "größer, 犬\n"


def test_victims_are_held_against_the_truth_that_no_hunt_reads():
    truth = SimpleNamespace(poisoned=frozenset("abcd"))
    found = {"victims": ["a", "b", "x"]}
    held = against_truth(found, truth)
    assert held == {
        "victims": 3, "poisoned": 4, "right": 2, "precision": pytest.approx(2 / 3), "recall": 0.5,
    }  # fmt: skip
    assert against_truth({"victims": []}, truth)["precision"] is None
    assert against_truth(found, None) is None
    assert against_truth(found, SimpleNamespace(poisoned=frozenset())) is None
    assert _lines(hunt() | {"against_truth": held})["against the truth"].startswith(
        "2 of 3 victims are poisoned pairs, of which there are 4 (recall 0.500)"
    )
