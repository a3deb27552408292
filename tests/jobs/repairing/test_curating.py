"""What a reviewer said decides what a repair learns from."""

import json

import numpy as np
import pytest

from clipforensics.config.recipes import FineTuneSettings
from clipforensics.errors import ConfigError
from clipforensics.jobs.repairing import curating, preparing
from clipforensics.jobs.scanning.scan import embed


def test_a_trigger_called_benign_is_not_healed(case, bank, go):
    subject = curating.trigger_subject(bank[0])
    case.store.decide("trigger", subject, "benign", "ann")
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        go(case)


def test_a_trigger_that_did_not_pass_is_healed_where_a_reviewer_picked_it(case, bank):
    (weak,) = bank
    weak.figures.status = "weak"
    assert curating.triggers_to_heal(case) == []
    subject = curating.trigger_subject(weak)
    case.store.decide("trigger", subject, "suspicious", "ann")
    assert curating.triggers_to_heal(case) == [weak]
    case.store.decide("trigger", subject, "benign", "bob")
    assert curating.triggers_to_heal(case) == []


def test_picks_decide_what_may_be_learned(case, bank):
    case.store.decide("sample", "p0004", "suspicious", "ann")
    case.store.decide("sample", "p0005", "unsure", "ann")
    case.store.decide("sample", "p0003", "benign", "ann")
    case.store.decide("label", "blue", "suspicious", "ann")
    case.store.decide("label", "green", "benign", "ann")
    rows = np.flatnonzero(curating.excluded_rows(case))
    assert rows.tolist() == [4, 5]
    assert curating.affected_labels_of(case, list(bank)) == ["red", "blue"]


def test_the_trusted_model_is_asked_once_for_a_pair(case, monkeypatch):
    asked = []

    def seen(case, rows):
        asked.extend(rows.tolist())
        return [row % 2 == 0 for row in rows]

    monkeypatch.setattr(curating, "_seen_as_named", seen)
    support = curating.supporter(case)
    assert support is not None
    assert support(np.array([4, 7, 9])).tolist() == [True, False, False]
    assert support(np.array([9, 4, 2])).tolist() == [False, True, True]
    assert asked == [4, 7, 9, 2]


def test_what_was_left_out_is_never_learned_from_and_stands_in_the_run(case, bank, go, eft):
    embed(case)
    settings = FineTuneSettings(batch=16, pairs=40)
    whole = curating.curated_set(case, settings).pairs.rows
    gone = case.pairs.ids[whole[0]]
    without = settings.model_copy(update={"left_out_pairs": (gone,)})
    edited = curating.curated_set(case, without).pairs.rows
    assert whole[0] not in edited
    assert len(edited) == len(whole)
    assert len(np.intersect1d(whole, edited)) == len(whole) - 1  # one pair takes its place
    without = settings.model_copy(update={"left_out_labels": ("blue",)})
    named = curating.names_per_row(case)
    assert not any(2 in named[row] for row in curating.curated_set(case, without).pairs.rows)
    changes = {**eft, "steps": 2, "left_out_pairs": [gone]}
    _, _, context = go(case, recipe="finetune", changes=changes, measure_cost=False)
    assert context.run.config["changes"]["left_out_pairs"] == [gone]
    assert gone not in json.loads((context.run.dir / preparing.CURATED).read_text())["ids"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"left_out_pairs": ["nobody"]}, "1 of 1 left-out pairs are not in the case"),
        ({"left_out_labels": ["mauve"]}, "label 'mauve' is not among the 4 labels"),
    ],
)
def test_leaving_out_what_is_not_there_is_one_sentence(case, bank, changes, words, go, eft):
    with pytest.raises(ConfigError, match=words):
        go(case, recipe="finetune", changes={**eft, **changes})
