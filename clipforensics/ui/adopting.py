"""Re-scan with a repaired checkpoint: a case of its own, beside the one that was repaired."""

from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.ui import checkpoints, live, shell, state


def rescan(case: Any, run: Any) -> None:
    """A button that makes the chosen checkpoint the suspect of a new case, and scans it."""
    checkpoint = checkpoints.chosen(run)
    if checkpoint is None:
        return
    if not st.button(
        "Re-scan with this checkpoint", key=f"rescan.{run.id}", icon=":material/frame_reload:",
        help="Opens a case of the same pairs whose suspect is the repaired model, and scans it.",
    ):  # fmt: skip
        return
    from clipforensics.jobs.repairing.adopting import adopt

    try:
        with st.spinner("Opening the case…"):
            made = adopt(case, run, checkpoint, _free(case.dir.name, str(run.config.get("recipe"))))
        live.start(made.dir, "scan", {})
    except ForensicsError as problem:
        shell.complain(problem)
        return
    st.switch_page("pages/case.py", query_params={"case": made.dir.name})


def _free(name: str, recipe: str) -> Path:
    """A folder in the home folder that is not taken."""
    base = f"{name}-{recipe}"
    taken = (state.home() / (base if i == 1 else f"{base}-{i}") for i in range(1, 10_000))
    return next(folder for folder in taken if not folder.exists())
