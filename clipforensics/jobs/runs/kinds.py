"""Which jobs there are, by name; each is imported only when it runs. And how one is started."""

import shlex
from pathlib import Path

KINDS = {
    "scan": "clipforensics.jobs.repairing.rescan:run",
    "calibrate": "clipforensics.jobs.scanning.calibrating:run",
    "triggers": "clipforensics.jobs.hunting.triggers:run",
    "invert": "clipforensics.jobs.hunting.inverting:run",
    "repair": "clipforensics.jobs.repairing.repair:run",
    "lab": "clipforensics.jobs.attacking.lab:run",
    "demo": "clipforensics.jobs.attacking.demo:run",
}

COMMANDS = {
    "scan": "scan {case}",
    "calibrate": "calibrate {case}",
    "triggers": "triggers {case} --top N",
    "invert": "invert {case} --label LABEL",
    "repair": "repair {case} --recipe RECIPE",
}
"""What starts another one in a case from the command line; the rest is started on its page."""
RESUMED = ("triggers", "invert", "repair", "lab", "demo")
"""Kinds whose page takes a stopped run up again in its own folder."""


def another(kind: str, case_dir: Path) -> str:
    """How another run of this kind is started, as the end of a sentence."""
    if kind not in COMMANDS:
        return "use the page that shows this one."
    return f"clipforensics {COMMANDS[kind].format(case=shlex.quote(str(case_dir)))}"
