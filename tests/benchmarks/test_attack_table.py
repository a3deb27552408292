"""The attack table says what it says: gaps by row, swapped captions, nothing read from the truth."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from _attack_table import PAST_CONCEPT, SWAPPED, swapped
from _attack_told import beside_best, beside_parts, by_cells, with_mistakes

from clipforensics.detect.apart import Apart


def record(attack, seed, asr, scales, combined):
    return {
        "attack": attack, "rate": 0.01, "seed": seed, "figures": {"asr": asr},
        "scales": scales, "detectors": {"combined": {"auroc": combined}},
    }  # fmt: skip


def test_a_row_is_held_against_the_scale_that_is_best_over_its_seeds():
    records = [
        record("blend", 0, 0.9, {"512,8": 1.0, "512,16": 0.8}, 0.9),
        record("blend", 1, 0.8, {"512,8": 0.6, "512,16": 0.9}, 0.8),  # best on average: .85
        record("wanet", 0, 0.1, {"512,8": 0.7, "512,16": 0.6}, 0.65),
    ]
    found = beside_best(records, "combined")
    assert found["working"] == "1 of 1"
    assert found["worst working"] == pytest.approx(0)
    assert found["all rows"] == "1 of 2"
    assert found["without those that stamp most of a concept"] == "1 of 2"
    assert found["farther below"] == {"wanet 0.01": 0.05}
    assert found["most of the concept stamped"] == {}


def test_rows_that_stamp_much_of_the_concept_are_told_apart():
    scales = {"512,8": 0.7, "512,16": 0.6}
    records = [record("clean_label", 0, 0.1, scales, 0.6), record("wanet", 0, 0.1, scales, 0.7)]
    assert PAST_CONCEPT["clean_label"][0] == records[0]["rate"]
    found = beside_best(records, "combined")
    assert found["all rows"] == "1 of 2"
    assert found["without those that stamp most of a concept"] == "1 of 1"
    assert found["farther below"] == {}
    assert found["most of the concept stamped"] == {"clean_label 0.01": 0.1}


def test_single_cells_and_the_parts_of_the_joined_ranking_are_told():
    scales = {"512,8": 0.7, "512,16": 0.6}
    records = [record("blend", 0, 0.9, scales, 0.69), record("wanet", 1, 0.1, scales, 0.6)]
    for one, clip in zip(records, (0.8, 0.5), strict=True):
        one["detectors"] |= {"scales": {"auroc": 0.6}, "clip": {"auroc": clip}}
    found = by_cells([*records, record("clean_label", 0, 0.1, scales, 0.1)])  # a concept's most
    assert found["all"] == "1 of 2; working 1 of 1, at most 0.0100 below"
    assert found["seed 1"] == "0 of 1; working 0 of 0"
    assert beside_parts(records) == {"working": "0 of 1", "all": "1 of 2"}


def test_swapped_captions_leave_the_poison_and_its_density_alone(rng):
    x = rng.normal(size=(400, 8)).astype(np.float32)
    captions, truth = x.copy(), np.arange(400) < 20
    captions[truth] = rng.normal(size=(20, 8))  # false captions that were not believed
    apart = Apart(*rng.normal(size=(4, 400)))
    found = dict(swapped(x, captions, apart, truth, seed=0))
    assert list(found) == [f"{share:g}" for share in SWAPPED]
    assert found["0"]["clip"] == {"auroc": 1.0, "recall_at_0.01": 0.2}  # four rows of twenty
    assert found["0.2"]["clip"]["auroc"] < 0.95
    means = with_mistakes([{**record("blend", 0, 0.9, {}, 0), "swapped": found}])
    assert means["0.2"]["clip"]["auroc"] == found["0.2"]["clip"]["auroc"]
    assert with_mistakes([{**record("blend", 0, 0.1, {}, 0), "swapped": found}]) == {}
