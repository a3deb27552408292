"""calibrate: what a cut flags among clean pairs."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from clipforensics.cli.cases import CaseDir, Collapse, reference_settings
from clipforensics.cli.output import Json, answer, never, progress_line, unlike_in_kind
from clipforensics.config.detect import CASE_DETECTORS, DensitySettings
from clipforensics.config.scan import CleanSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    case: CaseDir,
    data: Annotated[
        Path | None, typer.Option(help="Clean pairs; the case's test set where none are named.")
    ] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where relative paths start.")] = None,
    false_rate: Annotated[float, typer.Option(help="Clean pairs flagged / clean pairs.")] = 0.01,
    detector: Annotated[
        str | None,
        typer.Option(
            help=f"One of {', '.join(CASE_DETECTORS)}; combined, or scales where captions are missing."
        ),
    ] = None,
    reference_size: Annotated[str, typer.Option(help="Pairs per reference set, or all.")] = "2048",
    k: Annotated[int, typer.Option(help="Neighbours.")] = DensitySettings().k,
    draws: Annotated[int, typer.Option(help="Random reference sets averaged.")] = 5,
    seed: Annotated[int, typer.Option()] = 0,
    normalize: Annotated[bool, typer.Option(help="Score by angle alone.")] = False,
    collapse: Collapse = True,
    json: Json = False,
) -> None:
    """Cut a ranking so that this share of clean pairs is expected above it."""
    from clipforensics.cases.case import Case
    from clipforensics.detect.thresholds import cut_from_clean, unlike
    from clipforensics.jobs.scanning.calibrating import best_detector, clean_pairs
    from clipforensics.jobs.scanning.calibrating import calibrate as run
    from clipforensics.jobs.scanning.scan import scores

    given: dict = {
        "data": str(data) if data else None,
        "image_root": str(image_root) if image_root else None,
        "density": parse(DensitySettings, {"k": k}),
        "reference": reference_settings(reference_size, draws, seed, normalize, collapse),
    }
    if not 0 < false_rate < 1:
        raise ConfigError(f"false_rate={false_rate} is not between 0 and 1. Choose one that is.")
    opened, tell = Case.open(case), progress_line()
    sound = clean_pairs(opened, parse(CleanSettings, given))[0]
    cut_from_clean(np.arange(float(len(sound))), false_rate)  # too few are told before the work
    if detector is None:
        detector = best_detector(sound)
    settings = parse(CleanSettings, {**given, "detector": detector})
    found = run(opened, settings, tell, never)
    made = cut_from_clean(found.values, false_rate)
    own = scores(opened, detector, settings.density, settings.reference, tell, never).mean
    own = own[own == own]  # what has no score is not flagged
    expected, high = made.expected(len(own))
    odd = unlike(found.values, own)
    answer({
        "detector": detector, "cut": made.cut, "false_rate": made.false_rate, "false_rate_high": made.high,
        "clean": made.clean, "clean_flagged": made.alarms, "pairs": len(own),
        "expected": expected, "expected_high": high, "flagged": int((own >= made.cut).sum()),
        "same_kind": odd is None, **({} if odd is None else {"warning": unlike_in_kind("pairs")}), **found.about,
    }, json)  # fmt: skip
