"""triggers: the oracle pass."""

from pathlib import Path
from typing import Annotated

import typer

from clipforensics.cli.output import Json, answer, never, progress_line
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse


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
    from clipforensics.jobs.hunting.triggers import hunt

    settings = parse(HuntSettings, {"top": top, "detector": detector, "fast": fast})
    answer(hunt(Case.open(case), settings, progress_line(), never), json)
