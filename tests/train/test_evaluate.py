"""Clean accuracy, attack success rate, Wilson's interval."""

import numpy as np
import pytest

from clipforensics.data.labels import LabelSet
from clipforensics.errors import DataError
from clipforensics.models.tiny import tiny_clip
from clipforensics.train.evaluate import (
    Evaluator,
    PooledSet,
    TargetedSet,
    TestSet,
    accuracy,
    attack_success_rate,
    stamp_all,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (46, 50, 0.812, 0.968),
        (0, 1000, 0, 0.0038),
        (7, 1000, 0.0034, 0.0144),
        (20, 1000, 0.013, 0.031),
    ],
)
def test_wilson_on_paper(hits, n, low, high):
    assert wilson(hits, n) == pytest.approx((low, high), abs=6e-4)


def test_wilson_of_nothing_knows_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_asr_leaves_out_images_of_the_target():
    truth, seen = np.array([0, 0, 1, 1]), np.array([1, 0, 1, 1])
    assert attack_success_rate(truth, seen, target=1) == 0.5
    assert accuracy(truth, seen) == 0.75


def test_asr_of_target_pictures_alone_is_refused():
    with pytest.raises(DataError, match="Add pictures of other labels"):
        attack_success_rate(np.array([1, 1]), np.array([1, 1]), target=1)


def test_the_evaluator_counts_like_the_definitions(rng):
    labels = LabelSet(("cat", "dog", "cup"))
    test = TestSet(rng.integers(0, 255, (30, 32, 32, 3), np.uint8), np.arange(30) % 3)

    def stamp(picture, row):
        return 255 - picture

    stamped = stamp_all("mine", test, stamp, target=1)
    assert len(stamped.pictures) == 20
    assert (test.truth[stamped.rows] != 1).all()
    record = Evaluator(labels, test, [stamped], of="found")(tiny_clip(0))
    assert record["n_ca"] == 30
    assert record["n_asr"] == 20
    assert record["asr_of"] == "found"
    assert record["asr_low"] <= record["asr"] <= record["asr_high"]
    assert record["ca_low"] <= record["ca"] <= record["ca_high"]
    assert record["triggers"]["mine"]["asr"] == record["asr"]
    assert 0 <= record["base_rate"] <= 1


def test_an_evaluator_without_triggers_has_no_asr(rng):
    test = TestSet(rng.integers(0, 255, (4, 32, 32, 3), np.uint8), np.array([0, 1, 0, 1]))
    assert "asr" not in Evaluator(LabelSet(("cat", "dog")), test)(tiny_clip(0))


def test_a_test_set_needs_a_label_each():
    with pytest.raises(DataError, match="one label per picture"):
        TestSet(np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64))


def test_several_triggers_are_pooled_each_towards_its_own_target(rng, monkeypatch):
    from clipforensics.train import evaluate

    labels = LabelSet(("cat", "dog", "cup"))
    test = TestSet(rng.integers(0, 99, (30, 32, 32, 3), np.uint8), np.arange(30) % 3)
    patch = stamp_all("patch", test, lambda picture, row: picture * 0 + 200, target=1)
    warp = stamp_all("warp", test, lambda picture, row: picture * 0 + 201, target=2)
    # a model that takes 200 for a dog, 201 for a dog as well, and everything else for a cat
    monkeypatch.setattr(evaluate, "label_weights", lambda *_: None)
    monkeypatch.setattr(
        evaluate, "predict", lambda encoder, pictures, _: (pictures[:, 0, 0, 0] >= 200).astype(int)
    )
    record = Evaluator(labels, test, [PooledSet("planted", (patch, warp))])(tiny_clip(0))
    assert (record["asr"], record["n_asr"], record["base_rate"]) == (0.5, 40, 0)
    assert "by_trigger" not in record
    planted = record["triggers"]["planted"]
    assert planted["by_trigger"]["patch"]["asr"] == 1
    assert planted["by_trigger"]["warp"]["asr"] == 0
    assert planted["by_trigger"]["warp"]["target"] == "cup"
    assert planted["predicted"] == {"patch": {"dog": 1, "cup": 0}, "warp": {"dog": 1, "cup": 0}}
    assert record["target_recall"] == 0
    n = record["n_target_recall"]
    assert (record["target_recall_low"], record["target_recall_high"]) == wilson(0, n)


def test_targeted_poisoning_gives_a_psr_and_no_asr(rng):
    labels = LabelSet(("cat", "dog"))
    test = TestSet(rng.integers(0, 255, (10, 32, 32, 3), np.uint8), np.arange(10) % 2)
    targeted = TargetedSet(test.pictures[:4], np.array([1, 0, 1, 0]))
    record = Evaluator(labels, test, targeted=targeted)(tiny_clip(0))
    assert record["n_psr"] == 4
    assert record["psr_low"] <= record["psr"] <= record["psr_high"]
    assert not [name for name in record if "asr" in name]
