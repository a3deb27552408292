"""A table that is not whole, or not a table."""

import os
from contextlib import nullcontext

import numpy as np
import pyarrow.parquet
import pytest

from clipforensics.cli.score import read_embeddings, zeros_at_the_end
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


@pytest.mark.parametrize("kept", [None, 300])
def test_an_archive_under_the_name_of_a_table_is_refused(tmp_path, rng, kept):
    np.savez(tmp_path / "x.npz", images=rng.normal(size=(50, 8)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npz").read_bytes()[:kept])
    said = r"x.npy is an archive of arrays \(.npz\), not one .npy table"
    with pytest.raises(DataError, match=said):  # a file left open would warn, and fail
        read_embeddings(tmp_path / "x.npy")


@pytest.mark.parametrize(("rows", "filled"), [(6000, 3000), (6000, 5990), (5000, 0)])
def test_a_file_laid_out_and_half_filled_is_refused(tmp_path, rng, rows, filled):
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (rows, 8))
    x[:filled] = rng.normal(size=(filled, 8))
    x.flush()
    with pytest.raises(DataError, match=f"The last {rows - filled:,} of {rows:,} rows .* unfinish"):
        read_embeddings(tmp_path / "x.npy")


def test_a_few_zero_rows_pass(tmp_path, rng):
    x = rng.normal(size=(50, 8))
    x[[3, 20, *range(22, 40), *range(43, 50)]] = 0
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npy"), x)


@pytest.mark.parametrize("zeros", [0, 1, 4095, 4096, 4097, 9000])
def test_zero_rows_at_the_end_are_counted_over_blocks(zeros):
    x = np.ones((9000, 2), np.float32)
    x[9000 - zeros :] = 0
    assert zeros_at_the_end(x) == zeros


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
        ("o.parquet", "same.npy", 0.01, "the 500 rows of .*same.npy 1 differ.* rows, got 1."),
    ],
)
def test_what_would_fail_after_hours_is_refused_before(
    tmp_path, rng, monkeypatch, out, clean, rate, said
):
    for name, width in (("x", 8), ("clean", 8), ("wide", 9)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(20, width)))
    np.save(tmp_path / "same.npy", np.ones((500, 8)))
    monkeypatch.setattr(reference, "score_each", None)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npy")}
    with pytest.raises(ForensicsError, match=said):
        score_file(
            tmp_path / "x.npy", "lof", tmp_path / out, clean=clean and tmp_path / clean,
            false_rate=rate,
        )  # fmt: skip
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("shift", "warned"), [(0.0, False), (5.0, True)])
def test_unlike_clean_rows_are_said_to_promise_nothing(tmp_path, rng, capsys, shift, warned):
    np.save(tmp_path / "x.npy", rng.normal(size=(400, 8)))
    np.save(tmp_path / "clean.npy", rng.normal(size=(200, 8)) + shift)
    score_file(tmp_path / "x.npy", "kdist", tmp_path / "o.parquet", clean=tmp_path / "clean.npy")
    assert ("promise nothing here" in capsys.readouterr().out) == warned
