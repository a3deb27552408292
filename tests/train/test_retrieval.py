"""Recall of picture-caption retrieval, against slow loops and where it must fail."""

import numpy as np
import pytest

from clipforensics.errors import DataError
from clipforensics.models.tiny import tiny_clip
from clipforensics.train.evaluate import wilson
from clipforensics.train.retrieval import RetrievalSet, chance, normalized, recalls


@pytest.mark.parametrize("seed", range(4))
def test_recall_equals_slow_loops(seed):
    rng = np.random.default_rng(seed)
    n, kinds = 30, rng.integers(0, 12, 30)
    products = rng.normal(size=(n, n)).round(1)  # rounded, so that there are ties
    made = recalls(products, kinds)
    for k in (1, 5, 10):
        hits = 0
        for i in range(n):
            # worst case among ties: the wrong ones come first
            order = sorted(range(n), key=lambda j: (-products[i, j], kinds[j] == kinds[i]))
            hits += any(kinds[j] == kinds[i] for j in order[:k])
        assert made[f"r{k}"] == hits / n


def test_a_model_that_gives_everything_one_embedding_finds_nothing():
    assert recalls(np.ones((40, 40)), np.arange(40)) == {"r1": 0, "r5": 0, "r10": 0}


def test_perfect_and_repeated_captions():
    assert recalls(np.eye(20), np.arange(20))["r1"] == 1
    assert recalls(np.roll(np.eye(4), 2, axis=1), np.array([0, 1, 0, 1]))["r1"] == 1
    assert recalls(np.roll(np.eye(4), 1, axis=1), np.array([0, 1, 0, 1]))["r1"] == 0


def test_chance_is_k_of_n_without_repeats():
    assert chance(np.arange(1000)) == pytest.approx({"r1": 0.001, "r5": 0.005, "r10": 0.01})
    assert chance(np.zeros(6, int)) == {"r1": 1, "r5": 1, "r10": 1}
    assert chance(np.array([0, 0, 1, 1]))["r1"] == 0.5


def test_a_record_has_both_ways_and_their_mean(rng):
    pictures = rng.integers(0, 255, (12, 32, 32, 3), np.uint8)
    made = RetrievalSet(pictures, [f"A  picture {i % 6}" for i in range(12)])(tiny_clip(0))
    ways = made["retrieval"]
    assert ways["n"] == 12
    both = ways["picture_to_caption"]["r5"], ways["caption_to_picture"]["r5"]
    assert made["r5"] == pytest.approx(sum(both) / 2)
    assert 0 <= made["r1"] <= made["r5"] <= 1
    assert ways["chance"]["r1"] == pytest.approx(1 / 6)


def test_the_interval_is_wide_enough_for_a_mean_of_both_ways(rng):
    """Were both ways of a pair always alike, the mean would be one share of n pairs: Wilson's own."""
    pictures = rng.integers(0, 255, (40, 32, 32, 3), np.uint8)
    made = RetrievalSet(pictures, [f"picture {i}" for i in range(40)])(tiny_clip(0))
    for k in ("r1", "r5"):
        assert made[f"{k}_low"] <= made[k] <= made[f"{k}_high"]
        assert (made[f"{k}_low"], made[f"{k}_high"]) == wilson(made[k] * 40, 40)


def test_case_and_spaces_do_not_tell_captions_apart():
    assert normalized("  A  red\tWall ") == normalized("a red wall")


def test_a_caption_for_every_picture():
    with pytest.raises(DataError, match="one caption per picture"):
        RetrievalSet(np.zeros((2, 4, 4, 3), np.uint8), ["a"])
