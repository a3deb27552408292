"""A run is a folder: the one thing a job and the screen share.

config.json     what was asked for, with its SHA-256          launcher, once
process.json    pid and create time of the process            launcher, at each start
status.json     state, clocks, step, message                  worker; queued and dead: launcher
env.json        versions, code, device, command               worker
journal.jsonl   one JSON object a line                        worker, append only
result.json     what the job returned                         worker, at its end
stdout.log      everything printed                            process
checkpoints/    *.safetensors                                 worker
STOP            asks the job to save and end                  anybody
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from clipforensics.cases.evidence import write_json
from clipforensics.errors import RunError

ACTIVE = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")
STOPPED = "stopped on request"
NOT_FINITE = "not finite"
"""Why a run failed that would fail alike if it were resumed."""
LOG_BYTES_PER_LINE = 2_000
MOST_JSON_BYTES = 50_000_000


class Stopped(RunError):
    """A job ended early because it was asked to; what it had finished is kept."""


@dataclass(frozen=True)
class Status:
    """Where a run stands. Times are Unix seconds; `created` belongs to the process, not the run.

    Two clocks: `heartbeat` says that the process lives, `stepped` that the work advances.
    `earlier` are the seconds of work before the run was resumed.
    `reason` is "lost" for a run whose process died, "killed" for one that had to be, "not finite" for a
    training that diverged.
    """

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    state: str
    pid: int | None = None
    created: float | None = None
    heartbeat: float | None = None
    stepped: float | None = None
    step: int = 0
    total: int = 0
    message: str = ""
    reason: str = ""
    started: float | None = None
    finished: float | None = None
    rate: float | None = None
    eta_seconds: float | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    earlier: float = 0.0

    @property
    def worked(self) -> float:
        """Seconds of work until the last sign of life, those before a resume, too."""
        end = self.finished if self.heartbeat is None else self.heartbeat
        if self.started is None or end is None:
            return self.earlier
        return self.earlier + max(0.0, end - self.started)

    @property
    def active(self) -> bool:
        """Whether the run is queued or running."""
        return self.state in ACTIVE


_STATUS = TypeAdapter(Status)


class Run:
    """One run folder; reading it never changes it."""

    def __init__(self, folder: Path) -> None:
        self.dir = Path(folder)

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any]) -> "Run":
        """Make the folder with `config.json` and the state queued.

        Raises:
            RunError: the folder exists or cannot be written.
        """
        run = cls(folder)
        try:
            run.dir.mkdir(parents=True)
            (run.dir / "checkpoints").mkdir()
            write_json(run.dir / "config.json", dict(config))
            run.write_status(Status("queued", message="waiting to start"))
        except OSError as problem:
            raise RunError(
                f"No run can be made at {folder}: {problem.strerror}. Free space, or check the folder."
            ) from None
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open a run folder. Raises RunError when it is none."""
        run = cls(folder)
        if not (run.dir / "config.json").is_file():
            raise RunError(f"No run at {folder}: config.json is missing. Start one first.")
        return run

    @property
    def id(self) -> str:
        """The folder's name: time, kind, start of the config's hash."""
        return self.dir.name

    @property
    def case_dir(self) -> Path:
        """The case this run belongs to."""
        return self.dir.parent.parent

    @property
    def kind(self) -> str:
        """Which job it runs."""
        return str(self._config.get("kind", ""))

    @property
    def config(self) -> dict[str, Any]:
        """What the job was asked for."""
        return dict(self._config.get("config", {}))

    @property
    def sha256(self) -> str:
        """Hash of kind and config; two runs asked for the same have the same."""
        return str(self._config.get("sha256", ""))

    @property
    def parent(self) -> str | None:
        """Id of the run this one continues with another config."""
        return self._config.get("parent")

    @property
    def command(self) -> str:
        """The exact command line of the process."""
        return str(self._config.get("command", ""))

    @property
    def asked_to_stop(self) -> bool:
        """Whether STOP is there."""
        return (self.dir / "STOP").exists()

    def is_readable(self) -> bool:
        """Whether `config.json` can be read; a hand-made or damaged folder must not hide others."""
        try:
            return bool(self._config)
        except RunError:
            return False

    def status(self) -> Status:
        """Where the run stands, as last written; a damaged `status.json` is a failed run."""
        path = self.dir / "status.json"
        try:
            return _STATUS.validate_python(_read_json(path))
        except RunError as problem:
            return Status("failed", reason="damaged", message=str(problem))
        except ValidationError as problem:
            wrong = problem.errors()[0]
            what = f"{path} is damaged: {wrong['loc'][0]}: {wrong['msg']}. Start the run again."
            return Status("failed", reason="damaged", message=what)

    def write_status(self, status: Status) -> None:
        """Replace `status.json` all at once."""
        write_json(self.dir / "status.json", asdict(status))

    def process(self) -> tuple[int, float] | None:
        """pid and create time of the latest process, or None before it exists."""
        try:
            content = _read_json(self.dir / "process.json")
            pid, created = int(content["pid"]), float(content["created"])
        except (RunError, KeyError, TypeError, ValueError, OverflowError):
            return None
        return (pid, created) if 0 < pid < 2**31 else None

    def result(self) -> dict[str, Any] | None:
        """What the job returned, or None while there is nothing."""
        return _read_json(self.dir / "result.json") if (self.dir / "result.json").exists() else None

    def environment(self) -> dict[str, Any]:
        """Versions, code and device; empty before the worker wrote them."""
        return _read_json(self.dir / "env.json") if (self.dir / "env.json").exists() else {}

    def journal(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Whole records from a byte offset on, and the offset to go on from.

        A half last line is left for the next time; a line that is no JSON object is skipped.
        """
        try:
            with open(self.dir / "journal.jsonl", "rb") as file:
                file.seek(offset)
                content = file.read()
        except FileNotFoundError:
            return [], offset
        whole = content[: content.rfind(b"\n") + 1]
        return [r for r in map(_record, whole.splitlines()) if r], offset + len(whole)

    def log_tail(self, lines: int = 50) -> str:
        """The last lines of `stdout.log`; never parsed for numbers."""
        path = self.dir / "stdout.log"
        if not path.exists():
            return ""
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - lines * LOG_BYTES_PER_LINE))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def checkpoints(self) -> list[Path]:
        """Finished checkpoints, oldest first: by name, since a copied folder has other times."""
        found = (self.dir / "checkpoints").glob("[!.]*.safetensors")
        return sorted(found, key=lambda path: (path.stem == "final", path.name))

    def request_stop(self) -> None:
        """Ask the job to save and end; the launcher insists if it does not."""
        (self.dir / "STOP").touch(exist_ok=True)

    def seconds_since(self, name: str) -> float | None:
        """Seconds since a file such as STOP was last touched, or None when it is not there."""
        try:
            return max(0.0, time.time() - (self.dir / name).stat().st_mtime)
        except FileNotFoundError:
            return None

    @property
    def _config(self) -> dict[str, Any]:
        content = _read_json(self.dir / "config.json")
        if not isinstance(content.get("config", {}), dict):
            raise RunError(f"{self.dir / 'config.json'} holds no settings. Start the run again.")
        return content


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise RunError(f"{path} is too large for a run's file. Start the run again.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise RunError(f"{path} is missing. Start the run again.") from None
    except (ValueError, RecursionError):
        raise RunError(f"{path} is no valid JSON. Start the run again.") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} is no JSON object. Start the run again.")
    return content
