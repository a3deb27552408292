"""Train a CLIP on a table of pairs: the command `train`, whose folder is a run without a case."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.evidence import write_json
from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.data.labels import read_labels
from clipforensics.data.tables import read_pairs
from clipforensics.errors import RunError
from clipforensics.jobs.attacking.testing import manifest_evaluator

JOURNAL, RESULT, CONFIG = "journal.jsonl", "result.json", "config.json"


def train_pairs(
    pairs: Path,
    model: str,
    labels: Path,
    out: Path,
    settings: TrainSettings,
    manifest: Path | None = None,
    test: Path | None = None,
    image_root: Path | None = None,
    evaluate_every: int = 100,
    device: str = "auto",
    on_record: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """Train from random weights; journal, checkpoints and result land in `out`.

    The same call on an unfinished folder goes on exactly from its last checkpoint. Under `torchrun`
    the processes share every batch, and the first of them writes.

    Args:
        pairs: table of pairs, or its folder.
        model: open_clip name or JSON config.
        labels: labels file, for the evaluation.
        out: a new folder, or the unfinished one of the same call.
        settings: training.
        manifest: of the poisoning, if known; adds the ASR. Only metrics read it.
        test: labelled test table; `test.csv` beside the manifest or the pairs where it is None.
        image_root: where relative picture paths start.
        evaluate_every: steps.
        device: auto, cpu or cuda.
        on_record: told every journal record.

    Returns:
        `checkpoint`, `steps`, `seconds`, `pairs_per_second`, and the last evaluation's figures.

    Raises:
        RunError: the folder holds another or a finished training, or a loss became NaN.
    """
    from clipforensics.train.distributed import joined

    with joined(device) as own:
        return _train(
            pairs, model, labels, out, settings, manifest, test, image_root, evaluate_every, own,
            on_record,
        )  # fmt: skip


def _train(
    pairs: Path,
    model: str,
    labels: Path,
    out: Path,
    settings: TrainSettings,
    manifest: Path | None,
    test: Path | None,
    image_root: Path | None,
    evaluate_every: int,
    device: str,
    on_record: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    import torch

    from clipforensics.models.clip import new_clip
    from clipforensics.train.checkpoint import Checkpoints
    from clipforensics.train.distributed import world
    from clipforensics.train.loop import train
    from clipforensics.train.plain import PlainClip
    from clipforensics.train.recipe import TrainingData

    names, table = read_labels(labels), read_pairs(pairs, image_root)
    encoder = new_clip(model, settings.model_seed, device)
    recipe = PlainClip(np.arange(len(table)), settings)
    test = test or _test_beside(manifest, pairs)
    writes = world().rank == 0
    evaluate = manifest_evaluator(manifest, test, names, encoder.side) if test and writes else None
    if writes:
        _claim(
            out,
            {"pairs": table.sha256, "model": model, "settings": settings.model_dump(mode="json")},
        )
    frames = table.frames(range(len(table)), encoder.side)
    data = TrainingData(torch.from_numpy(frames), encoder.tokenize(list(table.captions)))
    checkpoints = out / "checkpoints"
    began = time.perf_counter()
    outcome = train(
        encoder, data, recipe, settings, LoopSettings(evaluate_every=evaluate_every),
        evaluate=evaluate, on_record=_both(_journal(out), on_record), folder=checkpoints,
        resume=Checkpoints(checkpoints).can_resume,
    )  # fmt: skip
    result = {
        **outcome.evaluation, "checkpoint": str(outcome.checkpoint), "steps": outcome.step,
        "pairs": len(table), "seconds": time.perf_counter() - began,
        "pairs_per_second": outcome.pairs_per_second, "processes": world().size,
    }  # fmt: skip
    if writes:
        write_json(out / RESULT, result)
    return result


def _claim(out: Path, config: dict[str, Any]) -> None:
    """Take the folder; only the same, unfinished training may take it again."""
    if (out / RESULT).exists():
        raise RunError(f"{out} already holds a finished training. Choose an empty folder.")
    if (out / CONFIG).exists():
        if json.loads((out / CONFIG).read_text()) != config:
            raise RunError(
                f"{out} holds an unfinished training of other settings. Choose an empty folder."
            )
        return
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty. Choose an empty folder.")
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, config)


def _test_beside(manifest: Path | None, pairs: Path) -> Path | None:
    folders = [manifest.parent] if manifest else []
    folders.append(pairs if pairs.is_dir() else pairs.parent)
    return next(
        (folder / "test.csv" for folder in folders if (folder / "test.csv").is_file()), None
    )


def _journal(out: Path) -> Callable[[Mapping[str, Any]], None]:
    def write(record: Mapping[str, Any]) -> None:
        try:
            with open(out / JOURNAL, "a", encoding="utf-8") as file:
                file.write(json.dumps({"t": time.time(), **record}) + "\n")
        except OSError as problem:  # a failed write never ends training
            sys.stderr.write(f"warning: journal: {problem}\n")

    return write


def _both(
    first: Callable[[Mapping[str, Any]], None], second: Callable[[Mapping[str, Any]], None]
) -> Callable[[Mapping[str, Any]], None]:
    def tell(record: Mapping[str, Any]) -> None:
        first(record)
        second(record)

    return tell
