"""A table that is not whole, or not a table."""

import os
from contextlib import nullcontext

import numpy as np
import pyarrow.parquet
import pytest

from clipforensics.cli.score import read_embeddings
from clipforensics.cli.score import score as score_file
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect import reference
from clipforensics.errors import DataError, ForensicsError
from clipforensics.jobs.scanning import resuming


@pytest.mark.parametrize("kept", [0, 5, 64, 200, 1000])
def test_a_file_still_being_written_is_refused(tmp_path, rng, kept):
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 8)))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "part.npy").write_bytes(whole[:kept])
    with pytest.raises(DataError, match="is no complete .npy table of numbers"):
        read_embeddings(tmp_path / "part.npy")


def test_a_file_with_more_rows_than_its_header_says_is_refused(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 8)))
    with open(tmp_path / "x.npy", "ab") as file:
        file.write(rng.normal(size=8).tobytes())
    with pytest.raises(DataError, match="holds 3,392 bytes where its header says 3,328: it is"):
        read_embeddings(tmp_path / "x.npy")


def test_a_file_that_changes_while_it_is_scored_gives_no_scores(tmp_path, rng, monkeypatch):
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 8)))
    found = reference.score_each

    def slow(*given, **also):
        os.utime(tmp_path / "x.npy", ns=(1, 1))
        return found(*given, **also)

    monkeypatch.setattr(reference, "score_each", slow)
    with pytest.raises(DataError, match="changed while it was scored. Score it again when it is"):
        score_file(tmp_path / "x.npy", "lof", tmp_path / "out.parquet", reference_size="25")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_a_killed_score_goes_on_where_it_was(tmp_path, rng, monkeypatch, capsys):
    np.save(tmp_path / "x.npy", rng.normal(size=(200, 8)))
    monkeypatch.setattr(resuming, "EVERY_SECONDS", 0)
    found, done = reference.score_each, []

    def killed(*given, keep, **also):
        def kept(state):
            keep(state)
            if state.done == 7:
                raise KeyboardInterrupt

        return found(*given, keep=kept, **also)

    def again(*given, state, **also):
        done.append(state.done)
        return found(*given, state=state, **also)

    for act in (killed, again):
        monkeypatch.setattr(reference, "score_each", act)
        with pytest.raises(KeyboardInterrupt) if act is killed else nullcontext():
            score_file(tmp_path / "x.npy", "lof", tmp_path / "out.parquet", reference_size="25")
    assert done == [7]
    sets = ReferenceSettings(reference_size=25)
    (whole,) = found(np.load(tmp_path / "x.npy"), [("lof", DensitySettings())], sets)
    scores = pyarrow.parquet.read_table(tmp_path / "out.parquet")["score"].to_numpy()
    np.testing.assert_array_equal(scores, whole.mean)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "x.npy"]


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is no complete .npy table"):
        read_embeddings(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("out", "clean", "rate", "said"),
    [
        ("x.npy", None, 0.5, "x.npy is read from, and would be overwritten"),
        ("clean.npy", "clean.npy", 0.5, "clean.npy is read from, and would be overwritten"),
        (".", None, 0.5, "is a folder. Name a file in it"),
        ("o.parquet", "none.npy", 0.5, "No embeddings at"),
        ("o.parquet", "wide.npy", 0.5, "has 9 numbers a row, the embeddings 8"),
        ("o.parquet", "clean.npy", 2, "false_rate=2 is not between 0 and 1"),
        ("o.parquet", "clean.npy", 0.001, "needs at least 999 clean rows, got 20"),
    ],
)
def test_what_would_fail_after_hours_is_refused_before(
    tmp_path, rng, monkeypatch, out, clean, rate, said
):
    for name, width in (("x", 8), ("clean", 8), ("wide", 9)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(20, width)))
    monkeypatch.setattr(reference, "score_each", None)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npy")}
    with pytest.raises(ForensicsError, match=said):
        score_file(
            tmp_path / "x.npy", "lof", tmp_path / out, clean=clean and tmp_path / clean,
            false_rate=rate,
        )  # fmt: skip
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
