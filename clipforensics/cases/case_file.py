"""Make a case folder all at once, and read its `case.json` back with suspicion."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipforensics.cases.evidence import write_json
from clipforensics.cases.store import ReviewStore
from clipforensics.errors import CaseError

CASE_FILE = "case.json"
FOLDERS = ("evidence", "runs", "reports")
MAX_BYTES = 10_000_000


def read_file(folder: Path) -> dict[str, Any]:
    """The content of `case.json`. Raises CaseError when there is none, or it is no JSON object."""
    path = folder / CASE_FILE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CaseError(f"{path} is too large for a case file. Restore it from a backup.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CaseError(f"No case at {folder}: {CASE_FILE} is missing. Make one first.") from None
    except (ValueError, RecursionError):
        raise CaseError(f"{path} is no valid JSON. Restore it from a backup.") from None
    if not isinstance(content, dict):
        raise CaseError(f"{path} is no case: a JSON object is needed. Restore it from a backup.")
    return content


def make_folder(folder: Path, content: Mapping[str, Any]) -> None:
    """Make folders, store and, last of all, `case.json`; on failure what was made is removed.

    Raises:
        CaseError: the folder cannot be written, or somebody else made a case there meanwhile.
    """
    made: list[Path] = []
    try:
        for path in (folder, *(folder / name for name in FOLDERS)):
            if not path.is_dir():
                path.mkdir(parents=True)
                made.append(path)
        store = folder / "review.sqlite"
        if not store.exists():
            made.append(store)
        ReviewStore(store).create()
        _write_first(folder / CASE_FILE, content)
    except BaseException as problem:
        if not (folder / CASE_FILE).exists():
            _remove(made)
        if isinstance(problem, OSError):
            raise CaseError(
                f"No case can be made at {folder}: {problem.strerror}. Choose another folder."
            ) from None
        raise


def _write_first(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that must not exist yet; of two writers one succeeds."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as temporary:
        whole = Path(temporary) / path.name
        write_json(whole, content)
        try:
            os.link(whole, path)  # unlike a rename, this never replaces
        except FileExistsError:
            raise CaseError(
                f"There is a case at {path.parent} already. Open it, or choose another name."
            ) from None


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
