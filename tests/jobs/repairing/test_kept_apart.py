"""What teaches, what is tested, and what is doubted are different pairs; so are suspect and start."""

import numpy as np
import pytest

from clipforensics.cases.case import Case
from clipforensics.config.recipes import CleanClipSettings, EftClipSettings, FineTuneSettings
from clipforensics.errors import ConfigError
from clipforensics.jobs.repairing import curating, measuring, rescanned
from clipforensics.jobs.scanning.scan import embed
from clipforensics.train.evaluate import TestSet

NOTHING = np.empty(0, np.int64)


@pytest.mark.parametrize("kind", ["victims", "probable", "carriers"])
def test_whatever_the_newest_hunt_names_is_doubted(case, bank, monkeypatch, kind):
    monkeypatch.setattr(curating, "latest_hunt", lambda case: {kind: ["p0003", "p0007"]})
    assert np.flatnonzero(curating.excluded_rows(case)).tolist() == [3, 7]
    case.store.decide("sample", "p0007", "benign", "ann")
    assert np.flatnonzero(curating.excluded_rows(case)).tolist() == [3]


def test_the_asr_of_a_found_trigger_leaves_out_pictures_of_its_target(case, found_trigger):
    measured = measuring.measure(case, [found_trigger()], 32, 100, NOTHING)
    record = measured.evaluate(case.suspect("cpu"))
    assert record["n_ca"] == 80
    assert record["n_target_recall"] == 20
    assert record["triggers"]["found 1"]["n_asr"] == 60


def test_each_found_twin_is_its_own_picture_with_a_stamp(case, found_trigger):
    rng = np.random.default_rng(2)
    test = TestSet(rng.integers(0, 255, (12, 32, 32, 3), np.uint8), np.arange(12) % 4)
    made = measuring._found(found_trigger(), "found 1", case, test, 0)
    assert made.rows.tolist() == [row for row in range(12) if row % 4]
    for twin, row in zip(made.pictures, made.rows, strict=True):
        assert 0 < (twin != test.pictures[row]).any(axis=2).sum() <= 100


def test_no_pair_that_teaches_or_is_retrieved_is_tested_on(world, tmp_path, make_case, bank):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    embed(case)
    tested = measuring.measure(case, [], 32, 24, NOTHING).held_out
    assert len(tested) == 24
    assert not set(tested) & set(measuring.measure(case, [], 32, 24, tested).held_out)
    assert len(measuring.measure(case, [], 32, 24, NOTHING, tested).held_out) == 48


def test_only_pairs_that_lie_close_are_held_out_for_retrieval(case, bank, monkeypatch):
    apart = np.random.default_rng(4).permutation(240).astype(float)
    apart[::10] = np.nan
    used = np.argsort(apart)[:30]
    monkeypatch.setattr(measuring, "is_embedded", lambda case: True)
    monkeypatch.setattr(measuring, "density_of", lambda case: apart)
    draws = [measuring.retrieval_rows(case, used, 500, seed) for seed in range(20)]
    assert {len(rows) for rows in draws} == {6}
    drawn = np.concatenate(draws)
    assert len(set(drawn)) > 40
    assert (apart[drawn] <= np.nanmedian(apart)).all()
    assert not {3, *used} & set(drawn)  # the hunt names row 3


def test_every_fine_tune_of_a_case_learns_from_the_same_pairs(case, bank):
    embed(case)
    case.store.decide("label", "blue", "suspicious", "ann")
    more = {"batch": 16, "pairs": 40, "seed": 3}
    made = [
        curating.curated_set(case, kind(**more)).pairs
        for kind in (EftClipSettings, FineTuneSettings, CleanClipSettings)
    ]
    assert len(made[0].target) == 8
    for one in made[1:]:
        assert one.retention.tolist() == made[0].retention.tolist()
        assert one.target.tolist() == made[0].target.tolist()


def test_nothing_is_pasted_on_pairs_that_are_picked_or_named(case, bank, monkeypatch):
    embed(case)
    pasted_on = []
    monkeypatch.setattr(
        rescanned, "_paste_all", lambda *given: (pasted_on.append(list(given[3])), [])[1]
    )
    rescanned.paste_tests(case, case)
    (before,) = pasted_on
    picked, unsure, named = (case.pairs.ids[row] for row in before[:3])
    case.store.decide("sample", picked, "suspicious", "ann")
    case.store.decide("sample", unsure, "unsure", "ann")
    monkeypatch.setattr(curating, "latest_hunt", lambda case: {"victims": [named]})
    rescanned.paste_tests(case, case)
    assert not set(before[:3]) & set(pasted_on[1])
    assert set(before[3:]) <= set(pasted_on[1])


@pytest.mark.parametrize("recipe", ["safeclip", "roclip", "filter"])
def test_a_trusted_model_with_the_weights_of_the_suspect_is_no_start(
    case, bank, go, context_for, monkeypatch, recipe
):
    monkeypatch.setattr(Case, "trusted", Case.suspect)
    changes = {"batch": 32, "start": "trusted"}
    with pytest.raises(ConfigError, match="not learned the poison"):
        go(case, recipe=recipe, changes=changes)
    assert not context_for(case.dir, "repair").run.journal()[0]
