"""case new, embed, scan, demo, verify."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clipforensics.cli.output import Json, answer, never, progress_line
from clipforensics.config.case import CaseSettings
from clipforensics.config.demo import DemoSettings
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError

Collapse = Annotated[
    bool, typer.Option(help="A picture that comes 20 times or more, slightly changed, counts once.")
]
CaseDir = Annotated[Path, typer.Argument(help="Case folder.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Make cases.", no_args_is_help=True)
    group.command("new")(new)
    app.add_typer(group, name="case")
    app.command()(embed)
    app.command()(scan)
    app.command()(demo)
    app.command()(verify)


def new(
    folder: Annotated[Path, typer.Argument(help="The new case's folder.")],
    data: Annotated[Path, typer.Option(help="Pairs: a CSV or TSV, or a folder with pairs.csv.")],
    model: Annotated[str, typer.Option(help="Suspect: open_clip name or JSON config.")],
    weights: Annotated[Path, typer.Option(help="Suspect's weights.")],
    labels: Annotated[Path, typer.Option(help="Labels, one per line.")],
    trusted_model: Annotated[str | None, typer.Option(help="Trusted CLIP.")] = None,
    trusted_weights: Annotated[Path | None, typer.Option()] = None,
    segmenter: Annotated[str | None, typer.Option(help="small, vit_b, vit_l or vit_h.")] = None,
    segmenter_weights: Annotated[Path | None, typer.Option()] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where relative paths start.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Manifest, for metrics only.")] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled clean test table.")] = None,
    name: Annotated[str | None, typer.Option(help="Shown on screen.")] = None,
    json: Json = False,
) -> None:
    """Validate and fingerprint everything, then make a case."""
    from clipforensics.cases.case import Case

    values = {
        "data": data, "weights": weights, "labels": labels, "image_root": image_root,
        "trusted_weights": trusted_weights, "segmenter_weights": segmenter_weights,
        "truth": truth, "test": test, "model": model, "trusted_model": trusted_model,
        "segmenter": segmenter, "name": name or folder.name,
    }  # fmt: skip
    settings = {key: str(value) for key, value in values.items() if value is not None}
    case = Case.create(folder, parse(CaseSettings, settings))
    answer({
        "case": str(case.dir),
        "pairs": len(case.pairs),
        "labels": len(case.labels),
        "fingerprints": case.fingerprints,
        "warnings": list(case.warnings),
    }, json)  # fmt: skip


def embed(case: CaseDir, json: Json = False) -> None:
    """Embed the pairs with the suspect; resumes after an interruption."""
    import time

    from clipforensics.cases.case import Case
    from clipforensics.jobs.scanning.scan import bad_pictures, embeddings
    from clipforensics.jobs.scanning.scan import embed as run

    opened, began = Case.open(case), time.perf_counter()
    run(opened, progress_line(), never)
    rows, dim = embeddings(opened).shape
    seconds = time.perf_counter() - began
    answer({"rows": rows, "dim": dim, "bad": len(bad_pictures(opened)), "seconds": seconds}, json)


def scan(
    case: CaseDir,
    detector: Annotated[list[str] | None, typer.Option(help="Repeat; the first one ranks.")] = None,
    reference_size: Annotated[str, typer.Option(help="Pairs per reference set, or all.")] = "2048",
    k: Annotated[int, typer.Option(help="Neighbours.")] = DensitySettings().k,
    draws: Annotated[int, typer.Option(help="Random reference sets averaged.")] = 5,
    seed: Annotated[int, typer.Option()] = 0,
    normalize: Annotated[bool, typer.Option(help="Score by angle alone.")] = False,
    captions: Annotated[bool, typer.Option(help="Captions join the reference sets.")] = False,
    collapse: Collapse = True,
    json: Json = False,
) -> None:
    """Embed, find neighbours, draw the map, score; resumes after an interruption."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.scanning.scan import scan as run

    values = {
        "density": parse(DensitySettings, {"k": k}),
        "reference": reference_settings(
            reference_size, draws, seed, normalize, collapse
        ).model_copy(update={"captions": captions}),
    }
    settings = parse(
        ScanSettings, {**values, **({"detectors": tuple(detector)} if detector else {})}
    )
    answer(run(Case.open(case), settings, progress_line(), never), json)


def demo(
    folder: Annotated[Path | None, typer.Option("--dir", help="Where the demo case goes.")] = None,
    attack: Annotated[str, typer.Option(help="The shipped suspect's attack.")] = "badnets",
    json: Json = False,
) -> None:
    """Make the demo case, scan it, and measure the planted backdoor."""
    from clipforensics.jobs.attacking.demo import demo as run

    place = folder or Path(os.environ.get("CLIPFORENSICS_HOME", "cases")) / "demo"
    if attack != "badnets":
        raise ConfigError(
            f"The shipped suspect carries badnets, not {attack!r}. "
            "Train one with another attack in the attack lab, or with poison and train."
        )
    answer(run(place, DemoSettings(), progress_line(), never), json)


def verify(case: CaseDir, json: Json = False) -> None:
    """Check inputs, pictures, evidence and the audit chain; exit code 1 when something differs."""
    from clipforensics.cases.case import Case
    from clipforensics.jobs.verifying import verify as check

    opened = Case.open(case)
    problems = check(opened, progress_line())
    head, entries = opened.store.head()
    answer({"problems": problems, "head": head, "entries": entries}, json)
    if problems:
        raise typer.Exit(1)


def reference_settings(
    size: str, draws: int, seed: int, normalize: bool, collapse: bool
) -> ReferenceSettings:
    """Reference settings from the command line. Raises ConfigError."""
    values = {"reference_size": size, "draws": draws, "seed": seed, "normalize": normalize,
              "collapse": collapse}  # fmt: skip
    return parse(ReferenceSettings, values)
