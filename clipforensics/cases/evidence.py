"""Evidence: files written once, all at once, in a folder named by the hash of what made them.

A reader sees a finished folder or none. `made.json` in it says what made it and holds the SHA-256
of each file, so that `check` can tell whether it changed since, and `reading` refuses what did.
"""

import json
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clipforensics.cases.left_behind import clear_once, locked
from clipforensics.cases.provenance import sha256_path, utc_now, versions
from clipforensics.config.settings import digest
from clipforensics.errors import CaseError

MADE = "made.json"
DAMAGED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError,
    RuntimeError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading damaged JSON or .npz may raise. Malformed JSON and Unicode are ValueErrors, JSON
nested too deep is a RuntimeError, and so is a compression that zipfile does not know."""
REVISIONS = {"screens": 7, "hunts": 11, "inverted": 3}
"""Of a kind whose making changed since its first version; older evidence of it is made anew."""


class HasFolder(Protocol):
    """Anything with a case folder."""

    @property
    def dir(self) -> Path: ...


def evidence_dir(case: HasFolder, kind: str, key: Mapping[str, Any]) -> Path:
    """Where the evidence of this kind and key lies, or will lie; nothing is created.

    Args:
        case: the case.
        kind: a folder name such as "embeddings".
        key: everything that decides the content, as JSON values: settings, seed, input hashes.
            The kind's revision joins it.
    """
    revision = {"revision": REVISIONS[kind]} if kind in REVISIONS else {}
    return case.dir / "evidence" / kind / digest({"kind": kind, **revision, **key})[:24]


def is_made(folder: Path) -> bool:
    """Whether this evidence is finished."""
    return (folder / MADE).is_file()


def read_made(folder: Path) -> dict[str, Any]:
    """What made this evidence.

    Raises:
        CaseError: the evidence is missing or its record is damaged.
    """
    try:
        made = json.loads((folder / MADE).read_text(encoding="utf-8"))
        whole = isinstance(made["key"], dict) and isinstance(made["made"], str)
    except FileNotFoundError:
        raise CaseError(f"No finished evidence at {folder}. Run the step that makes it.") from None
    except DAMAGED:
        whole, made = False, {}
    if not whole:
        raise CaseError(f"{folder / MADE} is damaged. Remove {folder} and run again.")
    return made


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Read finished evidence, but only if this folder's files are what its record says.

    All of them are hashed each time: for folders of small files.

    Raises:
        CaseError: a file is missing or changed, the record is damaged, or what is done inside
            cannot make sense of the content.
    """
    problems = check(folder)
    if problems:
        more = f" `verify` names {len(problems) - 1:,} more." if len(problems) > 1 else ""
        raise CaseError(problems[0] + more)
    try:
        yield
    except DAMAGED as problem:
        raise CaseError(
            f"The evidence in {folder} is damaged, or of another version: it cannot be read "
            f"({type(problem).__name__}). Remove the folder and run again: it is made anew. "
            "`verify` names whatever else changed."
        ) from None


@dataclass(frozen=True)
class Listed:
    """One finished folder of a kind: when it was last asked for, and its record, unchecked."""

    asked: str
    folder: Path
    made: dict[str, Any]


def listed(case: HasFolder, kind: str, **wanted: Any) -> tuple[list[Listed], list[Path]]:
    """The evidence of a kind whose key holds these values, that asked for last first.

    Returns:
        It, and the folders whose record cannot be read.
    """
    found, damaged = [], []
    for path in (case.dir / "evidence" / kind).glob(f"*/{MADE}"):
        if "." in path.parent.name:  # still being filled
            continue
        try:
            made = read_made(path.parent)
        except CaseError:
            damaged.append(path.parent)
            continue
        if all(made["key"].get(name) == value for name, value in wanted.items()):
            found.append(Listed(_asked(path.parent) or made["made"], path.parent, made))
    return sorted(found, key=lambda one: (one.asked, one.folder), reverse=True), damaged


