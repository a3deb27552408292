"""RoCLIP (Yang et al., NeurIPS 2023): pre-training in which captions are often swapped.

In every second epoch a picture meets, instead of its own caption, the nearest caption embedding in
a pool of recent ones, so that a poisoned caption rarely meets its picture; the other epochs use the
CLIP loss. Where we depart: the released code writes the pool only in pool epochs, so that it starts
random or an epoch stale, and lets the cosine run past its end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipforensics.config.recipes import RoClipSettings
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.captions import CaptionViews
from clipforensics.repair.losses import clip_loss, pool_loss
from clipforensics.repair.pool import Pool
from clipforensics.repair.start import check_rows, check_start
from clipforensics.repair.views import Draws, augment
from clipforensics.train.recipe import Batch, Phase, TrainingData
from clipforensics.train.schedule import cosine, warmup_steps


class RoClip:
    """The recipe; it remembers the pool of caption embeddings."""

    def __init__(
        self, captions: Sequence[str], encoder: OpenClipEncoder, settings: RoClipSettings
    ) -> None:
        """Plan the run.

        Args:
            captions: one per row of the training data.
            encoder: gives tokenizer and width.
            settings: see the class.

        Raises:
            ConfigError: fewer pairs than one batch, or the suspect as start.
        """
        check_start(settings.start, None, None)
        check_rows(len(captions), settings.batch)
        self._n, self._settings = len(captions), settings
        self.total = settings.epochs * (self._n // settings.batch)
        warmup = warmup_steps(self.total, settings.warmup_share, settings.warmup_steps)
        self._rate = cosine(settings.rate, warmup, self.total)
        self._captions = CaptionViews(captions, encoder.tokenize)
        self._draws = Draws(self._n, settings.seed)
        size = min(settings.pool, max(settings.batch, self._n // 4))  # or rows meet their own past
        self._pool = Pool(size, encoder.dim)

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One phase is one epoch; counted from 1, every `pool_every`-th is a pool epoch."""
        if number >= self._settings.epochs:
            return None
        pooled = (number + 1) % self._settings.pool_every == 0
        name = "pool" if pooled else "own captions"
        return Phase(name, np.arange(self._n), self._rate, "roclip", number)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """L_ro in pool epochs, else L_clip; one augmented view of each. The pool is read, then written."""
        pooled, module = batch.phase.name == "pool", encoder.module
        frames, tokens = self._views(encoder, batch)
        seen = module.encode_image(encoder.normalize(frames))  # pyright: ignore
        with torch.set_grad_enabled(not pooled and torch.is_grad_enabled()):
            said = module.encode_text(tokens)  # pyright: ignore
        with torch.autocast(encoder.device.split(":")[0], enabled=False):
            seen, said = F.normalize(seen.float()), F.normalize(said.float())
            scale, report = module.logit_scale.exp(), {}  # pyright: ignore
            if pooled:
                found, numbers = self._pool.nearest(seen)
                losses = {"pool": pool_loss(seen, found, scale)}
                report["distinct_neighbours"] = len(numbers.unique()) / len(numbers)
            else:
                losses = {"clip": clip_loss(seen, said, scale)}
            self._pool.write(said)
        return losses, report

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The pool."""
        rows, pointers = self._pool.state()
        return {"pool": rows}, {"pool": pointers}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._pool.load_state(tensors["pool"], values["pool"])

    def _views(self, encoder: OpenClipEncoder, batch: Batch) -> tuple[Tensor, Tensor]:
        s, rows, phase = self._settings, batch.rows.numpy(), batch.phase
        draws = self._draws.of(rows, phase.epoch, phase.stream, 1)
        tokens = self._captions.tokens(rows, draws[:, -2:]).to(encoder.device)
        return augment(batch.frames, draws, s.blur, s.smallest_crop, s.jitter), tokens
