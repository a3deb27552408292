"""What a repair needs before its first step: model, pairs, recipe, test set, the figures before."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import write_json
from clipforensics.config.attack import WORKING_ATTACK
from clipforensics.config.recipes import (
    CleanClipSettings,
    EftClipSettings,
    FilterSettings,
    FineTuneSettings,
    RetrainSettings,
    RoClipSettings,
    SafeClipSettings,
)
from clipforensics.config.repair import RepairSettings
from clipforensics.errors import CaseError, DataError
from clipforensics.jobs.repairing.checking import check_room
from clipforensics.jobs.repairing.curating import CuratedSet, curated_set, triggers_to_heal
from clipforensics.jobs.repairing.filtering import filtered_rows, used_pairs
from clipforensics.jobs.repairing.lineage import CURATED
from clipforensics.jobs.repairing.measuring import FOUND_SHOWN, Measure, measure, retrieval_rows
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.scan import embed
from clipforensics.oracle.bank import Trigger

if TYPE_CHECKING:
    from clipforensics.models.clip import OpenClipEncoder
    from clipforensics.train.recipe import Recipe, TrainingData

HELD_OUT, TESTED = "held_out.json", "tested.json"
CHANGED = (
    "The picks changed since this run began, or the triggers did, so it cannot go on exactly. Start a "
    "new run."
)
LOAD_CHUNK = 256


@dataclass
class Work:
    """One run's ingredients."""

    model: "OpenClipEncoder"
    data: "TrainingData"
    recipe: "Recipe"
    measure: Measure
    composition: list[dict[str, Any]]


def fine_tune(
    context: RunContext, case: Case, repair: RepairSettings, settings: FineTuneSettings
) -> tuple[Work, dict[str, Any]]:
    """EftCLIP, CleanCLIP or their control, on a small clean pool.

    Returns:
        The ingredients, and the suspect's own figures.

    Raises:
        ConfigError: no verified trigger (EftCLIP), or fewer clean pairs than one batch.
    """
    import torch

    from clipforensics.repair.passes import check_pool
    from clipforensics.train.recipe import TrainingData

    embed(case, context.progress, context.should_stop, repair.device)
    context.progress(0, 0, "choosing clean pairs")
    chosen = _curated_once(context, case, settings)
    suspect = case.suspect(repair.device)
    rows = chosen.pairs.rows
    check_pool(len(rows), settings.batch)  # before the suspect is measured: that takes longer
    frames = case.pairs.frames(rows, suspect.side)
    captions = [case.pairs.captions[row] for row in rows]
    data = TrainingData(torch.from_numpy(frames), suspect.tokenize(captions))
    context.progress(0, 0, "stamping test pictures")
    held_out = _held_out_once(context, case, rows, repair.retrieval_pairs)
    measured = measure(case, chosen.triggers, suspect.side, repair.test_pictures, rows, held_out)
    _tested_once(context, case, measured, chosen.triggers)
    before = _baseline(context, measured, suspect, settings.steps)
    recipe = _tuning_recipe(settings, suspect, data, captions, chosen)
    context.journal(
        {"kind": "curated", "step": 0, "table": chosen.table, "affected": chosen.affected}
    )
    return Work(suspect, data, recipe, measured, chosen.table), before


def _tuning_recipe(
    settings: FineTuneSettings,
    suspect: "OpenClipEncoder",
    data: "TrainingData",
    captions: list[str],
    chosen: CuratedSet,
) -> "Recipe":
    from clipforensics.repair.cleanclip import CleanClip
    from clipforensics.repair.eftclip import EftClip, Stamp
    from clipforensics.repair.finetune import FineTune

    if isinstance(settings, EftClipSettings):
        stamps = [Stamp(t.pixels, t.mask, t.label) for t in chosen.triggers]
        return EftClip(suspect, data, chosen.pairs.is_target, stamps, settings)
    if isinstance(settings, CleanClipSettings):
        return CleanClip(captions, suspect, data, settings)
    return FineTune(data, settings)


def retrain(
    context: RunContext, case: Case, repair: RepairSettings, settings: RetrainSettings
) -> tuple[Work, dict[str, Any]]:
    """SafeCLIP, RoCLIP or filter-then-retrain, on the suspect pairs.

    Returns:
        The ingredients, and the suspect's own figures.

    Raises:
        ConfigError: the suspect as start, or fewer pairs than one batch.
    """
    import torch

    from clipforensics.repair.start import check_start
    from clipforensics.train.recipe import TrainingData

    check_start(settings.start, None, None)
    suspect = case.suspect(repair.device)
    model = _start(case, repair, settings)
    check_start(settings.start, model.fingerprint, suspect.fingerprint)
    nothing = np.empty(0, np.int64)
    held_out = _held_out_once(context, case, nothing, repair.retrieval_pairs)
    triggers = triggers_to_heal(case)
    measured = measure(case, triggers, suspect.side, repair.test_pictures, nothing, held_out)
    _tested_once(context, case, measured, triggers)
    before = _baseline(context, measured, suspect, 1)
    rows, report = np.setdiff1d(np.arange(len(case.pairs)), measured.held_out), {}
    if isinstance(settings, FilterSettings):
        embed(case, context.progress, context.should_stop, repair.device)
        rows, report = filtered_rows(case, rows, settings)
    frames, rows = _load(context, case, rows, model.side)
    captions = [case.pairs.captions[row] for row in rows]
    data = TrainingData(torch.from_numpy(frames), model.tokenize(captions))
    recipe = _retraining_recipe(case, rows, settings, model, report)
    used = used_pairs(len(rows), len(case.pairs), report)
    return Work(model, data, recipe, measured, used), before


