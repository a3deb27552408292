"""One run a device at a time: locks that the system frees even when a process is killed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipforensics.errors import RunError
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import STOPPED, Run, Stopped

POLL_SECONDS = 0.5


def device_of(config: Mapping[str, Any]) -> str:
    """The device that a run's settings ask for, by the one name that its lock has."""
    asked = str(config.get("device", "auto"))
    if asked == "auto":
        from clipforensics.models.clip import pick_device

        asked = pick_device(asked)
    return "cuda:0" if asked == "cuda" else asked


@contextmanager
def turn(devices: Sequence[str], context: RunContext) -> Iterator[None]:
    """Wait for these devices and hold them; the run's message says who holds one meanwhile.

    They are taken in one order, so that two runs that want the same ones never wait for each other.

    Raises:
        Stopped: the run was asked to stop while it waited.
        RunError: there is no folder for locks.
    """
    folder = lock_folder()
    with ExitStack() as held:
        for device in sorted(set(devices)):
            _take(device, folder, context, held)
        yield


def _take(device: str, folder: Path, context: RunContext, held: ExitStack) -> None:
    name = "".join(letter if letter.isalnum() else "-" for letter in device)
    lock, holder = FileLock(folder / f"{name}.lock"), folder / f"{name}.holder"
    said = ""
    while True:
        try:
            lock.acquire(timeout=POLL_SECONDS)
            break
        except Timeout:
            if context.should_stop():
                raise Stopped(STOPPED) from None
            message = f"waiting for the {device}, which {_holder(holder)} holds"
            if message != said:
                context.update(message=message)
                said = message
    held.callback(lock.release)
    holder.write_text(str(context.run.dir), encoding="utf-8")


def lock_folder() -> Path:
    """Where this user's device locks lie: CLIPFORENSICS_LOCKS, else the user's cache folder.

    Raises:
        RunError: the folder cannot be made.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("CLIPFORENSICS_LOCKS") or cache / "clipforensics" / "locks")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(
            f"No folder for device locks at {folder}: {problem.strerror}. "
            "Set CLIPFORENSICS_LOCKS to a folder you may write."
        ) from None
    return folder


def _holder(path: Path) -> str:
    """Which run holds the device: its id, and of which case."""
    try:
        run = Run(Path(path.read_text(encoding="utf-8").strip() or "."))
    except OSError:
        return "another run"
    return f"run {run.id} of the case {run.case_dir.name}" if run.id else "another run"
