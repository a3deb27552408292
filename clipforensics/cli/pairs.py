"""poison and train."""

from pathlib import Path
from typing import Annotated

import typer

from clipforensics.cli.output import Json, answer, change, progress_line
from clipforensics.config.attack import ATTACKS, PoisonSettings, attack_settings
from clipforensics.config.settings import parse
from clipforensics.config.train import TrainSettings
from clipforensics.errors import DataError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(poison)
    app.command()(train)


def poison(
    source: Annotated[
        Path, typer.Argument(help="Pairs: a CSV or TSV, or a folder with pairs.csv.")
    ],
    attack: Annotated[str, typer.Option(help=f"One of {', '.join(ATTACKS)}.")],
    rate: Annotated[float, typer.Option(help="Poisoned pairs / all pairs.")],
    target: Annotated[
        list[str],
        typer.Option(help="Label a trigger is pulled to; repeat where each has its own (mt_m)."),
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    seed: Annotated[int, typer.Option()] = 0,
    side: Annotated[
        int | None, typer.Option(help="Frame side in pixels; 224 or the source's.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels; labels.txt beside the pairs.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Labelled test table; test.csv beside the pairs.")
    ] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where relative paths start.")] = None,
    place: Annotated[str | None, typer.Option(help="Where a patch goes.")] = None,
    patch_px: Annotated[int | None, typer.Option(help="Patch side in pixels.")] = None,
    pattern: Annotated[str | None, typer.Option(help="blocks or grid.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Opacity of a blend.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting of the attack, name=value; repeat."),
    ] = None,
    captions: Annotated[str, typer.Option(help="caption_set or templates.")] = "caption_set",
    json: Json = False,
) -> None:
    """Write a poisoned copy of pairs with its manifest."""
    from clipforensics.attacks.plan import unused_target
    from clipforensics.attacks.poison import poison as run
    from clipforensics.attacks.source import FileSource
    from clipforensics.data.labels import LabelSet, read_labels
    from clipforensics.data.tables import read_pairs, read_test

    named = {"place": place, "patch_px": patch_px, "pattern": pattern, "alpha": alpha}
    asked = {k: v for k, v in named.items() if v is not None} | dict(map(change, set_ or []))
    settings = parse(PoisonSettings, {
        "attack": attack_settings(attack, asked), "rate": rate, "target": target[0],
        "more_targets": tuple(target[1:]), "seed": seed, "captions": captions,
    })  # fmt: skip
    pairs = read_pairs(source, image_root)
    beside = source if source.is_dir() else source.parent
    table = test or (beside / "test.csv" if (beside / "test.csv").is_file() else None)
    names = labels or (beside / "labels.txt" if (beside / "labels.txt").is_file() else None)
    label_set = read_labels(names) if names else LabelSet(tuple(target))
    held_out = read_test(table, image_root) if table else None
    for given in (pairs, held_out) if held_out else (pairs,):
        _check_files(given)  # before anything is written
    frame = side or _side_of(pairs)
    tell = progress_line()
    counts = run(
        FileSource(pairs, frame, held_out), label_set, settings, out,
        lambda done, total: tell(done, total, "writing pictures"),
    )  # fmt: skip
    note = unused_target(settings)
    answer({
        "out": str(out), "manifest": str(out / "manifest.json"), "side": frame, **counts,
        **({"note": note} if note else {}),
    }, json)  # fmt: skip


def _check_files(pairs) -> None:
    missing = pairs.missing()
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(pairs):,} pictures are missing (first: "
            f"{pairs.paths[missing[0]]}). Put them there, remove their rows, or set --image-root."
        )


def _side_of(pairs) -> int:
    """The side of pictures that already are small squares of one size, else 224."""
    from clipforensics.data.images import read_picture

    height, width = read_picture(pairs.path(0)).shape[:2]
    return height if height == width and height < 224 else 224


def train(
    pairs: Annotated[Path, typer.Argument(help="Pairs: a CSV or TSV, or a folder with pairs.csv.")],
    model: Annotated[str, typer.Option(help="open_clip name or JSON config.")],
    labels: Annotated[Path, typer.Option(help="Labels, one per line.")],
    out: Annotated[Path, typer.Option(help="A new folder, or an unfinished one to resume.")],
    manifest: Annotated[Path | None, typer.Option(help="Adds the ASR to the journal.")] = None,
    test: Annotated[Path | None, typer.Option(help="Labelled test table.")] = None,
    image_root: Annotated[Path | None, typer.Option(help="Where relative paths start.")] = None,
    epochs: Annotated[int, typer.Option()] = TrainSettings().epochs,
    batch: Annotated[int, typer.Option()] = TrainSettings().batch,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = TrainSettings().rate,
    seed: Annotated[int, typer.Option(help="Of order and initial weights.")] = 0,
    evaluate_every: Annotated[int, typer.Option(help="Steps.")] = 100,
    device: Annotated[str, typer.Option()] = "auto",
    json: Json = False,
) -> None:
    """Train a CLIP from random weights; journal and checkpoint land in OUT.

    On several devices: torchrun --nproc-per-node N -m clipforensics train …
    """
    from clipforensics.jobs.attacking.train import train_pairs
    from clipforensics.train.distributed import launched

    values = {"epochs": epochs, "batch": batch, "rate": rate, "seed": seed, "model_seed": seed}
    tell = progress_line()

    def told(record) -> None:
        shown = {key: record[key] for key in ("ca", "asr", "psr", "loss") if key in record}
        if shown:
            tell(record["step"], record["total"], "training", **shown)

    result = train_pairs(
        pairs, model, labels, out, parse(TrainSettings, values), manifest, test, image_root,
        evaluate_every, device, told,
    )  # fmt: skip
    if launched().rank == 0:
        answer(result, json)
