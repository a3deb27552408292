"""A repaired checkpoint as the suspect of a case of its own, so that it can be scanned anew."""

import shutil
from pathlib import Path
from typing import Any

from clipforensics.cases.case import Case
from clipforensics.config.repair import RECIPE_SETTINGS
from clipforensics.errors import CaseError, ForensicsError, RunError
from clipforensics.models.weights import sha256_file

NAME_LENGTH = 120


def adopt(case: Case, run: Any, checkpoint: Path, folder: Path) -> Case:
    """Make the case that asks the same question of the repaired model.

    Pairs, labels, trusted model, segmenter, truth and test set stay where they are; only the weights
    change. They are copied: a resumed run removes its older checkpoints. The new case names the old
    one as its parent, so that both can be compared (`jobs.repairing.rescanned`).

    Args:
        case: the case that was repaired.
        run: its repair run.
        checkpoint: one of the run's checkpoints.
        folder: of the new case; it must not exist.

    Raises:
        RunError: the run is no repair, or the checkpoint is not one of its own.
        CaseError: the folder is taken.
    """
    recipe = run.config.get("recipe")
    if recipe not in RECIPE_SETTINGS:
        raise RunError(f"Run {run.id} is no repair. Choose one that repaired this case.")
    if checkpoint not in run.checkpoints():
        raise RunError(
            f"{checkpoint.name} is no checkpoint of run {run.id}. Choose one of "
            f"{', '.join(path.name for path in run.checkpoints()) or 'none'}."
        )
    if folder.exists():
        raise CaseError(f"There is something at {folder} already. Choose another folder.")
    what = f"repaired by {recipe}, {sha256_file(checkpoint)[:8]}"
    name = f"{case.name[: NAME_LENGTH - len(what) - 2]}, {what}"
    weights = folder / "models" / f"{recipe}.safetensors"
    weights.parent.mkdir(parents=True)
    try:
        shutil.copyfile(checkpoint, weights)
        settings = case.settings.model_copy(
            update={
                "name": name,
                "weights": str(weights),
                "parent": str(case.dir),
                "repair_run": run.id,
            }  # fmt: skip
        )
        return Case.create(folder, settings)
    except (OSError, ForensicsError):
        shutil.rmtree(folder)  # nothing half-made stays
        raise
