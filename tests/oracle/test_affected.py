"""Algorithm 2: who counts as a victim, a carrier, probable, or as nothing."""

from dataclasses import replace

import numpy as np
import pytest

from clipforensics.oracle.affected import TOP_SHARE, affected_labels, carriers, probable
from clipforensics.oracle.bank import SAME_COSINE, Trigger
from clipforensics.oracle.finding import Inspection
from clipforensics.oracle.verify import Verification

FIGURES = Verification(
    "banana", 40, {"found": 0.9, "random": 0.9}, 0.9, (0.8, 0.95), 0.1, 0.0, 0.0, 9, 9, 0.02,
    None, "verified", False,
)  # fmt: skip
TRIGGER = Trigger(
    "banana", "p0", (0, 0, 4, 4), np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool),
    np.ones((4, 4), bool), ("p0",), True, FIGURES, np.array([1.0, 0.0], np.float32),
)  # fmt: skip
SAME = np.array([1.0, 0.0], np.float32)
OTHER = np.array([SAME_COSINE - 0.01, 0.45], np.float32)


@pytest.mark.parametrize(
    ("named", "peak", "effect", "kind", "reasons"),
    [
        ("banana", 0.9, SAME, "victim", ("match", "effect")),
        ("banana", 0.9, None, "victim", ("match",)),
        ("banana", 0.2, SAME, "victim", ("effect",)),
        ("banana", np.nan, SAME, "victim", ("effect",)),
        ("banana", 0.2, OTHER, None, ()),
        ("banana", 0.2, None, None, ()),
        ("dog", 0.9, None, "carrier", ("match",)),
        ("dog", 0.9, SAME, "carrier", ("match", "effect")),
        # a region that works like the trigger is no sign by itself: the caption must agree
        ("dog", 0.2, SAME, None, ()),
        ("dog", np.nan, SAME, None, ()),
        ("dog", 0.5, None, None, ()),  # at the floor is not above it
    ],
)
def test_who_carries_a_trigger(named, peak, effect, kind, reasons):
    effects = {} if effect is None else {"p1": effect}
    match = np.array([peak], np.float32)
    found = carriers(TRIGGER, ["p1"], [frozenset([named])], match, 0.5, effects)
    assert [(one.kind, one.reasons) for one in found] == ([(kind, reasons)] if kind else [])


def test_a_pattern_too_flat_to_be_looked_for_leaves_the_effect_alone():
    ids, named = ["p1", "p2", "p3"], [frozenset([name]) for name in ("banana", "dog", "banana")]
    found = carriers(TRIGGER, ids, named, None, None, {"p1": SAME, "p2": SAME})
    assert [(one.pair, one.kind, one.match) for one in found] == [("p1", "victim", None)]


def looked_at(said, unseen):
    none = np.empty((0, 2), np.float32)
    return Inspection(
        ((said, 0.9), ("dog", 0.1)), (), tuple((name, 0.1) for name in unseen), (), none, none, ()
    )


@pytest.mark.parametrize(
    ("named", "unseen", "share", "is_probable"),
    [
        ("banana", ("banana",), 0.0, True),
        ("banana", ("banana",), TOP_SHARE, True),
        ("banana", ("banana",), TOP_SHARE * 1.01, False),
        ("banana", ("banana",), 0.5, False),
        ("dog", ("banana",), 0.0, False),  # the caption names something else
        ("banana", ("dog",), 0.0, False),  # it is to be seen
        ("banana", (), 0.0, False),
    ],
)
def test_probable_needs_caption_and_suspect_against_sight_and_a_top_score(
    named, unseen, share, is_probable
):
    found = probable("p1", frozenset([named]), looked_at("banana", unseen), share)
    assert (found is not None) == is_probable
    if found is not None:
        assert (found.label, found.kind, found.reasons) == ("banana", "probable", ("disagreement",))


def test_labels_that_are_forced_come_in_the_order_of_the_surest_flip():
    bank = [
        replace(TRIGGER, label=label, figures=replace(FIGURES, interval=(low, 1.0), status=status))
        for label, low, status in (
            ("dog", 0.6, "verified"), ("dog", 0.7, "verified"), ("cat", 0.9, "verified"),
            ("sea", 0.95, "chance"),
        )
    ]  # fmt: skip
    found = affected_labels(bank, [])
    assert [(one.label, one.flip_rate_low, one.n, one.triggers, one.victims) for one in found] == [
        ("cat", 0.9, FIGURES.n, 1, 0), ("dog", 0.7, FIGURES.n, 2, 0),
    ]  # fmt: skip
