"""Scoring goes on where a killed one was, and believes nothing damaged."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.reference import State, score, score_each
from clipforensics.jobs.resuming import STATE, Keeper

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
        from clipforensics.jobs.resuming import Keeper
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
