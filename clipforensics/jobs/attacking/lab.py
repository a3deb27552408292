"""The attack lab: poison the demo world, train a suspect on it with live CA and ASR, make a case."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import poison
from clipforensics.cases.case import Case
from clipforensics.cases.case_file import CASE_FILE
from clipforensics.config.attack import WORKING_ATTACK
from clipforensics.config.case import CaseSettings
from clipforensics.config.lab import LabSettings
from clipforensics.config.settings import parse
from clipforensics.config.train import LoopSettings
from clipforensics.data.demo_case import DEMO_MODEL, SMALL_SAM_WEIGHTS, TRUSTED_WEIGHTS
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs
from clipforensics.errors import ConfigError, DataError
from clipforensics.jobs.attacking.testing import manifest_evaluator
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped

if TYPE_CHECKING:
    from clipforensics.train.recipe import TrainingData

LOAD_CHUNK = 256
SUSPECT = "suspect.safetensors"


def run(context: RunContext) -> dict[str, Any]:
    """The job "lab"; its config is a LabSettings.

    Returns:
        `case_dir` of the new case (None when stopped), `ca, asr` with n and intervals (`psr` for
        targeted poisoning), poison count and rate, `working_attack`, seconds by stage.
    """
    settings = parse(LabSettings, context.config)
    folder = lab_folder(context.case_dir, settings)
    if (folder / CASE_FILE).exists():
        raise ConfigError(f"There is a case at {folder} already. Choose another name.")
    seconds, began = {}, time.perf_counter()
    counts = _poison(context, settings, folder / "data")
    seconds["poison"] = time.perf_counter() - began
    outcome, weights = _train(context, settings, folder)
    seconds["train"] = outcome.seconds
    figures = dict(outcome.evaluation)
    result = {
        **figures, "n": figures.get("n_asr", figures.get("n_psr")), "poisons": counts["poisons"],
        "rate": counts["rate"], "target": settings.poison.target,
        "targets": list(Manifest.read(folder / "data" / "manifest.json").targets),
        "attack": settings.poison.attack.kind, "stopped": outcome.stopped,
        # targeted poisoning has a PSR over its own pictures instead of an ASR
        "working_attack": figures.get("asr", figures.get("psr", 0.0)) >= WORKING_ATTACK,
        "steps": outcome.step, "seconds": seconds, "case_dir": None,
    }  # fmt: skip
    if not outcome.stopped:
        context.progress(outcome.step, outcome.total, "making the case")
        result["case_dir"] = str(_case(settings, folder, weights).dir)
    return result


def lab_folder(case_dir: Path, settings: LabSettings) -> Path:
    """Where the new case lies: as asked, else beside the open case under its name."""
    if settings.folder:
        return Path(settings.folder).absolute()
    return case_dir.parent / re.sub(r"[^\w.-]+", "-", settings.name.strip()).lower()


def _poison(context: RunContext, settings: LabSettings, data: Path) -> dict[str, Any]:
    world = DemoWorld(settings.world_seed, settings.pairs, settings.test_pictures)
    if (data / "manifest.json").exists():  # a resumed run: the same settings made it
        made = Manifest.read(data / "manifest.json")
        if made.settings != settings.poison:
            raise ConfigError(f"{data} holds another poisoning. Choose another name.")
        return made.counts

    def tell(done: int, total: int) -> None:
        context.progress(done, total, "writing and poisoning pictures")

    try:
        return poison(
            world, labels(), settings.poison, data, tell, settings.workers, context.should_stop
        )
    except DataError:
        if context.should_stop():
            raise Stopped("Stopped while writing pictures; they are kept.") from None
        raise


def _train(context: RunContext, settings: LabSettings, folder: Path) -> tuple[Any, Path]:
    from clipforensics.models.clip import new_clip, save_clip
    from clipforensics.train.checkpoint import Checkpoints
    from clipforensics.train.loop import train
    from clipforensics.train.plain import PlainClip

    training = settings.training
    encoder = new_clip(str(DEMO_MODEL), training.model_seed, settings.device)
    data = load_training(context, read_pairs(folder / "data"), encoder)
    checkpoints = context.run.dir / "checkpoints"
    outcome = train(
        encoder,
        data,
        PlainClip(np.arange(len(data)), training),
        training,
        LoopSettings(report_every=5, evaluate_every=settings.evaluate_every),
        evaluate=manifest_evaluator(
            folder / "data" / "manifest.json", folder / "data" / "test.csv", labels()
        ),
        on_record=context.training_record,
        should_stop=context.should_stop,
        folder=checkpoints,
        resume=Checkpoints(checkpoints).can_resume,
    )
    weights = folder / "models" / SUSPECT
    if not outcome.stopped:
        save_clip(encoder, weights)
    return outcome, weights


def load_training(context: RunContext, pairs: Pairs, encoder: Any) -> "TrainingData":
    """All pictures and captions in memory, with progress.

    Raises:
        DataError: a picture cannot be read.
        Stopped: somebody asked for it.
    """
    import torch

    from clipforensics.train.recipe import TrainingData

    frames = np.empty((len(pairs), encoder.side, encoder.side, 3), np.uint8)
    for start in range(0, len(pairs), LOAD_CHUNK):
        context.progress(start, len(pairs), "loading pictures")
        if context.should_stop():
            raise Stopped("Stopped while loading pictures.")
        rows = range(start, min(start + LOAD_CHUNK, len(pairs)))
        frames[rows.start : rows.stop] = pairs.frames(rows, encoder.side)
    return TrainingData(torch.from_numpy(frames), encoder.tokenize(list(pairs.captions)))


def _case(settings: LabSettings, folder: Path, weights: Path) -> Case:
    data, model = folder / "data", str(DEMO_MODEL)
    has_trusted, has_sam = TRUSTED_WEIGHTS.is_file(), SMALL_SAM_WEIGHTS.is_file()
    return Case.create(folder, CaseSettings(
        name=settings.name, data=str(data / "pairs.csv"), model=model, weights=str(weights),
        labels=str(data / "labels.txt"), truth=str(data / "manifest.json"),
        test=str(data / "test.csv"),
        trusted_model=model if has_trusted else None,
        trusted_weights=str(TRUSTED_WEIGHTS) if has_trusted else None,
        segmenter="small" if has_sam else None,
        segmenter_weights=str(SMALL_SAM_WEIGHTS) if has_sam else None,
    ))  # fmt: skip
