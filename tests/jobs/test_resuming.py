"""Scoring goes on where a killed one was, and believes nothing damaged."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.reference import State, score, score_each
from clipforensics.errors import RunError
from clipforensics.jobs.scanning.resuming import STATE, Keeper

K4 = DensitySettings(k=4)
SETS = ReferenceSettings(reference_size=20, draws=4)


@pytest.fixture
def keeper(tmp_path):
    return Keeper(tmp_path / "evidence", every_seconds=0)


def test_a_killed_scoring_goes_on_to_the_same_scores(tmp_path, keeper, rng):
    x = rng.normal(size=(200, 3))
    np.save(tmp_path / "x.npy", x)
    script = textwrap.dedent(f"""
        import os, signal, numpy as np
        from pathlib import Path
        from clipforensics.config.detect import DensitySettings, ReferenceSettings
        from clipforensics.detect.reference import score_each
        from clipforensics.jobs.scanning.resuming import Keeper
        keeper = Keeper(Path({str(tmp_path / "evidence")!r}), every_seconds=0)
        def keep(state):
            keeper.keep(state)
            if state.done == 17:
                os.kill(os.getpid(), signal.SIGKILL)
        score_each(np.load({str(tmp_path / "x.npy")!r}), [("slof", DensitySettings(k=4))],
                   ReferenceSettings(reference_size=20, draws=4), keep=keep)
    """)
    code = subprocess.run([sys.executable, "-c", script], check=False, env=os.environ).returncode
    assert code == -signal.SIGKILL
    state, told = keeper.begun(), []
    assert state is not None
    assert state.done == 17
    (again,) = score_each(
        x, [("slof", K4)], SETS, lambda done, total: told.append(done), state=state
    )
    assert told == list(range(18, 41))
    whole = score(x, "slof", K4, SETS)
    np.testing.assert_array_equal(again.mean, whole.mean)
    np.testing.assert_array_equal(again.spread, whole.spread)


LARGE = """
import sys, numpy as np
from pathlib import Path
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.reference import score_each
from clipforensics.jobs.scanning.resuming import Keeper
keeper = Keeper(Path(sys.argv[2]), every_seconds=0.1)
score_each(np.load(sys.argv[1], mmap_mode="r"), [("lof", DensitySettings())],
           ReferenceSettings(draws=2), state=keeper.begun(), keep=keeper.keep)
"""


@pytest.fixture
def large_file(tmp_path, rng):
    table = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float16, (300_000, 128))
    for start in range(0, len(table), 10_000):
        table[start : start + 10_000] = rng.standard_normal((10_000, 128), np.float32)
    table.flush()
    return tmp_path / "x.npy"


@pytest.mark.slow
def test_a_large_file_killed_twice_has_the_scores_of_one_never_killed(large_file, tmp_path):
    keeper, seen = Keeper(tmp_path / "evidence"), 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", LARGE, large_file, tmp_path / "evidence"], env=os.environ
        )
        while (state := keeper.begun()) is None or state.done <= seen + 20:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        state = keeper.begun()
        assert state is not None
        seen = state.done
    x, sets = np.load(large_file, mmap_mode="r"), ReferenceSettings(draws=2)
    (again,) = score_each(x, [("lof", DensitySettings())], sets, state=keeper.begun())
    np.testing.assert_array_equal(again.mean, score(x, "lof", DensitySettings(), sets).mean)


@pytest.mark.slow
@pytest.mark.parametrize("after_seconds", [0.0, 0.3, 1.0, 3.0])
def test_scoring_a_large_file_stops_within_a_second(large_file, after_seconds):
    x, began = np.load(large_file, mmap_mode="r"), time.monotonic()
    with pytest.raises(RunError, match="topped"):
        score(
            x, "lof", DensitySettings(), ReferenceSettings(),
            stop=lambda: time.monotonic() >= began + after_seconds,
        )  # fmt: skip
    assert time.monotonic() - began - after_seconds < 1


@pytest.mark.parametrize("content", [b"", b"PK half", b"\x93NUMPY"])
def test_a_damaged_state_is_begun_anew(keeper, content):
    keeper.part.mkdir()
    (keeper.part / STATE).write_bytes(content)
    assert keeper.begun() is None


def test_a_state_is_written_whole_and_forgotten_when_done(keeper):
    keeper.keep(State(3, np.ones((1, 5)), np.zeros((1, 5))))
    assert [path.name for path in keeper.part.iterdir()] == [STATE]
    held = keeper.begun()
    assert held is not None
    assert (held.done, held.mean.shape) == (3, (1, 5))
    keeper.forget()
    assert not keeper.part.exists()
    assert keeper.begun() is None


def test_another_process_that_finishes_first_ends_nothing(tmp_path, monkeypatch):
    """It clears the folder between our write and our rename."""
    from clipforensics.jobs.scanning import resuming

    one, other = Keeper(tmp_path / "scores"), Keeper(tmp_path / "scores")
    state = State(1, np.zeros((1, 4)), np.zeros((1, 4)))
    monkeypatch.setattr(resuming.os, "fsync", lambda _: other.forget())
    one.write(state)
    assert one.begun() is None
    monkeypatch.undo()
    one.write(state)
    kept = one.begun()
    assert kept is not None
    assert kept.done == 1
