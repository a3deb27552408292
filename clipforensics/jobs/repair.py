"""Repair a case's suspect: curate, train with live CA and ASR, keep the checkpoint."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import write_json
from clipforensics.config.repair import (
    EftClipSettings,
    FineTuneSettings,
    RepairSettings,
    SafeClipSettings,
    recipe_settings,
)
from clipforensics.config.settings import parse
from clipforensics.config.train import LoopSettings
from clipforensics.errors import CaseError, DataError
from clipforensics.jobs.context import RunContext
from clipforensics.jobs.curating import CuratedSet, curated_set, triggers_to_heal
from clipforensics.jobs.measuring import Measure, measure
from clipforensics.jobs.run_folder import Stopped
from clipforensics.jobs.scan import embed

if TYPE_CHECKING:
    from clipforensics.models.clip import OpenClipEncoder
    from clipforensics.train.loop import Outcome
    from clipforensics.train.recipe import Recipe, TrainingData

CURATED = "curated.json"
WORKING_ATTACK = 0.8
LOAD_CHUNK = 256


@dataclass
class _Work:
    """One run's ingredients."""

    model: "OpenClipEncoder"
    data: "TrainingData"
    recipe: "Recipe"
    measure: Measure
    composition: list[dict[str, Any]]


def run(context: RunContext) -> dict[str, Any]:
    """The job "repair"; its config is a RepairSettings.

    Returns:
        `ca_before, ca_after, asr_before, asr_after, n` with intervals, `asr_of` ("planted" or
        "found"), `working_attack`, `checkpoint`, `composition`, seconds and cost in plain CLIP epochs.
    """
    began = time.perf_counter()
    repair = parse(RepairSettings, context.config)
    settings = recipe_settings(repair)
    case = Case.open(context.case_dir)
    if isinstance(settings, SafeClipSettings):
        work, before = _retrain(context, case, repair, settings)
    else:
        work, before = _fine_tune(context, case, repair, settings)
    outcome = _train(context, work, settings)
    result = _result(context, repair, before, outcome, work)
    result["seconds"] = time.perf_counter() - began
    if repair.measure_cost and not outcome.stopped:
        result |= _cost(work, settings, result["seconds"], len(case.pairs))
    return result


def _fine_tune(
    context: RunContext, case: Case, repair: RepairSettings, settings: FineTuneSettings
) -> tuple[_Work, dict[str, Any]]:
    import torch

    from clipforensics.repair.eftclip import EftClip, Stamp
    from clipforensics.repair.finetune import FineTune
    from clipforensics.train.recipe import TrainingData

    embed(case, context.progress, context.should_stop, repair.device)
    context.progress(0, settings.steps, "choosing clean pairs")
    chosen = _curated_once(context, case, settings)
    suspect = case.suspect(repair.device)
    rows = chosen.pairs.rows
    frames = case.pairs.frames(rows, suspect.side)
    captions = [case.pairs.captions[row] for row in rows]
    data = TrainingData(torch.from_numpy(frames), suspect.tokenize(captions))
    context.progress(0, settings.steps, "stamping test pictures")
    measured = measure(case, chosen.triggers, suspect.side, repair.test_pictures, rows)
    before = _baseline(context, measured, suspect, settings.steps)
    if isinstance(settings, EftClipSettings):
        stamps = [Stamp(t.pixels, t.mask, t.label) for t in chosen.triggers]
        recipe = EftClip(suspect, data, chosen.pairs.is_target, stamps, settings)
    else:
        recipe = FineTune(data, settings)
    context.journal(
        {"kind": "curated", "step": 0, "table": chosen.table, "affected": chosen.affected}
    )
    return _Work(suspect, data, recipe, measured, chosen.table), before


def _retrain(
    context: RunContext, case: Case, repair: RepairSettings, settings: SafeClipSettings
) -> tuple[_Work, dict[str, Any]]:
    import torch

    from clipforensics.repair.safeclip import SafeClip, check_start
    from clipforensics.train.recipe import TrainingData

    check_start(settings.start, None, None)
    suspect = case.suspect(repair.device)
    model = _start(case, repair, settings)
    check_start(settings.start, model.fingerprint, suspect.fingerprint)
    measured = measure(
        case, triggers_to_heal(case), suspect.side, repair.test_pictures, np.empty(0, np.int64)
    )
    before = _baseline(context, measured, suspect, 1)
    rows = np.setdiff1d(np.arange(len(case.pairs)), measured.held_out)
    frames, rows = _load(context, case, rows, model.side)
    captions = [case.pairs.captions[row] for row in rows]
    data = TrainingData(torch.from_numpy(frames), model.tokenize(captions))
    poisoned = None
    if case.truth is not None:  # only for the journal's `truth`; a run ends alike without it
        poisoned = np.array([case.pairs.ids[row] in case.truth.poisoned for row in rows], bool)
    recipe = SafeClip(captions, model, settings, poisoned)
    table = [
        {"kind": "all pairs", "pairs": len(rows), "share_of_all_pairs": len(rows) / len(case.pairs)}
    ]
    return _Work(model, data, recipe, measured, table), before


def _start(case: Case, repair: RepairSettings, settings: SafeClipSettings) -> "OpenClipEncoder":
    if settings.start == "trusted":
        return case.trusted(repair.device)
    from clipforensics.models.clip import new_clip

    return new_clip(case.settings.model, settings.model_seed, repair.device)


