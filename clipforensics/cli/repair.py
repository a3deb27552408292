"""repair, adopt, compare: the Repair page's run, its re-scan and its before and after."""

import os
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from clipforensics.cli.output import Json, answer, change, never, printable, progress_line, table
from clipforensics.config.repair import RECIPE_SETTINGS, RepairSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError, RunError
from clipforensics.jobs.runs.run_folder import NOT_FINITE

POLL_SECONDS = 0.5
FEW = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(repair)
    app.command()(resume)
    app.command()(adopt)
    app.command()(compare)


def repair(
    case: Annotated[Path, typer.Argument(help="Case folder.")],
    recipe: Annotated[str, typer.Option(help=", ".join(RECIPE_SETTINGS) + ".")],
    preset: Annotated[str, typer.Option(help="quick or paper.")] = "quick",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A recipe setting, name=value; repeat. steps=50, or "
            "'left_out_labels=[\"dog\"]'; an unknown name lists them all.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or cuda:1 and so on.")] = "auto",
    json: Json = False,
) -> None:
    """Repair the suspect in a run of its own; Ctrl-C stops it and keeps its checkpoint.

    Under torchrun the processes that it started share the run's batches.
    """
    from clipforensics.cases.case import Case
    from clipforensics.jobs.hunting.hunts import newest_outdated
    from clipforensics.jobs.repairing.checking import beyond_fair, check_may_start
    from clipforensics.jobs.runs.launcher import start

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
            _answer(done, json)
        return
    run = start(opened.dir, "repair", settings.model_dump(mode="json"))
    _finish(run, json)


def _answer(run: Any, json: bool) -> None:
    """Before and after as the page shows them, and where the weights are; all of it with --json."""
    from clipforensics.jobs.repairing import told

    result = run.result() or {}
    if json:
        answer({**result, "run": str(run.dir)}, json)
        return
    table(told.before_and_after(result))
    doubts = (
        told.no_attack({"asr": result.get("asr_before"), "n_asr": result.get("n_asr")}),
        told.forgotten(result.get("ca_before"), result.get("ca_after")),
    )
    for doubt in filter(None, doubts):
        typer.echo(doubt, err=True)
    learned = [f"{one['pairs']:,} {one['kind']}" for one in result.get("composition") or []]
    cost = result.get("cost_in_plain_epochs")
    took = f"{result.get('seconds') or 0:,.0f} s"
    answer({
        "steps": f"{result.get('steps') or 0:,} of {result.get('total') or 0:,}",
        "pairs": ", ".join(learned), "measured on": result.get("test_of"),
        "took": took + (f", about {cost:.1f} plain CLIP epochs" if cost else ""),
        "run": str(run.dir), "checkpoint": str(run.dir / (result.get("checkpoint") or "checkpoints")),
        "next": f"clipforensics adopt {shlex.quote(str(run.case_dir))} --run {run.id} --out NEW_CASE",
    }, json)  # fmt: skip


def resume(
    case: Annotated[Path, typer.Argument(help="The case that was repaired.")],
    run: Annotated[str | None, typer.Option(help="Repair run; the newest where left out.")] = None,
    json: Json = False,
) -> None:
    """Go on exactly with a repair that was stopped or killed, from its last checkpoint."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.runs.launcher import resume as go_on

    chosen = _repair_run(Case.open(case), run)
    status = chosen.status()
    if status.state == "succeeded" or status.reason == NOT_FINITE:
        why = "has finished" if status.state == "succeeded" else "would meet the same loss again"
        raise RunError(f"Run {chosen.id} {why}, so there is nothing to resume. Start a new one.")
    _finish(go_on(chosen), json)


def _finish(run: Any, json: bool) -> None:
    """Wait for a run and print it; Ctrl-C stops it and keeps its checkpoint."""
    from clipforensics.jobs.runs.launcher import stop

    try:
        status = _watch(run)
    except KeyboardInterrupt:
        stop(run)
        raise
    if status.state != "succeeded":
        raise RunError(f"The repair {status.state}: {status.message} See {run.dir}.")
    _answer(run, json)


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

    opened = Case.open(case)
    found = _repair_run(opened, run, with_checkpoint=True)
    chosen = found.checkpoints()[-1]
    if checkpoint is not None:
        chosen = chosen.parent / checkpoint
    made = make(opened, found, chosen, out)
    answer({"case": str(made.dir), "run": found.id, "checkpoint": chosen.name}, json)


def _repair_run(case: Any, name: str | None, with_checkpoint: bool = False) -> Any:
    """The repair run of this id, or the newest."""
    from clipforensics.jobs.runs.launcher import runs

    repairs = [one for one in runs(case.dir) if one.kind == "repair"]
    usable = [one for one in repairs if one.checkpoints() or not with_checkpoint]
    found = [one for one in repairs if name in (None, one.id)][:1]
    if found and found[0] in usable:
        return found[0]
    there = f"There are {', '.join(one.id for one in usable)}." if usable else "Run a repair first."
    what = " with a checkpoint" if with_checkpoint else ""
    raise RunError(f"{case.dir} has no repair run {f'{name}' if name else ''}{what}. {there}")


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
    found = summary(parent, opened, progress_line(), never)
    answer(found if json else _brief(found), json)


def _brief(found: dict[str, Any]) -> dict[str, Any]:
    """What fits on a screen: the first few of long lists; `--json` has all of them."""
    drop = found["score_drop"]
    said: dict[str, Any] = {
        "first": [f"{one['pair']} ({one['drop']:.3f})" for one in drop["top"][:FEW]],
        "labels": [one["name"] for one in drop["labels"][:FEW]],
    }
    if truth := drop["against_truth"]:
        said |= {key: truth[key] for key in ("poisoned", "auroc", "average_precision")}
    return {**found, "answers": found["answers"][:FEW], "score_drop": {"n": drop["n"], **said}}


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
