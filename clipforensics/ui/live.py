"""Watching a run: its state, its two clocks, its journal; started and stopped from here.

A run is a process of its own and its folder is the truth, so every tab, reload and restarted
server shows the same run. This file only reads the folder, every two seconds while it lives.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.ui import shell, state

EVERY = "2s"
SHOWN = {
    "queued": ("Queued", "orange", ":material/hourglass_empty:"),
    "running": ("Running", "blue", ":material/play_circle:"),
    "succeeded": ("Finished", "green", ":material/check_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
    "cancelled": ("Stopped", "gray", ":material/stop_circle:"),
}
"""State of a run: word, colour, icon. Never the colour alone."""
STARTING = "starting"
STOPPING = {
    "repair": "Saves a checkpoint and ends; Resume goes on from it.",
    "lab": "Saves a checkpoint and ends; Resume goes on from it.",
    "triggers": "Ends soon; inspected pictures are kept, and Resume goes on.",
    "invert": "Ends within ten steps; finished searches are kept, the one in hand is not.",
    "scan": "Ends soon; embedded pairs and finished stages are kept, and a new scan goes on.",
    "calibrate": "Ends soon; embedded pairs are kept.",
    "demo": "Ends soon; finished stages are kept, and Try again goes on.",
}
"""What Stop does to a run, by its kind; each is ended by force when it does not follow."""


def start(case_dir: Path, kind: str, config: Mapping[str, Any]) -> Any:
    """Start a run, or find the one that already does exactly this."""
    from clipforensics.jobs.runs import launcher

    return launcher.start(case_dir, kind, dict(config))


def runs(case_dir: Path, *kinds: str) -> list[Any]:
    """Runs of these kinds, newest first; those whose process died are settled first."""
    from clipforensics.jobs.runs import launcher

    launcher.reconcile(case_dir)
    return [run for run in launcher.runs(case_dir) if run.kind in kinds]


def latest(case_dir: Path, *kinds: str) -> Any | None:
    """The newest run of these kinds."""
    found = runs(case_dir, *kinds)
    return found[0] if found else None


def start_button(
    label: str,
    case_dir: Path,
    kind: str,
    config: Mapping[str, Any],
    key: str,
    refused: str | None = None,
) -> None:
    """The page's primary action: start this run. A complaint is shown in its place.

    `refused` says why it cannot start; the button is then grey.
    """
    busy = [run for run in runs(case_dir, kind) if run.status().active]
    if st.button(
        label, type="primary", key=key, icon=":material/play_arrow:",
        disabled=bool(busy or refused), help="A run of this kind is active." if busy else refused,
    ):  # fmt: skip
        try:
            start(case_dir, kind, config)
        except ForensicsError as problem:
            shell.complain(problem)
            return
        st.rerun()


def watch(run: Any, draw: Callable[[Any], None]) -> None:
    """Draw a run now, and again every two seconds while it is active.

    When it ends, the whole page is drawn once more, so that what depends on the result appears.
    """
    if not run.status().active:
        draw(run)
        return
    stop_button(run)

    @st.fragment(run_every=EVERY)
    def live() -> None:
        try:
            _settle(run)
            draw(run)
            over = not run.status().active
        except ForensicsError as problem:
            shell.complain(problem)
            return
        if over:
            st.rerun(scope="app")

    live()


def stop_button(run: Any) -> None:
    """Stop, in a fragment of its own so that a redrawn chart never swallows the click."""

    @st.fragment
    def button() -> None:
        asked = run.asked_to_stop
        if st.button(
            "Stopping…" if asked else "Stop", key=f"stop.{run.id}", disabled=asked,
            icon=":material/stop:", help=f"{STOPPING.get(run.kind, 'Ends.')} Insists after 30 s.",
        ):  # fmt: skip
            from clipforensics.jobs.runs import launcher

            launcher.stop(run, wait=False)
            st.rerun(scope="fragment")

    button()


def resume_button(run: Any, label: str = "Resume") -> None:
    """Go on from what was kept, in the same folder with the same settings."""
    if not st.button(
        label, key=f"resume.{run.id}", icon=":material/resume:",
        help="Goes on from what was kept, with the settings that this run began with.",
    ):  # fmt: skip
        return
    from clipforensics.jobs.runs import launcher

    try:
        launcher.resume(run)
    except ForensicsError as problem:
        shell.complain(problem)
        return
    st.rerun()


def resume_ended(run: Any) -> None:
    """Resume, where a run was stopped or failed and what it had finished is evidence."""
    if run.status().state in ("cancelled", "failed"):
        resume_button(run)


def status_line(run: Any) -> None:
    """State, progress, both clocks and the expected end."""
    status = run.status()
    word, colour, icon = SHOWN.get(status.state, (status.state, "gray", ":material/help:"))
    if status.active and run.asked_to_stop:
        word, icon = "Stopping", ":material/stop_circle:"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(word, icon=icon, color=colour)
        st.text(_sentence(status), width="content")
    if status.active:
        share = min(1.0, status.step / status.total) if status.total else 0.0
        far = progress(status)
        st.progress(share, text=None if far == STARTING else far)
    elif status.state == "failed":
        st.error(state.plain(status.message or "The run failed."), icon=":material/error:")
        if run.checkpoints():
            st.markdown("The checkpoints saved before that are kept, below.")
    elif status.state == "cancelled" and status.message:
        st.text(f"{status.message[0].upper()}{status.message[1:]}")


def details(run: Any, open_log: bool = False, command: str | None = None) -> None:
    """The exact command, the run's folder and the end of its log.

    `command` stands in for that of the run's process, which does this one run and no other.
    """
    with st.expander("Command and log", expanded=open_log, icon=":material/terminal:"):
        st.code(command or run.command, language="bash", wrap_lines=True)
        st.text(f"Run {run.id}")
        tail = run.log_tail(20)
        st.code(tail or "The log is empty.", language=None, wrap_lines=True)


def records(run: Any) -> list[dict[str, Any]]:
    """The journal so far; only its new lines are read."""
    key = f"live.journal.{run.dir}"
    seen, offset = st.session_state.get(key, ([], 0))
    new, offset = run.journal(offset)
    st.session_state[key] = (seen + new, offset)
    return seen + new


def evaluations(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The journal's lines that measure clean accuracy."""
    return [line for line in lines if line.get("ca") is not None]


def span(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


def _settle(run: Any) -> None:
    """A heartbeat older than a minute: look whether the process still lives."""
    status = run.status()
    if run.asked_to_stop or time.time() - (status.heartbeat or 0) > 60:
        from clipforensics.jobs.runs import launcher

        launcher.reconcile(run.case_dir)


def _sentence(status: Any) -> str:
    now = time.time()
    if status.state == "queued":
        return status.message or "Waiting for the device."
    if status.state == "running":
        parts = [status.message] if status.message else []
        if status.heartbeat:
            parts.append(f"alive {span(now - status.heartbeat)} ago")
        if status.stepped:
            parts.append(f"last step {span(now - status.stepped)} ago")
        return " · ".join(parts)
    return f"after {span(status.worked)}" if status.started else ""


def progress(status: Any) -> str:
    """Steps, pace and time left of an active run."""
    parts = [f"step {status.step:,} of {status.total:,}"] if status.total else []
    if status.rate:
        parts.append(f"{status.rate:,.1f} per second")
    if status.eta_seconds is not None:
        parts.append(f"{span(status.eta_seconds)} left")
    return " · ".join(parts) or STARTING
