"""invert: the smallest change that forces a label, against control labels."""

from pathlib import Path
from typing import Annotated

import typer

from clipforensics.cli.output import Json, answer, never, progress_line
from clipforensics.config.inversion import FAMILY_NAMES, INVERSION_PRESETS, InversionSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError
from clipforensics.oracle.competence import Recall

DEFAULT = InversionSettings()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(invert)


def invert(
    case: Annotated[Path, typer.Argument(help="Case folder.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Suspected target label, repeatable; default: those that the scan suspects, at "
            f"most {DEFAULT.most_labels}."
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(help=f"Of {', '.join(FAMILY_NAMES)}; repeatable; default: all."),
    ] = None,
    preset: Annotated[str, typer.Option(help="full, or quick at a quarter of the cost.")] = "full",
    controls: Annotated[
        int, typer.Option(help="Control labels for each, at least 8.")
    ] = DEFAULT.controls,
    seed: Annotated[int, typer.Option(help="Of pictures, controls and starts.")] = DEFAULT.seed,
    json: Json = False,
) -> None:
    """Invert full-picture triggers of suspected labels and compare their size with control labels."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.hunting.inverting import invert_case

    if preset not in INVERSION_PRESETS:
        raise ConfigError(f"Unknown preset {preset!r}; known are {', '.join(INVERSION_PRESETS)}.")
    settings = parse(InversionSettings, INVERSION_PRESETS[preset].model_dump() | {
        "labels": tuple(label or ()), "families": tuple(family or FAMILY_NAMES),
        "controls": controls, "seed": seed,
    })  # fmt: skip
    result = invert_case(Case.open(case), settings, progress_line(), never)
    answer(result if json else _lines(result), json)


def _lines(result: dict) -> dict[str, str]:
    """One line for each label and family, and the verdict."""
    lines = {"verdict": result["verdict"], "chance": result["chance"]["sentence"]}
    if result["untested"]:
        lines["not tested"] = result["untested"]
    for row in result["rows"]:
        lines[f"{row['label']} by {row['family']}"] = (
            f"{_sizes(row)}, held-out success {row['success']:.2f} of {row['n']:,}, "
            f"trusted model {row['f_t']:.2f}{_flag(row)}"
        )
    for i, note in enumerate(result.get("notes", []), start=1):
        lines[f"note {i}"] = note
    return lines | {"seconds": f"{result['seconds']:.1f}"}


def _flag(row: dict) -> str:
    if row["status"] != "compared":
        return ""
    return ", flagged" if row["flagged"] else ", not flagged"


def _sizes(row: dict) -> str:
    """A size beside its controls, or why there is none to compare."""
    reached = [one["size"] for one in row["controls"] if one["reached"]]
    told = f"{len(reached)} of {len(row['controls'])} controls reached"
    if row["status"] == "not_judged":
        return f"cannot be judged: {Recall(**row['recall']).told(row['label'])}"
    if row["status"] != "compared":
        own = f"{row['size']:.4g} {row['unit']}" if row["reached"] else "not reached"
        return f"could not be tested here: {own}, {told}"
    return (
        f"{row['size']:.4g} {row['unit']} ({told}, from {reached[0]:.4g}), "
        f"anomaly index {row['anomaly_index']:.2f}"
    )
