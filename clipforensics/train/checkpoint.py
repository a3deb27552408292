"""Checkpoints of a run: weights for everyone, and all it takes to go on exactly."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from clipforensics.data.images import write_bytes
from clipforensics.errors import ModelError, RunError
from clipforensics.models.weights import load_state, save_state
from clipforensics.train.progress import PLACE

FINAL = "final.safetensors"
LAST = "last"
RESUME = "resume"


class Checkpoints:
    """A folder with `step-000123.safetensors`, weights that open_clip loads, and `resume/`, which
    holds the optimizer too and is no checkpoint anybody else should open."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self._keep = folder, keep
        self._resume = folder / RESUME

    @property
    def can_resume(self) -> bool:
        """Is there something to go on from?

        Raises:
            RunError: there was: weights are kept, and not what it takes to go on from them.
        """
        found = (self._resume / f"{LAST}.json").is_file()
        if not found and any(self.folder.glob("step-*.safetensors")):
            raise RunError(
                f"{self.folder} keeps checkpoints, but {RESUME}/{LAST}.json is gone, so the run cannot go on "
                "exactly. Start a new run, or restore the folder."
            )
        return found

    def clear_unfinished(self) -> None:
        """Remove what a process that was killed while it saved has left; none may be saving now."""
        for folder in (self.folder, self._resume):
            for kind in ("safetensors", "json"):
                for left in folder.glob(f".*.{kind}.*"):
                    left.unlink()

    def save_weights(self, step: int, weights: dict[str, torch.Tensor]) -> Path:
        """Write one checkpoint, then remove all but the newest."""
        path = self._path(step)
        save_state(path, weights)
        for old in sorted(self.folder.glob("step-*.safetensors"))[: -self._keep]:
            old.unlink()
        return path

    def of_step(self, step: int) -> Path | None:
        """The checkpoint of a step; None where it is gone."""
        path = self._path(step)
        return path if path.is_file() else None

    def save_final(self, weights: dict[str, torch.Tensor]) -> Path:
        """Write the weights the run ends with."""
        save_state(self.folder / FINAL, weights)
        return self.folder / FINAL

    def save_last(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Write everything a resumed run needs; the values name their tensors by step."""
        step = values["step"]
        path = self._resume / f"{LAST}-{step:06d}.safetensors"
        save_state(path, tensors)
        content = {**values, "tensors": path.name}
        write_bytes(self._resume / f"{LAST}.json", json.dumps(content).encode())
        for old in self._resume.glob(f"{LAST}-*.safetensors"):
            if old.name != path.name:
                old.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}.safetensors"

    def load_last(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Read what `save_last` wrote.

        Raises:
            RunError: there is no complete checkpoint to go on from.
        """
        try:
            values = json.loads((self._resume / f"{LAST}.json").read_text())
            path = self._resume / Path(values["tensors"]).name
        except (OSError, ValueError, KeyError, TypeError):
            raise RunError(
                f"{self.folder} holds no checkpoint to resume from. Start a new run."
            ) from None
        try:
            return load_state(path), values
        except ModelError:
            raise RunError(
                f"The checkpoint to go on from, {path}, is missing or damaged, so the run cannot go on "
                "exactly. Start a new run, or restore the file."
            ) from None


def check_complete(
    packed: Mapping[str, torch.Tensor], values: Mapping[str, Any], folder: Path
) -> None:
    """Refuse to go on without all that was saved: a fresh optimizer would make another run of it.

    Raises:
        RunError: tensors or values are missing; which, and what to do.
    """
    lost = [name for name in (*PLACE, "recipe", "names") if name not in values]
    if not lost and isinstance(values["names"], list):
        lost = [str(name) for name in values["names"] if name not in packed]
    if not lost:
        return
    kinds = {name.split("/", 1)[0] for name in lost}
    what = "the optimizer's state" if kinds == {"moments"} else f"{lost[0]!r}"
    raise RunError(
        f"The checkpoint in {folder} lacks {what} ({len(lost):,} of its entries), so the run cannot go on "
        "exactly. Start a new run, or restore the folder."
    )
