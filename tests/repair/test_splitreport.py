"""What a split's record tells of labels, by hand-made splits."""

import numpy as np

from clipforensics.config.recipes import SafeClipSettings
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.splitreport import doubts, safe_by_label

NAMES = ("apple", "banana", "cup", "drum")
NAMED = [[0], [0], [0, 1], [1], [], [2], [2], [0]]
"""Rows that name apple: 0, 1, 2, 7; banana: 2, 3; cup: 5, 6; drum: none."""


def told(safe):
    return safe_by_label(LabelCounter(NAMED, NAMES), np.array(safe))["by_label"]


def test_the_least_trusted_labels_come_first_and_unnamed_ones_not_at_all():
    found = told([0, 1, 2, 4, 5])
    assert [(one["label"], one["safe"], one["pairs"]) for one in found["least"]] == [
        ("banana", 1, 2), ("cup", 1, 2), ("apple", 3, 4),
    ]  # fmt: skip
    assert found["median"] == 0.5
    assert found["untrusted"] == []


def test_a_label_without_safe_pairs_and_one_that_is_half_of_them_are_doubted():
    found = told([0, 1, 4, 5])
    assert found["untrusted"] == ["banana"]
    assert found["dominant"] == ["apple"]
    record = {"epoch": 3, "n_safe": 4, "n_risky": 4, "gmm": {"fallback": True}, "by_label": found}
    said = doubts(record, SafeClipSettings(batch=4))["warning"]
    assert said == "no safe pair names banana; half of the safe pairs or more name apple"
    found = told([0, 2, 4, 5, 6])
    assert (found["untrusted"], found["dominant"]) == ([], [])
    record["by_label"] = found
    assert doubts(record, SafeClipSettings(batch=4)) == {}


def test_many_untrusted_labels_are_counted_not_listed():
    names = [f"label {i}" for i in range(30)]
    found = safe_by_label(LabelCounter([[i] for i in range(30)], names), np.array([0, 1, 2]))
    record = {"epoch": 0, "n_safe": 3, "n_risky": 27, "gmm": {"fallback": False}, **found}
    said = doubts(record, SafeClipSettings(batch=2))["warning"]
    assert said.startswith("no safe pair names label 3, label 4, ")
    assert said.endswith("label 12 and 17 more")
    assert len(found["by_label"]["least"]) == 10


def test_labels_are_not_told_where_they_are_not_known():
    assert safe_by_label(None, np.arange(3)) == {}
