"""repair: the same detached run that the page starts, watched from the command line."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from clipforensics.cli.output import Json, answer, change, progress_line
from clipforensics.config.repair import RECIPE_SETTINGS, RepairSettings, recipe_settings
from clipforensics.config.settings import parse
from clipforensics.errors import RunError

POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(repair)


def repair(
    case: Annotated[Path, typer.Argument(help="Case folder.")],
    recipe: Annotated[str, typer.Option(help=", ".join(RECIPE_SETTINGS) + ".")],
    preset: Annotated[str, typer.Option(help="quick or paper.")] = "quick",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A recipe setting, name=value; repeat.")
    ] = None,
    device: Annotated[str, typer.Option()] = "auto",
    json: Json = False,
) -> None:
    """Repair the suspect in a run of its own; Ctrl-C stops it and keeps its checkpoint."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.launcher import start, stop

    changes = dict(change(one) for one in set_ or [])
    values = {"recipe": recipe, "preset": preset, "changes": changes, "device": device}
    settings = parse(RepairSettings, values)
    recipe_settings(settings)  # complain before a process is started
    opened = Case.open(case)
    run = start(opened.dir, "repair", settings.model_dump(mode="json"))
    try:
        status = _watch(run)
    except KeyboardInterrupt:
        stop(run)
        raise
    if status.state != "succeeded":
        raise RunError(f"The repair {status.state}: {status.message} See {run.dir}.")
    answer({**(run.result() or {}), "run": str(run.dir)}, json)


def _watch(run: Any) -> Any:
    from clipforensics.jobs.launcher import reconcile

    tell, offset = progress_line(), 0
    while True:
        records, offset = run.journal(offset)
        for record in records:
            if "ca" in record:
                shown = {key: record[key] for key in ("ca", "asr") if record.get(key) is not None}
                tell(record["step"], record.get("total", 0), "evaluated", **shown)
        status = run.status()
        if not status.active:
            return status
        tell(status.step, status.total, status.message)
        time.sleep(POLL_SECONDS)
        reconcile(run.case_dir)
