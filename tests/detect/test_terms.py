"""Caption terms that flagged rows share more often than chance."""

from math import comb, log10

import numpy as np
import pytest

from clipforensics.detect.terms import (
    benjamini_hochberg,
    over_represented,
    over_represented_names,
)
from clipforensics.errors import DataError


def captions_with_a_target(rng, target="banana", n=2000, poisoned=30):
    things = [f"thing{i}" for i in range(60)]
    rows = [f"a photo of a {things[i]} near a {things[j]}, number {r}"
            for r, (i, j) in enumerate(rng.integers(60, size=(n, 2)))]  # fmt: skip
    for row in range(poisoned):
        rows[row] = f"a picture of a {target}, item {row}"
    flagged = np.zeros(n, dtype=bool)
    flagged[: poisoned - 5] = True
    flagged[rng.choice(np.arange(poisoned, n), size=40, replace=False)] = True
    return rows, flagged


def test_the_target_word_leads(rng):
    captions, flagged = captions_with_a_target(rng)
    leader = over_represented(captions, flagged)[0]
    assert (leader.text, leader.flagged, leader.captions) == ("banana", 25, 30)
    assert leader.lift == pytest.approx((25 / 65) / (30 / 2000))
    assert leader.log10_p < -30
    assert 0 <= leader.q < 1e-25


def test_the_chance_is_the_hypergeometric_tail():
    captions = [f"red{i}" for i in range(100)] + [f"blue sky{i}" for i in range(8)]
    flagged = np.isin(np.arange(108), [0, 1, 100, 101, 102, 103, 104])
    (term,) = over_represented(captions, flagged)  # other words are rarer than five captions
    tail = sum(comb(8, x) * comb(100, 7 - x) for x in range(5, 8)) / comb(108, 7)
    assert (term.text, term.flagged, term.captions) == ("blue", 5, 8)
    assert term.log10_p == pytest.approx(log10(tail))
    assert term.q == pytest.approx(tail)


def test_the_least_lift_is_the_one_that_would_be_that_rare():
    names = [("owl",)] * 10 + [()] * 90
    flagged = np.isin(np.arange(100), [0, 1, 2, 3, 50])
    (term,) = over_represented_names(names, flagged)
    share = term.lift_low * 0.1  # of owls among the flagged: 4 of 5 or more would be one in 1,000
    assert 5 * share**4 * (1 - share) + share**5 == pytest.approx(0.001)
    (none,) = over_represented_names(names, np.arange(100) >= 95)
    assert none.lift_low == 0


def test_copies_stop_words_and_frequent_terms_do_not_count():
    captions = [f"The  common thing{i}" for i in range(95)] + ["a RARE bird!", "A rare bird"] * 5
    captions += [f"the lone owl {i}" for i in range(5)]
    found = {term.text: term for term in over_represented(captions, np.arange(110) >= 95)}
    assert set(found) == {"lone", "owl", "lone owl"}
    assert found["owl"].captions == 5


def test_random_flags_find_nothing_striking(rng):
    captions, _ = captions_with_a_target(rng)
    flagged = rng.permutation(2000) < 60
    assert min(term.q for term in over_represented(captions, flagged)) > 0.01


def test_hopeless_questions_are_refused_or_empty():
    with pytest.raises(DataError, match="No caption is flagged"):
        over_represented(["a", "b"], np.zeros(2, dtype=bool))
    with pytest.raises(DataError, match="2 captions but 3 flags"):
        over_represented(["a", "b"], np.ones(3, dtype=bool))
    assert over_represented(["", "the"], np.ones(2, dtype=bool)) == []


def test_names_are_tested_whole_and_every_row_counts():
    names = [("palm tree",)] * 8 + [("car", "dog")] * 100
    flagged = np.isin(np.arange(108), [0, 1, 2, 3, 4, 100, 101])
    (term,) = over_represented_names(names, flagged)  # car and dog are in most rows
    tail = sum(comb(8, x) * comb(100, 7 - x) for x in range(5, 8)) / comb(108, 7)
    assert (term.text, term.flagged, term.captions) == ("palm tree", 5, 8)
    assert term.log10_p == pytest.approx(log10(tail))


def test_benjamini_hochberg_by_hand():
    q = benjamini_hochberg(np.log10([0.01, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(q, [0.04, 0.16 / 3, 0.16 / 3, 0.5])
