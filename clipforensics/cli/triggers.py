"""triggers: the oracle pass."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clipforensics.cli.output import Json, answer, never, progress_line
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ForensicsError
from clipforensics.oracle.competence import Objects

SHOWN = 10
KINDS = {
    "victims": "carry a trigger, and the caption names its label",
    "carriers": "carry a trigger, and the caption does not name its label",
    "probable": "a weaker sign, looked for where no trigger is verified: the caption names what the "
    "suspect says and the trusted model sees nowhere",
}
"""Pairs that a hunt names, and why."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(triggers)


def triggers(
    case: Annotated[Path, typer.Argument(help="Case folder.")],
    top: Annotated[
        int, typer.Option(help="Most suspicious pairs to inspect.")
    ] = HuntSettings().top,
    detector: Annotated[str, typer.Option(help="Orders the pairs.")] = HuntSettings().detector,
    fast: Annotated[bool, typer.Option(help="Boxes instead of masks, fewer of them.")] = False,
    json: Json = False,
) -> None:
    """Find, verify and group triggers; name affected labels and victims."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.hunting.findings import against_truth
    from clipforensics.jobs.hunting.triggers import hunt

    settings = parse(HuntSettings, {"top": top, "detector": detector, "fast": fast})
    opened = Case.open(case)
    result = hunt(opened, settings, progress_line(), never)
    try:
        if held := against_truth(result, opened.truth):
            result["against_truth"] = held
    except ForensicsError as problem:  # the hunt needs no truth, and is not lost for it
        result["notes"] = [*result["notes"], f"Victims are not held against the truth: {problem}"]
    answer(result if json else _lines(result), json)


def _lines(result: dict[str, Any]) -> dict[str, str]:
    """The verdict, one line for each trigger, and what was counted."""
    verified, rejected = len(result["triggers"]), len(result["rejected"])
    undecided = len(result["undecided"])
    left = f", {undecided:,} undecided" if undecided else ""
    lines = {
        "verdict": f"{_counted(verified, 'verified trigger')}, {_counted(rejected, 'candidate')} "
        f"rejected{left}, in {_counted(result['inspected'], 'inspected picture')}"
    }
    if open_ := sum(one["regions"] for one in result["unjudged"]):
        lines["verdict"] += f"; {_counted(open_, 'region')} could not be judged"
    if not verified:
        lines["verdict"] += ". That is no proof of innocence: see also `clipforensics invert`"
    for i, one in enumerate(result["triggers"], start=1):
        low, high = one["interval"]
        lines[f"trigger {i}"] = (
            f"makes the suspect say {one['label']}: flips {one['flip_rate']:.1%} of n = {one['n']:,} "
            f"(95 % {low:.1%} to {high:.1%}), on the trusted model {one['flip_rate_trusted']:.1%}; "
            f"{_beside(one)}"
            f"seen in {_counted(len(one['pairs']), 'picture')}, first {one['pair']} at {one['box']}"
            + (f"; {_counted(one['victims'], 'victim')} of it" if "victims" in one else "")
        )
    for one in result["affected_labels"]:
        lines[f"label {one['label']}"] = _counted(one["victims"], "victim")
    for kind, meaning in KINDS.items():
        names = result[kind]
        some = ", ".join(names[:SHOWN]) + (", … (all: --json)" if len(names) > SHOWN else "")
        lines[kind] = f"{len(names):,} ({meaning}){': ' if names else ''}{some}"
    if held := result.get("against_truth"):
        lines["against the truth"] = (
            f"{held['right']:,} of {_counted(held['victims'], 'victim')} are poisoned pairs, of which there "
            f"are {held['poisoned']:,} (recall {held['recall']:.3f}); the hunt did not read that"
        )
    for one in result["unjudged"][:SHOWN]:
        lines[f"cannot judge {one['label']}"] = (
            f"{_counted(one['regions'], 'region')}: {one['why']}"
        )
    for i, note in enumerate(result.get("notes", []), start=1):
        lines[f"note {i}"] = note
    return lines | {"seconds": f"{result['seconds']:.1f}"}


def _beside(one: dict[str, Any]) -> str:
    """What its p-value and its positive control rest on, where the hunt kept that."""
    said = ""
    if one.get("controls") is not None:
        said = (
            f"{one['controls_as_good']:,} of {one['controls']:,} control crops as good "
            f"(p {one['p_value']:.3g}, Holm); "
        )
    if one.get("objects"):
        said += f"{Objects(**one['objects']).told(one['label'])}; "
    return said


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
