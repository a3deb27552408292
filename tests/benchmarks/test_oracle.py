"""The figures of a hunt against the truth, by hand."""

import sys
from pathlib import Path

import pytest

from clipforensics.attacks.manifest import Manifest
from clipforensics.config.attack import BadNetsSettings, PoisonSettings

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from oracle import figures, iou

TRUTH = Manifest(
    settings=PoisonSettings(attack=BadNetsSettings(), rate=0.01), side=64,
    poisoned=frozenset("abcd"), rows=({"id": "a", "box_xyxy": [[0, 0, 10, 10], [40, 40, 50, 50]]},),
    counts={}, test_seed=0, pattern_sha256=(), targeted={},
)  # fmt: skip
FOUND = {
    "inspected": 9, "rejected": [], "affected_labels": [{"label": "banana"}],
    "triggers": [{"pair": "a", "box": [40, 40, 50, 60], "flip_rate": 0.9, "n": 200}],
    "sightings": [{"pair": "a"}, {"pair": "a"}, {"pair": "x"}],
    "victims": ["a", "b", "x"], "seconds": 1.0, "seconds_per_picture": 0.1,
}  # fmt: skip


def test_victims_and_sightings_are_held_against_the_manifest():
    row = figures(FOUND, TRUTH)
    assert row["victim precision"] == pytest.approx(2 / 3)
    assert row["victim recall"] == 2 / 4
    assert row["poisons sighted"] == "1 of 4"
    assert row["clean pairs sighted"] == 1
    assert row["labels named"] == "banana"
    assert row["best box IoU"] == 0.5


def test_nothing_is_right_where_nothing_is_planted():
    row = figures(FOUND, None)
    assert (row["victim precision"], row["victim recall"], row["best box IoU"]) == (0, None, None)
    assert row["clean pairs sighted"] == 2


def test_boxes_that_touch_do_not_overlap():
    assert iou([0, 0, 4, 4], [4, 0, 8, 4]) == 0
    assert iou([0, 0, 4, 4], [2, 0, 6, 4]) == pytest.approx(1 / 3)
