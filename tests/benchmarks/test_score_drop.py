"""The benchmark of the score drop: what it ranks, and that it prints what is recorded."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _attack_table import SWAPPED, mistaken
from score_drop import RANKINGS, shown, swapped

TRUTH = np.arange(400) < 20


def test_swapping_gives_clean_pairs_each_other_s_captions_and_leaves_the_poison_its_own():
    for share, order in mistaken(TRUTH, seed=3):
        assert sorted(order) == list(range(400))
        np.testing.assert_array_equal(order[:20], np.arange(20))
        assert np.mean(order != np.arange(400)) == pytest.approx(share, abs=0.05)


def test_only_what_fell_is_ranked_by_the_drop(rng):
    # clean pictures are as before; poison fits its caption before, and turns away from it after
    captions = rng.normal(size=(400, 16)).astype(np.float32)
    before = captions + rng.normal(0, 0.1, captions.shape).astype(np.float32)
    after = before.copy()
    after[TRUTH] = rng.normal(size=(20, 16))
    made = SimpleNamespace(pairs=SimpleNamespace(poisoned=TRUTH))
    found = dict(swapped((before, captions), (after, captions), made, seed=0))  # pyright: ignore
    assert list(found) == [f"{share:g}" for share in SWAPPED]
    for by in found.values():
        assert tuple(by) == RANKINGS
        assert by["score drop"]["average_precision"] == pytest.approx(1)
        assert by["CLIP score before"]["average_precision"] < 0.2
    assert found["0"]["CLIP score after"]["average_precision"] == pytest.approx(1)
    assert found["0.2"]["CLIP score after"]["average_precision"] < 0.5  # mistakes look alike


def test_a_row_is_the_mean_over_its_seeds():
    figures = {"n": 400, "poisoned": 20, "recall_at_budget": {"0.001": 0.0, "0.01": 0.2, "0.05": 1}}
    records = [
        {
            "attack": "sig", "recipe": "eftclip", "before": {"asr": 0.9}, "after": {"asr": asr},
            "swapped": {"0": {n: {**figures, "auroc": auc, "average_precision": auc} for n in RANKINGS}},
        }
        for asr, auc in ((0.1, 0.8), (0.3, 1.0))
    ]  # fmt: skip
    rows = list(shown(records))
    assert [one["ranking"] for one in rows] == list(RANKINGS)
    assert rows[0]["AUROC"]["mean"] == pytest.approx(0.9)
    assert (rows[0]["seeds"], rows[0]["ASR"]["mean"]) == (2, pytest.approx(0.2))
    assert rows[0]["ASR before"]["mean"] == pytest.approx(0.9)
    assert rows[0]["recall at 1.0%"]["mean"] == 0.2
