"""What the top-scored share: tested over cuts and rankings, corrected, never reading the truth."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.detect.terms import over_represented_names
from clipforensics.jobs.scanning.duplicated import duplicates
from clipforensics.jobs.scanning.suspects import suspected_labels


def made_case(captions):
    labels = ("banana", "car", "dog", "tree")
    named = SimpleNamespace(named_in=lambda text: [one for one in labels if one in text.split()])
    pairs = SimpleNamespace(captions=captions, ids=[f"p{row:04d}" for row in range(len(captions))])
    return SimpleNamespace(labels=named, pairs=pairs)


@pytest.fixture
def world(rng):
    """2,000 captions of three clean labels; 30 of banana among the top 60."""
    captions = [f"a {name} in scene {row}" for row, name in
                enumerate(rng.choice(["car", "dog", "tree"], 2000))]  # fmt: skip
    for row in range(40):
        captions[row] = f"a banana in scene {row}"
    score = rng.normal(size=2000)
    score[:30] += 6
    score[100:130] += 6
    score[7] = np.nan
    return made_case(captions), score


def test_the_planted_label_leads_with_its_evidence(world):
    case, score = world
    found = suspected_labels(case, {"scales": score})
    (label,) = found["labels"]
    assert (label["name"], label["detector"], label["captions"]) == ("banana", "scales", 39)
    assert label["flagged"] == label["cuts"][str(label["top"])] > 15
    assert label["q"] < 1e-6
    assert label["log10_p"] < -10
    assert set(label["examples"]) <= {f"p{row:04d}" for row in range(40)} - {"p0007"}
    assert found["terms"][0]["name"] == "banana"


def test_a_second_ranking_may_find_what_the_first_does_not(world, rng):
    case, score = world
    found = suspected_labels(case, {"scales": rng.normal(size=2000), "clip": score})
    assert found["labels"][0]["detector"] == "clip"


def test_nothing_is_suspected_where_scores_say_nothing(world, rng):
    case, _ = world
    said = [suspected_labels(case, {"scales": rng.normal(size=2000)}) for _ in range(20)]
    assert sum(bool(one["labels"]) for one in said) <= 1


def test_the_best_of_many_tests_by_chance_is_not_listed(rng):
    """Some term of hundreds is always rare among the top by chance: the correction must know."""
    names = [f"w{i:02d}" for i in range(60)]
    captions = [" ".join(rng.choice(names, 2, replace=False)) + f" {row}" for row in range(3000)]
    case, least = made_case(captions), []
    for _ in range(5):
        score = rng.normal(size=3000)
        assert not suspected_labels(case, {"scales": score})["terms"]
        for cut in (25, 50, 100):
            flags = np.zeros(3000, bool)
            flags[np.argsort(-score)[:cut]] = True
            terms = over_represented_names([text.split()[:2] for text in captions], flags)
            least.append(min(one.log10_p for one in terms))
    assert min(least) < -2  # uncorrected, some would pass the limit of .01


def test_a_label_that_is_sparse_by_nature_does_not_hide_a_few_poisons(rng):
    captions = [f"a {name} in scene {row}" for row, name in
                enumerate(rng.choice(["car", "dog", "tree"], 10_000, p=[0.05, 0.475, 0.475]))]  # fmt: skip
    captions[:300] = [f"a banana in scene {row}" for row in range(300)]
    cars = np.array(["car" in one for one in captions])
    score = rng.normal(size=10_000) + 1.5 * cars
    score[:30] += 7
    first, second = suspected_labels(made_case(captions), {"scales": score})["labels"][:2]
    assert (first["name"], second["name"]) == ("banana", "car")
    assert second["log10_p"] < first["log10_p"]
    assert first["lift_low"] > 2 * second["lift_low"]


def test_copies_do_not_vote_twice(rng):
    captions = [f"a {name} in scene {row}" for row, name in
                enumerate(rng.choice(["car", "dog", "tree"], 500))]  # fmt: skip
    score = rng.normal(size=500)
    case = made_case(captions + ["a banana"] * 60)
    found = suspected_labels(case, {"scales": np.append(score, np.full(60, 9.0))})
    assert found["labels"] == []


def test_copies_of_a_targeted_picture_are_listed_apart_though_all_name_one_label(rng):
    x = rng.normal(size=(120, 16)).astype(np.float32)
    x[100:110] = x[99]
    x[110:] = x[99] + 0.01 * rng.normal(size=(10, 16))
    captions = [f"a car in scene {row}" for row in range(100)]
    captions += [f"a dog in wording {row % 4}" for row in range(20)]
    captions[99] = "a dog in wording 9"
    near = np.argsort(-(x @ x.T) + 1e9 * np.eye(120), axis=1, kind="stable")[:, :15]
    found = duplicates(made_case(captions), np.arange(120), x, near, np.arange(120.0))
    assert (found["groups"], found["rows"]) == (1, 21)
    first, rest = found["shown"]
    assert (first["rows"], first["captions"], first["labels"]) == (11, 5, 1)
    assert first["striking"] == "exact copies, many captions"
    assert set(first["examples"]) <= {f"p{row:04d}" for row in range(99, 110)}
    assert (rest["rows"], rest["striking"]) == (21, "")
    assert first["middle_rank"] == pytest.approx(104.5 / 120)  # rows 99 to 109


def test_captions_that_repeat_are_listed_with_their_places_and_not_without_end(rng):
    captions = [f"a car in scene {row}" for row in range(300)]
    captions[::10] = ["A banana.", *["a  banana"] * 29]
    captions[1:5] = ["", "...", " ", ""]
    captions[100:220] = [f"pair {row // 2}" for row in range(120)]  # 60 more, twice each
    score = np.arange(300.0)
    score[::10] += 1000
    score[[10, 1, 2, 3, 4]] = np.nan
    near = np.tile(np.arange(15), (300, 1))
    found = duplicates(made_case(captions), np.arange(300), np.zeros((300, 4)), near, score)
    listed = found["captions_shown"]
    assert (found["groups"], len(listed), found["most_repeated"]) == (0, 50, 18)
    assert found["repeated_captions"] == 2 + 60
    assert found["repeated_pairs"] == 18 + 4 + 120
    banana, blank, pair = listed[:3]
    assert (banana["pairs"], banana["caption"], banana["wordings"]) == (18, "a  banana", 2)
    assert (banana["scored"], banana["in_top"]) == (17, 3)  # of 295 scored, one in a hundred
    assert banana["middle_rank"] > 0.9
    assert banana["examples"][:2] == ["p0000", "p0010"]
    assert (blank["pairs"], blank["scored"], blank["middle_rank"]) == (4, 0, None)
    assert (pair["pairs"], pair["in_top"]) == (2, 0)
    json.dumps(found, allow_nan=False)
