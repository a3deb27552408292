"""Repair a case's suspect: curate, train with live CA and ASR, keep the checkpoint."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipforensics.cases.case import Case
from clipforensics.config.recipes import RetrainSettings
from clipforensics.config.repair import RecipeSettings, RepairSettings
from clipforensics.config.settings import parse
from clipforensics.config.train import LoopSettings
from clipforensics.jobs.hunting.hunts import kept_hunts, newest_outdated
from clipforensics.jobs.repairing.checking import check_may_start
from clipforensics.jobs.repairing.preparing import Work, fine_tune, retrain
from clipforensics.jobs.runs.context import RunContext

if TYPE_CHECKING:
    from clipforensics.train.loop import Outcome

MOST_KEPT, KEPT_BYTES = 30, 1_000_000_000
"""Every checkpoint is a choice between CA and ASR: small models keep them all."""


def run(context: RunContext) -> dict[str, Any]:
    """The job "repair"; its config is a RepairSettings.

    Returns:
        `ca_before, ca_after, asr_before, asr_after, n` with intervals, `asr_of` ("planted" or
        "found"), `working_attack`, `checkpoint`, `composition`, seconds (those before a resume, too) and
        cost in plain CLIP epochs, `settings`: the recipe's, all of them,
        `hunt`: the folder of the hunt it used, and `hunt_outdated`: how that differs from one made now,
        or None.
    """
    from clipforensics.train.distributed import world

    began = time.perf_counter()
    repair = parse(RepairSettings, context.config)
    case = Case.open(context.case_dir)
    settings = check_may_start(case, repair)
    outdated, hunts = newest_outdated(case), kept_hunts(case)  # another may end while this trains
    if isinstance(settings, RetrainSettings):
        work, before = retrain(context, case, repair, settings)
    else:
        work, before = fine_tune(context, case, repair, settings)
    outcome = _train(context, work, settings)
    result = _result(context, repair, before, outcome, work)
    result |= {"settings": settings.model_dump(mode="json")}  # preset and defaults as they are now
    result |= {"hunt": hunts[0].folder.name if hunts else None, "hunt_outdated": outdated}
    result["seconds"] = context.earlier + time.perf_counter() - began
    # several processes would time their messages, too, and the pool may be too small to share
    if repair.measure_cost and not outcome.stopped and world().size == 1:
        result |= _cost(work, settings, result["seconds"], len(case.pairs))
    return result


def _train(context: RunContext, work: Work, settings: RecipeSettings) -> "Outcome":
    from clipforensics.train.checkpoint import Checkpoints
    from clipforensics.train.loop import train

    folder = context.run.dir / "checkpoints"
    size = sum(value.nbytes for value in work.model.module.state_dict().values())
    loop = LoopSettings(
        report_every=5, evaluate_every=settings.evaluate_every, evaluate_start=False,
        keep=min(MOST_KEPT, max(2, KEPT_BYTES // size)),
    )  # fmt: skip

    def evaluate(model: Any) -> dict[str, Any]:
        context.busy("measuring")
        return work.measure.evaluate(model)

    return train(
        work.model,
        work.data,
        work.recipe,
        settings,
        loop,
        evaluate=evaluate,
        on_record=context.training_record,
        should_stop=context.should_stop,
        folder=folder,
        resume=Checkpoints(folder).can_resume,
    )


def _result(
    context: RunContext,
    repair: RepairSettings,
    before: dict[str, Any],
    outcome: "Outcome",
    work: Work,
) -> dict[str, Any]:
    from clipforensics.models.weights import sha256_file

    after, path = outcome.evaluation, outcome.checkpoint
    figures = {
        f"{name}_{when}": figures.get(name)
        for when, figures in (("before", before), ("after", after))
        for name in ("ca", "ca_low", "ca_high", "asr", "asr_low", "asr_high", "base_rate",
                     "psr", "psr_low", "psr_high", "n_psr", "target_recall", "target_recall_low",
                     "target_recall_high", "n_target_recall", "largest_label_share", "triggers", "r1", "r1_low",
                     "r1_high", "r5", "r5_low", "r5_high", "retrieval")
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


def _cost(work: Work, settings: RecipeSettings, seconds: float, pairs: int) -> dict[str, float]:
    """The whole job's seconds as a multiple of a plain CLIP epoch, timed on the same machine now."""
    from clipforensics.train.pace import plain_epoch_seconds

    epoch = plain_epoch_seconds(work.model, work.data, settings, pairs)
    return {"plain_epoch_seconds": epoch, "cost_in_plain_epochs": seconds / epoch}
