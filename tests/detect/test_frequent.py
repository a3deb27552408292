"""Near-copies in numbers count as one row, and little else does."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect import frequent
from clipforensics.detect.frequent import counted
from clipforensics.detect.metrics import average_precision
from clipforensics.detect.reference import score
from clipforensics.errors import RunError

ONCE, EACH = ReferenceSettings(reference_size=256), ReferenceSettings(
    reference_size=256, collapse=False
)  # fmt: skip


def varied(rng, row, count, share=0.01):
    """`count` near-copies of a row: noise of that share of its length."""
    return row + share * np.linalg.norm(row) / np.sqrt(len(row)) * rng.normal(
        size=(count, len(row))
    )


@pytest.fixture
def world(rng):
    """2,000 rows of ten crowds, six of them planted far out, and 100 near-copies of row 7."""
    centres = 2 * rng.normal(size=(10, 48))
    x = centres[rng.integers(10, size=2000)] + rng.normal(size=(2000, 48))
    x[:6] += 4 * rng.normal(size=(6, 48))
    return np.vstack([x, varied(rng, x[7], 100)]).astype(np.float32)


def test_copies_of_an_innocent_picture_sink_no_poison(world):
    truth = np.arange(len(world)) < 6
    once, each = (score(world, "lof", DensitySettings(k=8), sets).mean for sets in (ONCE, EACH))
    assert average_precision(each, truth) < 0.5
    assert average_precision(once, truth) > 0.95
    assert len(np.unique(once[[7, *range(2000, 2100)]])) == 1  # all have the score of one


@pytest.mark.parametrize(("copies", "once"), [(18, False), (19, True)])
def test_twenty_of_a_kind_count_once(rng, copies, once):
    x = np.vstack([x := rng.normal(size=(300, 32)), varied(rng, x[7], copies)])
    found, _ = counted(x, ONCE)
    assert len(found.first) == (300 if once else 300 + copies)
    if once:
        assert [rows.tolist() for rows in found.groups()] == [[7, *range(300, 300 + copies)]]


def test_a_raw_row_of_another_length_is_no_copy(rng):
    x = np.vstack([x := rng.normal(size=(300, 32)), varied(rng, x[7], 40)])
    x[310] *= 1.5
    raw, angle = (
        counted(x, ReferenceSettings(normalize=normalize))[0] for normalize in (False, True)
    )
    assert raw.first[raw.place[310]] == 310
    assert angle.place[310] == angle.place[7]
    assert raw.place[311] == raw.place[7]


def test_what_was_not_looked_at_joins_its_group_whatever_the_order(world, rng, monkeypatch):
    monkeypatch.setattr(frequent, "LOOKED_AT", 500)
    found, _ = counted(world, ONCE)
    assert [len(rows) for rows in found.groups()] == [101]
    order = rng.permutation(len(world))
    again, _ = counted(world[order], ONCE)
    assert set(order[again.first]) == set(found.first)
    np.testing.assert_array_equal(world[order][again.first[again.place]],
                                  world[found.first[found.place]][order])  # fmt: skip


def test_groups_too_rare_to_crowd_a_set_are_left(world, monkeypatch):
    monkeypatch.setattr(frequent, "LOOKED_AT", 50)  # of which two or three are copies
    assert len(counted(world, ONCE)[0].first) == len(world)


def test_an_embedding_in_which_all_are_alike_has_no_copies(rng):
    x = 10 + rng.normal(size=(400, 16))
    assert len(counted(x, ONCE)[0].first) == 400


def test_few_kinds_of_picture_all_of_a_kind_alike_are_no_copies(rng):
    kinds = rng.normal(size=(5, 16)).repeat(40, axis=0) + rng.normal(0, 0.01, (200, 16))
    others = rng.normal(size=(240, 16))
    for alone, once in ((others[:160], 360), (others, 245)):  # 200 of 360, and of 440
        x = np.concatenate([kinds, alone])
        assert len(counted(x, ONCE)[0].first) == once


def test_zero_rows_and_exact_copies_keep_their_places(world):
    x = np.vstack([world, np.zeros((30, 48), np.float32), world[2000:2003], world[20:22]])
    found, _ = counted(x, ONCE)
    assert sorted(map(len, found.groups())) == [2, 2, 30, 104]
    assert not x[found.first[found.place[2100]]].any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_unit_of_the_embedding_does_not_matter(world, scale, monkeypatch):
    monkeypatch.setattr(frequent, "LOOKED_AT", 500)
    found, _ = counted((world * np.float32(scale)).astype(np.float32), ONCE)
    assert [len(rows) for rows in found.groups()] == [101]


def test_a_mapped_file_has_the_groups_of_the_array(world, tmp_path):
    np.save(tmp_path / "x.npy", world)
    mapped, _ = counted(np.load(tmp_path / "x.npy", mmap_mode="r"), ONCE)
    np.testing.assert_array_equal(mapped.place, counted(world, ONCE)[0].place)


def test_a_stop_is_heard(rng, monkeypatch):
    monkeypatch.setattr(frequent, "LOOKED_AT", 500)
    x = np.vstack([x := rng.normal(size=(5000, 16)), varied(rng, x[7], 400)])
    asked = []
    counted(x, ONCE, lambda: bool(asked.append(1)))
    assert len(asked) > 3
    for heard in range(len(asked)):
        stop = iter([False] * heard + [True]).__next__
        with pytest.raises(RunError, match="Stopped while"):
            counted(x, ONCE, stop)
