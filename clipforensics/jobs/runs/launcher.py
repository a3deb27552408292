"""Start, watch and stop runs. A run is a detached process: no page, tab or server owns it."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

import clipforensics
from clipforensics.cases.evidence import write_json
from clipforensics.cases.provenance import utc_now
from clipforensics.config.settings import digest
from clipforensics.errors import ConfigError, RunError
from clipforensics.jobs.runs.kinds import KINDS
from clipforensics.jobs.runs.run_folder import Run, Status

RUNNER = (sys.executable, "-m", "clipforensics.jobs.runs.runner")
DIED = "the process died"
ASK_SECONDS = 30.0
TERM_SECONDS = 10.0
SPAWN_SECONDS = 30.0
SAME_BIRTH_SECONDS = 2.0
"""Create times are derived from the boot time, which moves when the clock is set."""


def start(case_dir: Path, kind: str, config: Mapping[str, Any], parent: str | None = None) -> Run:
    """Start a run in its own process, or return the one that already does exactly this.

    Two Start clicks, from two tabs or two processes, give one run: a lock on the case's runs lets
    one of them look and start at a time.

    Args:
        case_dir: the case folder.
        kind: one of `KINDS`.
        config: what the job is asked for, as JSON values.
        parent: id of the run this one continues with a changed config.

    Raises:
        ConfigError: an unknown kind, or a config that is no JSON.
        RunError: the run folder or the process cannot be made.
    """
    if kind not in KINDS:
        raise ConfigError(f"No job is called {kind!r}; there are {', '.join(KINDS)}.")
    try:
        sha256 = digest({"kind": kind, "config": dict(config)})
    except (TypeError, ValueError) as problem:
        raise ConfigError(f"The settings of this run are no JSON: {problem}.") from None
    case_dir = Path(case_dir).absolute()
    with _turn(case_dir):
        _reconcile(case_dir)
        for run in runs(case_dir):
            if run.sha256 == sha256 and run.status().active and not run.asked_to_stop:
                return run
        folder = _free_folder(case_dir, kind, sha256)
        run = Run.create(folder, {
            "kind": kind, "config": dict(config), "sha256": sha256, "parent": parent,
            "command": shlex.join([*RUNNER, str(folder)]), "created": utc_now(),
        })  # fmt: skip
        _spawn(run)
    return run


def claim(case_dir: Path, kind: str, config: Mapping[str, Any], command: str) -> Run:
    """Make the folder of a run that this very process will do; see `jobs.repairing.together`."""
    case_dir = Path(case_dir).absolute()
    sha256 = digest({"kind": kind, "config": dict(config)})
    with _turn(case_dir):
        return Run.create(_free_folder(case_dir, kind, sha256), {
            "kind": kind, "config": dict(config), "sha256": sha256, "parent": None,
            "command": command, "created": utc_now(),
        })  # fmt: skip


def resume(run: Run) -> Run:
    """Start an ended run again in its own folder; the job goes on from what it finds there.

    Raises:
        RunError: the run's settings were edited, or the process cannot be made.
    """
    with _turn(run.case_dir):
        _reconcile(run.case_dir)
        if run.status().active:
            return run
        if run.sha256 != digest({"kind": run.kind, "config": run.config}):
            raise RunError(
                f"The settings in {run.dir / 'config.json'} changed since this run began, so it "
                "cannot go on exactly. Start a new run."
            )
        for name in ("STOP", "TERM", "process.json"):
            (run.dir / name).unlink(missing_ok=True)
        run.write_status(
            Status("queued", message="waiting to start again", earlier=run.status().worked)
        )
        _spawn(run)
    return run


def stop(run: Run, wait: bool = True) -> Status:
    """Stop a run in three steps: ask (30 s), SIGTERM to its process group (10 s), SIGKILL.

    Args:
        run: the run.
        wait: stay until it has ended; else take the step that is due and return, so that a page
            which calls again and again never waits. `reconcile` takes due steps, too.
    """
    if run.status().active:
        run.request_stop()
    while True:
        reconcile(run.case_dir)
        status = run.status()
        if not status.active or not wait:
            return status
        time.sleep(0.2)


def reconcile(case_dir: Path) -> list[Run]:
    """Find runs whose process is gone and say so; insist on stops that are overdue.

    Returns:
        The runs whose state changed.
    """
    if not (Path(case_dir) / "runs").is_dir():
        return []
    with _turn(Path(case_dir)):
        return _reconcile(Path(case_dir))


def runs(case_dir: Path) -> list[Run]:
    """All runs of a case, newest first; a folder without a readable config is none."""
    found = (Path(case_dir) / "runs").glob("*/config.json")
    names = sorted((path.parent for path in found), key=lambda path: path.name, reverse=True)
    return [run for run in map(Run, names) if run.is_readable()]


def is_alive(pid: int, created: float) -> bool:
    """Whether this very process runs: same pid, same create time, and no zombie."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < SAME_BIRTH_SECONDS
        return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it exists and is not ours to look into


