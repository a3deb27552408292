"""What is told of the pairs whose CLIP score fell by a repair."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.jobs.repairing import score_drop
from clipforensics.jobs.scanning import scoring

N, TARGET = 400, "banana"


@pytest.fixture
def case(rng):
    """Pairs of four labels in turn; the first twenty are poison that names the target."""
    names = [TARGET] * 20 + [("cat", "dog", "key", TARGET)[row % 4] for row in range(20, N)]
    ids = tuple(f"p{row:03}" for row in range(N))
    pairs = SimpleNamespace(ids=ids, captions=tuple(f"a photo of a {one}" for one in names))
    known = {one for one in ("cat", "dog", "key", TARGET)}
    labels = SimpleNamespace(named_in=lambda text: [w for w in text.split() if w in known])
    return SimpleNamespace(
        pairs=pairs, labels=labels, truth=SimpleNamespace(poisoned=frozenset(ids[:20]))
    )


@pytest.fixture(autouse=True)
def all_read(monkeypatch):
    monkeypatch.setattr(scoring, "scored_rows", lambda case: np.arange(N))


@pytest.fixture
def drop(rng):
    found = rng.normal(0, 0.05, N)
    found[:20] += 1
    return found


def test_the_farthest_come_first_and_name_the_target(case, drop):
    found = json.loads(json.dumps(score_drop.told(case, drop)))
    assert found["n"] == N
    assert found["median"] == pytest.approx(np.median(drop))
    assert [one["pair"] for one in found["top"][:20]] == [
        case.pairs.ids[row] for row in np.argsort(-drop)[:20]
    ]
    assert len(found["top"]) == score_drop.MOST_TOLD
    assert found["labels"][0]["name"] == TARGET
    assert found["against_truth"]["average_precision"] == 1


def test_nothing_is_told_of_the_truth_where_none_is_known(case, drop):
    case.truth = None
    assert score_drop.told(case, drop)["against_truth"] is None


def test_the_order_does_not_hang_on_the_truth_and_pictures_that_cannot_be_read_are_left_out(
    case, drop
):
    drop[5] = np.nan
    found = score_drop.told(case, drop)
    case.truth = SimpleNamespace(poisoned=frozenset({"p300"}))
    other = score_drop.told(case, drop)
    assert found["top"] == other["top"]
    assert found["n"] == N - 1
    assert "p005" not in [one["pair"] for one in found["top"]]
    assert found["against_truth"]["poisoned"] == 19


def test_no_readable_picture_is_no_figure(case):
    found = score_drop.told(case, np.full(N, np.nan))
    assert (found["n"], found["median"], found["top"]) == (0, None, [])
    assert found["against_truth"] is None
