"""repair, adopt, compare: the Repair page's run, its re-scan and its before and after."""

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from clipforensics.cli.output import Json, answer, change, never, printable, progress_line
from clipforensics.config.repair import RECIPE_SETTINGS, RepairSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError, RunError

POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(repair)
    app.command()(adopt)
    app.command()(compare)


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
    """Repair the suspect in a run of its own; Ctrl-C stops it and keeps its checkpoint.

    Under torchrun the processes that it started share the run's batches.
    """
    from clipforensics.cases.case import Case
    from clipforensics.jobs.hunting.hunts import newest_outdated
    from clipforensics.jobs.repairing.checking import beyond_fair, check_may_start
    from clipforensics.jobs.runs.launcher import start, stop

    changes = dict(change(one) for one in set_ or [])
    values = {"recipe": recipe, "preset": preset, "changes": changes, "device": device}
    settings = parse(RepairSettings, values)
    opened = Case.open(case)
    check_may_start(opened, settings)  # complain before a process is started
    if said := beyond_fair(opened, settings):
        typer.echo(said, err=True)
    if said := newest_outdated(opened):
        typer.echo(f"The newest hunt, which this repair uses, {said}.", err=True)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from clipforensics.jobs.repairing.together import repair_together

        done = repair_together(opened.dir, settings)
        if done is not None:
            answer({**(done.result() or {}), "run": str(done.dir)}, json)
        return
    run = start(opened.dir, "repair", settings.model_dump(mode="json"))
    try:
        status = _watch(run)
    except KeyboardInterrupt:
        stop(run)
        raise
    if status.state != "succeeded":
        raise RunError(f"The repair {status.state}: {status.message} See {run.dir}.")
    answer({**(run.result() or {}), "run": str(run.dir)}, json)


def adopt(
    case: Annotated[Path, typer.Argument(help="The case that was repaired.")],
    out: Annotated[Path, typer.Option(help="Folder of the new case.")],
    run: Annotated[str | None, typer.Option(help="Repair run; the newest where left out.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="File name; the newest.")] = None,
    json: Json = False,
) -> None:
    """Make a repair's checkpoint the suspect of a case of its own; then scan that, and compare."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.repairing.adopting import adopt as make
    from clipforensics.jobs.runs.launcher import runs

    opened = Case.open(case)
    found = [one for one in runs(opened.dir) if one.kind == "repair" and run in (None, one.id)]
    if not found or not found[0].checkpoints():
        known = [one.id for one in runs(opened.dir) if one.kind == "repair" and one.checkpoints()]
        there = f"There are {', '.join(known)}." if known else "Run a repair first."
        raise RunError(f"{opened.dir} has no repair run {run or ''} with a checkpoint. {there}")
    chosen = found[0].checkpoints()[-1]
    if checkpoint is not None:
        chosen = chosen.parent / checkpoint
    made = make(opened, found[0], chosen, out)
    answer({"case": str(made.dir), "run": found[0].id, "checkpoint": chosen.name}, json)


def compare(
    case: Annotated[Path, typer.Argument(help="A scanned case that a repair made.")],
    json: Json = False,
) -> None:
    """What a repair changed: neighbours, paste tests, answers, beside the case it came from."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.repairing.lineage import parent_of
    from clipforensics.jobs.repairing.rescanned import summary

    opened = Case.open(case)
    parent = parent_of(opened)
    if parent is None:
        raise ConfigError(
            f"{opened.dir} was not made from a repair, so there is nothing to compare it with. "
            "Use adopt on the repaired case, then scan the new one."
        )
    answer(summary(parent, opened, progress_line(), never), json)


def _watch(run: Any) -> Any:
    from clipforensics.jobs.runs.launcher import reconcile

    tell, offset = progress_line(), 0
    while True:
        records, offset = run.journal(offset)
        for record in records:
            if "ca" in record:
                shown = {key: record[key] for key in ("ca", "asr") if record.get(key) is not None}
                tell(record["step"], record.get("total", 0), "evaluated", **shown)
            if doubt := record.get("split", {}).get("warning"):
                epoch = record["split"]["epoch"] + 1
                typer.echo(f"Main epoch {epoch}: {printable(doubt)}.", err=True)
            if emptied := record.get("filter", {}).get("emptied"):
                names = printable(", ".join(emptied))
                typer.echo(f"The filter left no pair that names {names}.", err=True)
        status = run.status()
        if not status.active:
            return status
        tell(status.step, status.total, status.message)
        time.sleep(POLL_SECONDS)
        reconcile(run.case_dir)
