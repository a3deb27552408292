"""Scores that grow on disk while they are worked out, so that `kill -9` costs a few seconds."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clipforensics.cases.evidence import DAMAGED, part_of
from clipforensics.detect.reference import State

EVERY_SECONDS = 3.0
STATE = "state.npz"


@contextlib.contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Say of a write that failed where it was: a full disk by itself names no file.

    Raises:
        OSError: as it came, with the folder as its file name.
    """
    try:
        yield
    except OSError as problem:
        if problem.filename is not None or problem.errno is None:
            raise
        raise OSError(problem.errno, problem.strerror, str(folder)) from None


class Keeper:
    """Keeps the state of one scoring beside the evidence it will become."""

    def __init__(self, folder: Path, every_seconds: float | None = None) -> None:
        self.part = part_of(folder)
        self.every = EVERY_SECONDS if every_seconds is None else every_seconds
        self.said = time.monotonic()

    def begun(self) -> State | None:
        """What an earlier attempt left, or None: whatever is damaged is done again."""
        try:
            with np.load(self.part / STATE, allow_pickle=False) as held:
                done, mean, square = (held[name] for name in ("done", "mean", "square"))
        except DAMAGED:
            return None
        whole = mean.shape == square.shape and mean.dtype == square.dtype == np.float64
        return State(int(done), mean, square) if whole and np.isfinite(mean).all() else None

    def keep(self, state: State) -> None:
        """Write the state, all at once, if some seconds have passed since the last time."""
        if time.monotonic() - self.said >= self.every:
            self.write(state)

    def write(self, state: State) -> None:
        """Write the state now: temporary name, fsync, rename.

        Another process at the same evidence does no harm: each state is whole. When it finishes
        first it clears the folder, and nothing of ours is worth keeping.
        """
        with naming(self.part.parent):
            self.part.mkdir(parents=True, exist_ok=True)
        temporary = self.part / f".{STATE}.{os.getpid()}"
        with naming(self.part.parent), contextlib.suppress(FileNotFoundError):
            with open(temporary, "wb") as file:
                np.savez(file, done=state.done, mean=state.mean, square=state.square)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.part / STATE)
        self.said = time.monotonic()

    def forget(self) -> None:
        """Remove what is not needed once the evidence is there."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.part)
