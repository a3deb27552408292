"""Temporary folders of evidence that killed processes left behind."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

TEMPORARY = re.compile(r"\.[0-9a-f]{24}(\.asked)?\.\w+")
LEFT_SECONDS = 3600.0
"""What is younger is never taken for left behind: a folder is made, and only then locked."""


def clear_left_behind(kind: Path) -> None:
    """Remove the temporary folders that killed processes left in the folder of one kind.

    A process that fills one holds a lock on it, which the system drops however the process ends:
    what is locked, or cannot be, stays, and so does all that changed in the last hour.
    """
    for path in kind.glob(".*"):
        with suppress(OSError):
            about = path.lstat()
            if not TEMPORARY.fullmatch(path.name) or time.time() - about.st_mtime < LEFT_SECONDS:
                continue
            if path.is_symlink() or path.is_file():
                path.unlink()
                continue
            with locked(path) as ours:
                if ours:
                    shutil.rmtree(path, ignore_errors=True)


@cache
def clear_once(kind: Path) -> None:
    """Once per process: a folder of a kind can hold many thousands."""
    clear_left_behind(kind)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold a lock on a folder; false where another process holds it, or none can be had here."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = True
        except OSError:
            ours = False
        yield ours
    finally:
        os.close(handle)
