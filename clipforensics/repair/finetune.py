"""The control: plain CLIP fine-tuning on the same clean pairs, nothing stamped.

A repair counts only if it beats this row at equal pairs, steps and rate.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clipforensics.config.recipes import FineTuneSettings
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.losses import clip_loss
from clipforensics.repair.passes import check_pool, hold_norms, pass_rate, pass_rows
from clipforensics.train.recipe import Batch, Phase, TrainingData


class FineTune:
    """The recipe; nothing is remembered."""

    def __init__(self, data: TrainingData, settings: FineTuneSettings) -> None:
        """Plan the run.

        Raises:
            ConfigError: fewer pairs than one batch.
        """
        check_pool(len(data), settings.batch)
        self._settings, self.total = settings, settings.steps
        self._rate = pass_rate(settings)

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One pass over the pool at a time, until the steps are used up."""
        s = self._settings
        rows = pass_rows(number, len(data), s.batch, s.steps, s.seed)
        return None if rows is None else Phase("finetune", rows, self._rate, "finetune", number)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """L_clip."""
        module = encoder.module
        if self._settings.hold_norms:
            hold_norms(module)
        seen = module.encode_image(encoder.normalize(batch.frames))  # pyright: ignore
        said = module.encode_text(batch.tokens)  # pyright: ignore
        with torch.autocast(encoder.device.split(":")[0], enabled=False):
            seen, said = F.normalize(seen.float()), F.normalize(said.float())
            return {"clip": clip_loss(seen, said, module.logit_scale.exp())}, {}  # pyright: ignore

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Nothing."""
