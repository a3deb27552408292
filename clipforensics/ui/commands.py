"""The command line that does what the Repair page would do, or what a run did."""

import json
import shlex
from pathlib import Path
from typing import Any

from clipforensics.config.repair import RepairSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError


def repair_command(case_dir: Path, repair: RepairSettings) -> str:
    """The command that starts this repair."""
    parts = ["python", "-m", "clipforensics", "repair", str(case_dir), "--recipe", repair.recipe]
    parts += ["--preset", repair.preset]
    if repair.device != "auto":
        parts += ["--device", repair.device]
    for name, value in repair.changes.items():
        parts += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(parts)


def command_of(run: Any) -> str:
    """What a person types to do the same again; a run's own process only ever does that run."""
    if run.kind != "repair":
        return run.command
    try:
        return repair_command(run.case_dir, parse(RepairSettings, run.config))
    except ConfigError:
        return run.command  # settings of another version, or edited by hand