def _reconcile(case_dir: Path) -> list[Run]:
    return [run for run in runs(case_dir) if run.status().active and _settle(run)]


def _settle(run: Run) -> bool:
    """Write the end of an active run whose process is gone. True when it had to."""
    process = run.process()
    if process and is_alive(*process):
        _insist(run, process[0])
        return False
    if process is None and time.time() - (run.dir / "status.json").stat().st_mtime < SPAWN_SECONDS:
        return False
    # the process may have written its own end just before it went: look once more, now it is gone
    status = run.status()
    if not status.active:
        return False
    end = (
        ("cancelled", "killed", "stopped by force")
        if run.asked_to_stop
        else ("failed", "lost", DIED)
    )
    state, reason, message = end
    run.write_status(
        replace(
            status,
            state=state,
            reason=reason,
            message=message,
            finished=time.time(),
            eta_seconds=None,
        )  # fmt: skip
    )
    return True


def _insist(run: Run, pid: int) -> None:
    """Send the signal that is due when a run does not follow its STOP."""
    asked, termed = run.seconds_since("STOP"), run.seconds_since("TERM")
    if asked is None or asked < ASK_SECONDS or (termed is not None and termed < TERM_SECONDS):
        return
    # nobody may have looked for a while, so the last step counts from the second, not from STOP
    (run.dir / "TERM").touch(exist_ok=True)
    with suppress(ProcessLookupError, PermissionError):
        # the process leads its own session, so its id names the group
        os.killpg(pid, signal.SIGTERM if termed is None else signal.SIGKILL)


def _spawn(run: Run) -> None:
    root = Path(clipforensics.__file__).resolve().parents[1]
    # the package is found from its own folder even where it is not installed
    environment = {"HF_HUB_OFFLINE": "1", **os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(root), os.environ.get("PYTHONPATH")])
    )
    try:
        with open(run.dir / "stdout.log", "ab") as log:
            process = subprocess.Popen(
                [*RUNNER, str(run.dir)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=environment,
            )  # fmt: skip
        born = psutil.Process(process.pid).create_time()
        write_json(run.dir / "process.json", {"pid": process.pid, "created": born})
    except (OSError, psutil.Error) as problem:
        message = f"the process could not be started: {problem}"
        run.write_status(Status("failed", reason="lost", message=message, finished=time.time()))
        raise RunError(f"No run could be started: {problem}. See {run.dir}.") from None
    # a child nobody waits for stays a zombie for as long as the server lives
    threading.Thread(target=process.wait, daemon=True, name=f"reap {run.id}").start()


def _free_folder(case_dir: Path, kind: str, sha256: str) -> Path:
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{kind}-{sha256[:6]}"
    return case_dir / "runs" / name


@contextmanager
def _turn(case_dir: Path) -> Iterator[None]:
    """Hold the lock on a case's runs."""
    folder = case_dir / "runs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=60):
            yield
    except Timeout:
        raise RunError(f"{folder} is busy for a minute now. Try again.") from None
    except OSError as problem:
        raise RunError(f"{folder} cannot be used: {problem.strerror}. Check it.") from None
