"""What a repair is measured on, and what is kept from it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.config.recipes import EftClipSettings
from clipforensics.jobs.repairing import curating, measuring, preparing
from clipforensics.jobs.scanning.scan import embed


def test_every_evaluation_measures_retrieval_on_pairs_that_no_run_learns_from(case, bank, go, eft):
    result, records, context = go(case, changes={**eft, "steps": 10})
    for record in [r for r in records if r["kind"] == "evaluation"]:
        assert record["retrieval"]["n"] == 6
        assert 0 <= record["r1"] <= record["r5"] <= 1
    assert result["r1_before"] is not None
    assert result["retrieval_after"]["chance"]["r1"] > 0
    held = set(json.loads((context.run.dir / preparing.HELD_OUT).read_text())["ids"])
    used = set(json.loads((context.run.dir / preparing.CURATED).read_text())["ids"])
    assert len(held) == 6
    assert not held & used
    case.store.decide("sample", min(held), "suspicious", "ann")
    again = preparing._held_out_once(context, case, np.empty(0, np.int64), 500)
    assert {case.pairs.ids[row] for row in again} == held  # a resumed run keeps to its draw


def test_a_test_set_with_captions_serves_for_retrieval(case):
    test = SimpleNamespace(
        captions=("a red wall", "", "a blue wall"),
        picture=lambda row, side: np.full((side, side, 3), row),
    )
    given = SimpleNamespace(test=test, pairs=case.pairs)
    assert len(measuring.retrieval_rows(given, np.empty(0, np.int64), 500)) == 0
    made = measuring._retrieval(given, 32, 100, None)
    assert made.captions == ["a red wall", "a blue wall"]
    assert made.pictures[:, 0, 0, 0].tolist() == [0, 2]


def test_what_is_held_out_is_told_before_a_retraining(case):
    from clipforensics.jobs.repairing import measuring

    run = measuring.measure(
        case, [], 32, 10, np.empty(0, int), measuring.retrieval_rows(case, np.empty(0, int), 500)
    )
    assert len(run.held_out) == measuring.most_held_out(case, 10, 500)


def test_without_a_test_set_low_score_pairs_are_held_out(
    world, tmp_path, bank, go, make_case, eft, monkeypatch
):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    embed(case)
    settings = EftClipSettings(**eft)
    named = case.pairs.ids[int(curating.curated_set(case, settings).pairs.rows[0])]
    monkeypatch.setattr(curating, "latest_hunt", lambda case: {"victims": [named]})
    result, _, context = go(case, changes={**eft, "steps": 10})
    assert result["test_of"].startswith("held-out low-score pairs")
    assert result["asr_of"] == "found"
    used = json.loads((context.run.dir / preparing.CURATED).read_text())["ids"]
    tested = json.loads((context.run.dir / preparing.TESTED).read_text())["ids"]
    assert len(used) == 48
    assert len(tested) == measuring.most_held_out(case, 2000, 500)
    assert named not in {*used, *tested}
    assert not set(used) & set(tested)


@pytest.mark.parametrize("test", [True, False])
def test_the_estimate_counts_the_pictures_that_are_tested(world, tmp_path, make_case, test):
    case = make_case(world, tmp_path / "one", test=test)
    assert measuring.most_tested(case, 2_000) == (80 if test else 24)
    assert measuring.most_tested(case, 10) == 10


def test_runs_that_leave_other_pairs_out_are_measured_on_the_same_ones(world, tmp_path, make_case):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    embed(case)
    drawn = measuring.retrieval_rows(case, np.empty(0, np.int64), 500)
    kept = measuring.retrieval_rows(case, drawn[:2], 500)
    assert set(drawn[2:]) < set(kept)
    first = measuring.measure(case, [], 32, 12, np.empty(0, np.int64)).held_out
    other = measuring.measure(case, [], 32, 12, first[:3]).held_out
    assert set(first[3:]) < set(other)
