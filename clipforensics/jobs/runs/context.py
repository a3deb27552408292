"""What a job is given: its case and config, and the few ways it may speak to the world."""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from clipforensics.jobs.runs.run_folder import Run, Status

BEAT_SECONDS = 5.0
TICK_SECONDS = 1.0
WRITE_SECONDS = 0.5


class RunContext:
    """Handed to a job's `run(context)`; all it says lands in the run folder.

    `earlier` are the seconds that the run worked before it was resumed.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.case_dir: Path = run.case_dir
        self.config: dict[str, Any] = run.config
        self.stop_seen = False
        me = psutil.Process()
        self.earlier = run.status().earlier
        self._status = Status(
            "queued",
            pid=me.pid,
            created=me.create_time(),
            heartbeat=time.time(),
            earlier=self.earlier,
        )
        self._guard = threading.Lock()
        self._written = 0.0
        self._dirty = False
        self._stage_from: tuple[float, int] | None = None
        self._over = threading.Event()
        self._training: dict[str, Any] = {}
        _end_half_line(run.dir / "journal.jsonl")

    def progress(self, step: int, total: int, message: str, **figures: Any) -> None:
        """Stamp how far the work is; rate and ETA follow from the steps of this stage.

        Args:
            step: units done; the first call of a stage says where it starts from.
            total: units of this stage; another total, or a smaller step, begins a new stage.
            message: one line for the screen.
            figures: named numbers that stay on screen until they are replaced.
        """
        now = time.time()
        with self._guard:
            if self._stage_from is None or total != self._status.total or step < self._status.step:
                self._stage_from = (now, step)
            seconds, done = now - self._stage_from[0], step - self._stage_from[1]
            rate = done / seconds if done > 0 and seconds > 0 else None
            self._status = replace(
                self._status, step=step, total=total, message=message, stepped=now, heartbeat=now,
                rate=rate, eta_seconds=(total - step) / rate if rate else None,
                figures={**self._status.figures, **_plain(figures)},
            )  # fmt: skip
            self._dirty = True
            if now - self._written >= WRITE_SECONDS:
                self._write()

    def busy(self, message: str) -> None:
        """Say what is done while the steps stand still; the next `progress` takes its place."""
        with self._guard:
            self._status = replace(self._status, message=message, heartbeat=time.time())
            self._write()

    def journal(self, record: Mapping[str, Any]) -> None:
        """Append one record; `t` and, where it lacks one, `step` are added.

        A failed write warns and never ends the work.
        """
        line = {"t": time.time(), "step": self._status.step, **_plain(record)}
        try:
            with open(self.run.dir / "journal.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as problem:
            _warn(f"journal: {problem}")

    def training_record(self, line: Mapping[str, Any]) -> None:
        """Journal a record of the training loop, and stamp the status from it."""
        self.journal(line)
        told = ("phase", "loss", "ca", "asr", "psr")
        self._training.update({name: line[name] for name in told if name in line})
        figures = {name: self._training[name] for name in told[1:] if name in self._training}
        phase = self._training.get("phase", "training")
        self.progress(line["step"], line["total"], phase, **figures)

    def should_stop(self) -> bool:
        """Whether somebody asked the run to end; save and return soon after."""
        self.stop_seen = self.stop_seen or self.run.asked_to_stop
        return self.stop_seen

    def update(self, **changes: Any) -> None:
        """Change the status and write it at once: for the runner, not for jobs."""
        with self._guard:
            self._status = replace(self._status, heartbeat=time.time(), **changes)
            self._write()

    def beat(self) -> None:
        """Keep the heartbeat fresh and progress current until `end_beat`, on a thread of its own."""
        while not self._over.wait(TICK_SECONDS):
            with self._guard:
                if self._dirty or time.time() - self._written >= BEAT_SECONDS:
                    self._status = replace(self._status, heartbeat=time.time())
                    self._write()

    def end_beat(self) -> None:
        """End the heartbeat."""
        self._over.set()

    def _write(self) -> None:
        try:
            self.run.write_status(self._status)
        except OSError as problem:
            _warn(f"status: {problem}")
        self._written, self._dirty = time.time(), False


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """NumPy and torch scalars as Python numbers, paths as text."""
    return {str(name): _plain_value(value) for name, value in record.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, (list, tuple)):
        return [_plain_value(one) for one in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _end_half_line(path: Path) -> None:
    """A killed run may leave half a record; what a resumed one appends must not run into it."""
    if path.exists() and path.stat().st_size:
        with open(path, "rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