def _retraining_recipe(
    case: Case,
    rows: np.ndarray,
    settings: RetrainSettings,
    model: "OpenClipEncoder",
    report: dict[str, Any],
) -> "Recipe":
    from clipforensics.repair.bylabel import LabelCounter
    from clipforensics.repair.filter import FilterRetrain
    from clipforensics.repair.roclip import RoClip
    from clipforensics.repair.safeclip import SafeClip

    captions = [case.pairs.captions[row] for row in rows]
    if isinstance(settings, FilterSettings):
        return FilterRetrain(len(captions), settings, report)
    if isinstance(settings, RoClipSettings):
        return RoClip(captions, model, settings)
    assert isinstance(settings, SafeClipSettings)
    # truth and labels are only told in the journal; a run ends alike without them
    poisoned = None
    if case.truth is not None:
        poisoned = np.array([case.pairs.ids[row] in case.truth.poisoned for row in rows], bool)
    named = [[case.labels.index(name) for name in case.labels.named_in(text)] for text in captions]
    naming = LabelCounter(named, case.labels.names)
    return SafeClip(captions, model, settings, poisoned, naming)


def _start(case: Case, repair: RepairSettings, settings: RetrainSettings) -> "OpenClipEncoder":
    if settings.start == "trusted":
        return case.trusted(repair.device)
    from clipforensics.models.clip import new_clip

    return new_clip(case.settings.model, settings.model_seed, repair.device)


def _curated_once(context: RunContext, case: Case, settings: FineTuneSettings) -> CuratedSet:
    """Choose, write down, and keep to it: a resumed run must not choose afresh."""
    chosen, path = curated_set(case, settings), context.run.dir / CURATED
    ids = [case.pairs.ids[row] for row in chosen.pairs.rows]
    content = {
        "ids": ids, "retention": len(chosen.pairs.retention), "affected": chosen.affected,
        "triggers": _known_by(chosen.triggers), "table": chosen.table,
    }  # fmt: skip
    _same_or_written(path, content, ("ids", "triggers"))
    return chosen


def _known_by(triggers: list[Trigger]) -> list[dict[str, Any]]:
    """What makes a trigger this one: where it was found, its label, its pixels."""
    return [
        {
            "pair": one.pair, "label": one.label, "box": list(one.box_xyxy),
            "sha256": hashlib.sha256(one.pixels.tobytes() + one.mask.tobytes()).hexdigest(),
        }
        for one in triggers
    ]  # fmt: skip


def _same_or_written(path: Path, content: dict[str, Any], fields: tuple[str, ...]) -> None:
    """Write what a run began with; refuse to go on where these fields are others now."""
    if not path.exists():
        write_json(path, content)
        return
    began = json.loads(path.read_text())
    if any(began.get(name, content[name]) != content[name] for name in fields):
        raise CaseError(CHANGED)


def _held_out_once(context: RunContext, case: Case, used: np.ndarray, count: int) -> np.ndarray:
    """Rows for retrieval: drawn, written down, and kept to when the run is resumed."""
    path = context.run.dir / HELD_OUT
    if not path.exists():
        drawn = retrieval_rows(case, used, count)
        write_json(path, {"ids": [case.pairs.ids[row] for row in drawn]})
        return drawn
    row_of = {name: row for row, name in enumerate(case.pairs.ids)}
    return np.array([row_of[name] for name in json.loads(path.read_text())["ids"]], np.int64)


def _tested_once(
    context: RunContext, case: Case, measured: Measure, triggers: list[Trigger]
) -> None:
    """A resumed run must be measured on, and kept from, the same pairs as before, by the same triggers."""
    content = {
        "ids": [case.pairs.ids[row] for row in measured.held_out],
        "triggers": _known_by(triggers[:FOUND_SHOWN]),
    }
    _same_or_written(context.run.dir / TESTED, content, ("ids", "triggers"))


def _load(
    context: RunContext, case: Case, rows: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the rows whose picture can be read, and those rows."""
    check_room(len(rows), side)
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
    context.busy("measuring the suspect")
    before = measured.evaluate(suspect)
    if "asr" in before:
        before["working_attack"] = before["asr"] >= WORKING_ATTACK
    records, _ = context.run.journal()
    if not any(record.get("baseline") for record in records):
        context.journal(
            {"kind": "evaluation", "baseline": True, "step": 0, "total": total, **before}
        )
    return before
