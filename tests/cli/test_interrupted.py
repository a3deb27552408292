"""What the command line says when it is stopped, or the disk is full."""

import errno

import numpy as np
import pytest

from clipforensics.cli import app
from clipforensics.cli.score import write_scores
from clipforensics.data import images
from clipforensics.detect.reference import State
from clipforensics.jobs.scanning.resuming import Keeper


@pytest.fixture
def table(tmp_path, rng):
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 8)))
    return tmp_path


def run(table, *more):
    asked = ["score", str(table / "x.npy"), "--detector", "lof", "--k", "5"]
    with pytest.raises(SystemExit) as end:
        app.main([*asked, "--out", str(table / "out.parquet"), *more])
    return end.value.code


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_ctrl_c_says_that_what_was_finished_is_kept(table, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("clipforensics.detect.reference.score_each", interrupted)
    assert run(table) == 130
    assert capsys.readouterr().err == "Stopped. What was finished is kept.\n"


def test_other_ends_do_not_say_so(table, capsys):
    assert run(table) == 0
    assert "Stopped" not in capsys.readouterr().err


@pytest.mark.parametrize("at", ["state", "scores"])
def test_a_full_disk_is_one_sentence_with_its_place(table, monkeypatch, capsys, at):
    if at == "state":
        monkeypatch.setattr("clipforensics.jobs.scanning.resuming.EVERY_SECONDS", 0)
        monkeypatch.setattr(np, "savez", full)
    else:
        monkeypatch.setattr(images, "write_bytes", full)
    assert run(table) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"The disk of {table} is full. Make room and start again; what was finished is kept."
    )
    assert not (table / "out.parquet").exists()


def test_a_write_that_fails_otherwise_keeps_its_own_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        write_scores(tmp_path / "nowhere" / "out.parquet", np.ones(3))
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file"):
        Keeper(tmp_path / "file" / "x", 0).write(State(0, np.ones(1), np.ones(1)))
