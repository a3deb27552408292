"""Plain CLIP training: the symmetric contrastive loss over all given rows."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from open_clip import ClipLoss
from torch.nn import functional as F

from clipforensics.config.train import TrainSettings
from clipforensics.errors import ConfigError
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.train.distributed import world
from clipforensics.train.recipe import Batch, Phase, TrainingData
from clipforensics.train.schedule import cosine


class PlainClip:
    """`open_clip.ClipLoss` on un-augmented pairs (Radford et al., 2021)."""

    def __init__(self, rows: np.ndarray, settings: TrainSettings) -> None:
        """Plan the run.

        Raises:
            ConfigError: there are fewer rows than one batch.
        """
        self._rows, self._settings = np.asarray(rows, np.int64), settings
        self.total = settings.epochs * (len(rows) // settings.batch)
        if self.total == 0:
            raise ConfigError(
                f"batch={settings.batch} needs at least as many pairs, got {len(rows):,}. "
                f"Lower the batch to {len(rows):,} or less."
            )
        self._rate = cosine(settings.rate, round(settings.warmup_share * self.total), self.total)
        here = world()
        self._loss = ClipLoss(
            local_loss=True, gather_with_grad=True, rank=here.rank, world_size=here.size
        )

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One phase is one epoch."""
        if number >= self._settings.epochs:
            return None
        return Phase("clip", self._rows, self._rate, "clip", number)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """The CLIP loss; logits in float32 whatever the towers ran in."""
        module = encoder.module
        pictures = module.encode_image(encoder.normalize(batch.frames))  # pyright: ignore
        texts = module.encode_text(batch.tokens)  # pyright: ignore
        with torch.autocast(encoder.device.split(":")[0], enabled=False):
            pictures, texts = F.normalize(pictures.float()), F.normalize(texts.float())
            with warnings.catch_warnings():  # open_clip gathers by torch.distributed.nn
                warnings.simplefilter("ignore", FutureWarning)
                loss = self._loss(pictures, texts, module.logit_scale.exp())  # pyright: ignore
            return {"clip": loss}, {}

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Nothing is remembered beyond the weights."""
        return {}, {}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Nothing to take back."""