def _curated_once(context: RunContext, case: Case, settings: FineTuneSettings) -> CuratedSet:
    """Choose, write down, and keep to it: a resumed run must not choose afresh."""
    chosen, path = curated_set(case, settings), context.run.dir / CURATED
    ids = [case.pairs.ids[row] for row in chosen.pairs.rows]
    if path.exists():
        if json.loads(path.read_text())["ids"] != ids:
            raise CaseError(
                "The picks changed since this run began, so it cannot go on exactly. Start a new run."
            )
        return chosen
    write_json(path, {
        "ids": ids, "retention": len(chosen.pairs.retention), "affected": chosen.affected,
        "triggers": [{"pair": t.pair, "label": t.label, "box": list(t.box_xyxy)} for t in chosen.triggers],
        "table": chosen.table,
    })  # fmt: skip
    return chosen


def _load(
    context: RunContext, case: Case, rows: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the rows whose picture can be read, and those rows."""
    frames, kept = np.empty((len(rows), side, side, 3), np.uint8), []
    for i, row in enumerate(rows):
        if i % LOAD_CHUNK == 0:
            context.progress(i, len(rows), "loading pictures")
            if context.should_stop():
                raise Stopped("Stopped while loading pictures.")
        try:
            frames[len(kept)] = case.pairs.picture(int(row), side)
            kept.append(int(row))
        except DataError:
            continue  # the scan lists bad pictures; nothing can be learned from them
    return frames[: len(kept)], np.array(kept, np.int64)


def _baseline(
    context: RunContext, measured: Measure, suspect: "OpenClipEncoder", total: int
) -> dict[str, Any]:
    """Measure the suspect as it is: step 0, journalled once even when the run is resumed."""
    before = measured.evaluate(suspect)
    if "asr" in before:
        before["working_attack"] = before["asr"] >= WORKING_ATTACK
    records, _ = context.run.journal()
    if not any(record.get("baseline") for record in records):
        context.journal(
            {"kind": "evaluation", "baseline": True, "step": 0, "total": total, **before}
        )
    return before


def _train(
    context: RunContext, work: _Work, settings: FineTuneSettings | SafeClipSettings
) -> "Outcome":
    from clipforensics.train.checkpoint import Checkpoints
    from clipforensics.train.loop import train

    folder = context.run.dir / "checkpoints"
    loop = LoopSettings(
        report_every=5, evaluate_every=settings.evaluate_every, evaluate_start=False
    )
    return train(
        work.model,
        work.data,
        work.recipe,
        settings,
        loop,
        evaluate=work.measure.evaluate,
        on_record=recorder(context),
        should_stop=context.should_stop,
        folder=folder,
        resume=Checkpoints(folder).can_resume,
    )


def recorder(context: RunContext) -> Any:
    """Journal every record, and stamp the status from it."""
    shown: dict[str, Any] = {}

    def record(line: Mapping[str, Any]) -> None:
        context.journal(line)
        shown.update({k: line[k] for k in ("phase", "loss", "ca", "asr", "psr") if k in line})
        figures = {k: shown[k] for k in ("loss", "ca", "asr", "psr") if k in shown}
        context.progress(line["step"], line["total"], shown.get("phase", "training"), **figures)

    return record


def _result(
    context: RunContext,
    repair: RepairSettings,
    before: dict[str, Any],
    outcome: "Outcome",
    work: _Work,
) -> dict[str, Any]:
    from clipforensics.models.weights import sha256_file

    after, path = outcome.evaluation, outcome.checkpoint
    figures = {
        f"{name}_{when}": figures.get(name)
        for when, figures in (("before", before), ("after", after))
        for name in ("ca", "ca_low", "ca_high", "asr", "asr_low", "asr_high", "base_rate",
                     "psr", "psr_low", "psr_high", "n_psr", "target_recall", "largest_label_share", "triggers")
    }  # fmt: skip
    return {
        "recipe": repair.recipe, "preset": repair.preset, **figures,
        "n": before.get("n_asr", before["n_ca"]), "n_ca": before["n_ca"], "n_asr": before.get("n_asr"),
        "asr_of": before.get("asr_of"), "test_of": work.measure.test_of,
        "working_attack": before.get("working_attack"), "stopped": outcome.stopped,
        "steps": outcome.step, "total": outcome.total,
        "checkpoint": _relative(path, context.run.dir),
        "checkpoint_sha256": sha256_file(path) if path else None,
        "composition": work.composition, "train_seconds": outcome.seconds,
        "pairs_per_second": outcome.pairs_per_second,
    }  # fmt: skip


def _relative(path: Path | None, folder: Path) -> str | None:
    return None if path is None else str(path.relative_to(folder))


def _cost(
    work: _Work, settings: FineTuneSettings | SafeClipSettings, seconds: float, pairs: int
) -> dict[str, float]:
    """The whole job's seconds as a multiple of a plain CLIP epoch, timed on the same machine now."""
    from clipforensics.train.pace import plain_epoch_seconds

    epoch = plain_epoch_seconds(work.model, work.data, settings, pairs)
    return {"plain_epoch_seconds": epoch, "cost_in_plain_epochs": seconds / epoch}