def latest(case: HasFolder, kind: str, **wanted: Any) -> Path | None:
    """The evidence of a kind that was asked for last, of those whose key holds these values.

    Raises:
        CaseError: a record is damaged: it could be that of the latest.
    """
    found, damaged = listed(case, kind, **wanted)
    if damaged:
        read_made(damaged[0])  # says what is wrong
    return found[0].folder if found else None


def ask_again(folder: Path) -> None:
    """Finished evidence was asked for once more: it is the latest of its kind again."""
    write_json(folder.with_name(f"{folder.name}.asked"), utc_now())


def _asked(folder: Path) -> str | None:
    try:
        return str(json.loads(folder.with_name(f"{folder.name}.asked").read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


@contextmanager
def writing(folder: Path, key: Mapping[str, Any], **about: Any) -> Iterator[Path]:
    """Give a temporary folder to fill; on a clean exit it becomes `folder`, else it vanishes.

    Finished evidence is never replaced: whoever comes second throws the own copy away.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    clear_once(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with locked(temporary):
            yield temporary
            publish(temporary, folder, key, **about)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def part_of(folder: Path) -> Path:
    """The folder in which resumable evidence grows until `publish` renames it."""
    return folder.with_name(f"{folder.name}.part")


def publish(part: Path, folder: Path, key: Mapping[str, Any], **about: Any) -> None:
    """Seal a filled folder: hash its files, write `made.json`, make it read-only, rename it.

    Args:
        part: the filled folder, beside `folder`.
        folder: its final name, from `evidence_dir`.
        key: what made it, as given to `evidence_dir`.
        about: further facts worth keeping, such as seconds or the device.
    """
    files = {
        str(path.relative_to(part)): sha256_path(path)
        for path in sorted(part.rglob("*"))
        if path.is_file() and path.name != MADE
    }
    made = {"key": dict(key), "files": files, "made": utc_now(), "versions": versions(), **about}
    write_json(part / MADE, made | {"record_sha256": _record_digest(made)})
    for name in (*files, MADE):
        (part / name).chmod(0o444)
    os.chmod(part, 0o755)  # mkdtemp's own 0700 would lock a colleague out
    try:
        os.rename(part, folder)
    except OSError as problem:
        if not is_made(folder):
            raise CaseError(
                f"{folder} cannot become evidence ({problem.strerror}): something else is there. "
                "Remove it and run again."
            ) from None


def check(folder: Path) -> list[str]:
    """One sentence for each file, or the record itself, that is missing or changed since."""
    try:
        made = read_made(folder)
        files = {str(name): str(digest) for name, digest in made["files"].items()}
        kept = made["record_sha256"]
    except (CaseError, KeyError, TypeError, AttributeError):
        return [f"{folder / MADE} is damaged. Remove {folder} and run again."]
    problems = []
    if kept != _record_digest(made):
        problems.append(f"{folder / MADE} was edited. Remove {folder} and run again.")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing. Restore it, or remove {folder} and run again.")
            continue
        try:
            found = sha256_path(path)
        except OSError as problem:
            problems.append(
                f"{path} cannot be read ({problem.strerror}). Restore it, or remove {folder} and "
                "run again."
            )
            continue
        if found != expected:
            problems.append(
                f"{path} changed since it became evidence: expected SHA-256 {expected[:12]}…, "
                f"found {found[:12]}…. Restore it, or remove {folder} and run again."
            )
    return problems


def _record_digest(made: Mapping[str, Any]) -> str:
    # through JSON and back, as a reader will see it: tuples become lists there
    plain = json.loads(json.dumps({k: v for k, v in made.items() if k != "record_sha256"}))
    return digest(plain)


def check_all(case: HasFolder) -> list[str]:
    """`check` of every finished evidence folder of a case."""
    records = sorted((case.dir / "evidence").glob(f"*/*/{MADE}"))
    # a name with a dot is a folder still being filled
    finished = [path.parent for path in records if "." not in path.parent.name]
    return [problem for folder in finished for problem in check(folder)]


def write_json(path: Path, value: Any) -> None:
    """Write JSON durably and all at once: temporary name, fsync, rename."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's own 0600 would lock a colleague out
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
