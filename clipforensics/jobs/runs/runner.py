"""The process of one run: `python -m clipforensics.jobs.runs.runner DIR`. Never imports Streamlit."""

import errno
import importlib
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clipforensics.cases.evidence import write_json
from clipforensics.cases.provenance import code_revision, versions
from clipforensics.errors import ConfigError, ForensicsError, NotFinite, RunError
from clipforensics.jobs.runs.context import RunContext, _plain
from clipforensics.jobs.runs.devices import device_of, turn
from clipforensics.jobs.runs.kinds import KINDS, RESUMED, another
from clipforensics.jobs.runs.launcher import is_alive
from clipforensics.jobs.runs.run_folder import NOT_FINITE, STOPPED, Run, Stopped


class Terminated(BaseException):
    """SIGTERM came. No Exception, so that no job mistakes it for a fault of its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one run folder to its end. Returns 0 on success, 2 when it is refused, 1 otherwise."""
    folder = (sys.argv[1:] if arguments is None else arguments)[0]
    try:
        run = Run.open(Path(folder))
        _check_may_start(run)
    except ForensicsError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0 if play(RunContext(run))["state"] == "succeeded" else 1


def _check_may_start(run: Run) -> None:
    """Only a queued run may start: an ended one is a record. `launcher.resume` queues it again.

    Raises:
        RunError: the run has ended, or another process does it.
    """
    status, process = run.status(), run.process()
    if not status.active:
        how = {"succeeded": "finished", "cancelled": "was stopped"}.get(status.state, "failed")
        resumed = status.state != "succeeded" and run.kind in RESUMED
        go_on = "Resume on its page goes on with it. " if resumed else ""
        raise RunError(
            f"{run.dir} is the record of a run that {how}, and is not overwritten. {go_on}"
            f"To start another: {another(run.kind, run.case_dir)}"
        )
    if process and process[0] != os.getpid() and is_alive(*process):
        raise RunError(f"{run.dir} is being run already, by process {process[0]}. Watch it there.")


def play(
    context: RunContext, devices: Sequence[str] = (), held: Callable[[], object] = lambda: None
) -> dict[str, str]:
    """Do a run's work in this process, with heartbeat and device lock; its end is in the folder, too.

    Args:
        context: of the run.
        devices: held while it works; by default the one that its settings ask for.
        held: called once they are.
    """
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=context.beat, daemon=True, name="heartbeat").start()
    try:
        end = _guarded(context, devices, held)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the end is being written
        context.end_beat()
    context.update(finished=time.time(), eta_seconds=None, **end)
    return end


def _guarded(
    context: RunContext, devices: Sequence[str], held: Callable[[], object]
) -> dict[str, str]:
    """Do the work and put whatever happens into one state and one sentence."""
    try:
        return _work(context, devices, held)
    except Stopped as end:
        return {"state": "cancelled", "message": str(end)}
    except (Terminated, KeyboardInterrupt):
        return {"state": "cancelled", "message": "stopped by a signal"}
    except NotFinite as problem:
        return {"state": "failed", "reason": NOT_FINITE, "message": str(problem)}
    except ForensicsError as problem:
        return {"state": "failed", "message": str(problem)}
    except Exception as problem:  # the last door: a run always says how it ended
        traceback.print_exc()
        return {"state": "failed", "message": _sentence(problem)}


def _work(
    context: RunContext, devices: Sequence[str], held: Callable[[], object]
) -> dict[str, str]:
    context.update(message="starting")
    device = device_of(context.config)
    with turn(devices or [device], context):
        held()
        context.update(state="running", started=time.time(), message="loading")
        write_json(context.run.dir / "env.json", _environment(context, device))
        job = _job_of(context.run.kind)
        result = job(context)
        if result is not None:
            write_json(context.run.dir / "result.json", _plain(result))
    if context.stop_seen:
        return {"state": "cancelled", "message": STOPPED}
    return {"state": "succeeded", "message": "done"}


def _job_of(kind: str) -> Callable[[RunContext], Any]:
    if kind not in KINDS:
        raise ConfigError(f"No job is called {kind!r}; there are {', '.join(KINDS)}.")
    module, _, name = KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), name)


def _environment(context: RunContext, device: str) -> dict[str, Any]:
    return {
        "command": context.run.command,
        "device": device,
        "versions": versions(),
        "code": code_revision(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "seed": context.config.get("seed"),
        "config_sha256": context.run.sha256,
    }


def _sentence(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return "The disk is full. Free space and start again; finished work is kept."
    # by name and by words: the runner itself never loads torch
    full = type(problem).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(problem)
    if full or isinstance(problem, MemoryError):
        return "The memory is full. Close other programs, or choose a smaller batch."
    return f"Unexpected {type(problem).__name__}: {problem}. The log below has the details."


def _terminate(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb the clean-up
    raise Terminated


if __name__ == "__main__":
    sys.exit(main())
