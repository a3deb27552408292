"""Real processes that run toy jobs, with device locks of their own; and a case embedded by a stub."""

import sys
import time

import numpy as np
import pytest

from clipforensics.jobs.runs import devices, launcher
from clipforensics.jobs.scanning import embedding, scan

TOY = """
import os, sys, time
from clipforensics.errors import DataError
from clipforensics.jobs.runs import runner
from clipforensics.jobs.runs.kinds import KINDS
from clipforensics.jobs.runs.run_folder import Stopped

def quick(context):
    for step in range(4):
        context.progress(step + 1, 4, "counting", best=step)
        context.journal({"step": step, "ca": 0.5})
    (context.run.dir / "checkpoints/last.safetensors").write_bytes(b"weights")
    return {"answer": 42}

def patient(context):
    context.progress(1, 1000, "waiting")
    (context.run.dir / "checkpoints/half.safetensors").write_bytes(b"weights")
    while not context.should_stop():
        time.sleep(0.05)
    return {"saved": True}

def leaving(context):
    context.progress(1, 9, "looking")
    while not context.should_stop():
        time.sleep(0.05)
    raise Stopped("Stopped after 1 of 9 pictures; they are kept.")

def deaf(context):
    context.progress(1, 2, "deaf")
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            if not context.config.get("stubborn"):
                raise

def refused(context):
    raise DataError("3 of 5 rows are wrong. Mend them.")

def broken(context):
    print("before the fault")
    raise ZeroDivisionError("by zero")

def full(context):
    raise OSError(28, "No space left on device")

for name in ("quick", "patient", "leaving", "deaf", "refused", "broken", "full"):
    KINDS[name] = f"__main__:{name}"
sys.exit(runner.main())
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Let the launcher start toy jobs; returns a case folder. Whatever still runs is ended."""
    script = tmp_path / "toy_runner.py"
    script.write_text(TOY)
    monkeypatch.setattr(launcher, "RUNNER", (sys.executable, str(script)))
    for name in ("quick", "patient", "leaving", "deaf", "refused", "broken", "full"):
        monkeypatch.setitem(launcher.KINDS, name, f"toy:{name}")
    monkeypatch.setenv("CLIPFORENSICS_LOCKS", str(tmp_path / "locks"))
    folder = tmp_path / "toy case"
    yield folder
    monkeypatch.setattr(launcher, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(launcher, "TERM_SECONDS", 0.0)
    for run in launcher.runs(folder):
        launcher.stop(run)


@pytest.fixture
def locks(tmp_path, monkeypatch):
    """Device locks of this test alone."""
    monkeypatch.setenv("CLIPFORENSICS_LOCKS", str(tmp_path / "locks"))
    return devices.lock_folder()


@pytest.fixture
def until():
    """Wait until something holds; fail after two minutes: machines are shared."""

    def wait(holds, seconds=120.0):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.02)

    return wait


class Counter:
    """A stub encoder that counts: the feature of a picture is read off its pixels."""

    side, dim, scale, fingerprint, device = 32, 8, 1.0, "stub", "cpu"

    def __init__(self, pause=0.0):
        self.pictures, self.texts, self.pause = 0, [], pause

    def encode_pictures(self, pictures):
        time.sleep(self.pause)
        self.pictures += len(pictures)
        return pictures[:, 0, : self.dim, 0].astype(np.float32)

    def encode_texts(self, texts):
        self.texts += texts
        return np.array([[len(text)] * self.dim for text in texts], np.float32)

    @staticmethod
    def expected(case):
        """Its features of a case's pictures."""
        return case.pairs.frames(range(len(case.pairs)), 32)[:, 0, :8, 0].astype(np.float32)


@pytest.fixture
def counter(monkeypatch):
    """The stub encoder's class; batches are of seven pictures."""
    monkeypatch.setattr(embedding, "BATCH", 7)
    return Counter


@pytest.fixture
def embedded(case, counter):
    """A case whose embeddings the stub made."""
    scan.embed(case, encoder=counter())
    return case
