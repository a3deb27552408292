"""CleanCLIP (Bansal et al., ICCV 2023): fine-tune on clean pairs, each modality against itself too.

The CLIP loss keeps picture and caption together; the loss inside each modality, between a picture
or caption and its augmented view, loosens what only the trigger tied together. Optimizer and
schedule start afresh: the released code loads the poisoned run's and skips its own warm-up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipforensics.config.recipes import CleanClipSettings
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.captions import CaptionViews
from clipforensics.repair.losses import clip_loss, in_modal_loss
from clipforensics.repair.passes import check_pool, hold_norms, pass_rate, pass_rows
from clipforensics.repair.views import Draws, augment
from clipforensics.train.recipe import Batch, Phase, TrainingData


class CleanClip:
    """The recipe; nothing is remembered, views come from (seed, pass, row)."""

    def __init__(
        self,
        captions: Sequence[str],
        encoder: OpenClipEncoder,
        data: TrainingData,
        settings: CleanClipSettings,
    ) -> None:
        """Plan the run.

        Args:
            captions: one per row of the data.
            encoder: gives the tokenizer.
            data: the clean pairs.
            settings: see the class.

        Raises:
            ConfigError: fewer pairs than one batch.
        """
        check_pool(len(data), settings.batch)
        self._settings, self.total = settings, settings.steps
        self._rate = pass_rate(settings)
        self._captions = CaptionViews(captions, encoder.tokenize)
        self._draws = Draws(len(data), settings.seed)

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One pass over the pool at a time, until the steps are used up."""
        s = self._settings
        rows = pass_rows(number, len(data), s.batch, s.steps, s.seed)
        return None if rows is None else Phase("cleanclip", rows, self._rate, "cleanclip", number)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """L_clip on plain pairs, and the weighted L_in against their second views.

        Both views of a modality go through its tower in one call. Caption views are drawn afresh
        in each pass; the released code draws one per caption for the whole run.
        """
        module, b = encoder.module, len(batch.rows)
        if self._settings.hold_norms:
            hold_norms(module)
        frames, tokens = self._second_views(batch)
        both = torch.cat([batch.frames, frames])
        seen = module.encode_image(encoder.normalize(both))  # pyright: ignore
        said = module.encode_text(torch.cat([batch.tokens, tokens]))  # pyright: ignore
        with torch.autocast(encoder.device.split(":")[0], enabled=False):
            seen, said = F.normalize(seen.float()), F.normalize(said.float())
            scale = module.logit_scale.exp()  # pyright: ignore
            inside = in_modal_loss(seen[:b], seen[b:], said[:b], said[b:], scale)
            return {
                "clip": clip_loss(seen[:b], said[:b], scale),
                "in_modal": self._settings.in_modal_weight * inside,
            }, {}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Nothing."""
        return {}, {}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Nothing."""

    def _second_views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        s, rows, phase = self._settings, batch.rows.numpy(), batch.phase
        draws = self._draws.of(rows, phase.epoch, phase.stream, 2)
        tokens = self._captions.tokens(rows, draws[:, -2:]).to(batch.tokens.device)
        if s.views == "autoaugment":
            return auto_augment(batch.frames, rows, s.seed, phase.epoch), tokens
        return augment(batch.frames, draws, False, s.smallest_crop, s.jitter), tokens


def auto_augment(frames: Tensor, rows: np.ndarray, seed: int, epoch: int) -> Tensor:
    """AutoAugment's ImageNet policy, as CleanCLIP uses it, each picture by its own draw.

    Args:
        frames: uint8 [b, side, side, 3].
        rows: int64 [b]; with `seed` and `epoch` they decide everything.
        seed: of the run.
        epoch: pass over the pool.
    """
    from torchvision.transforms import AutoAugment

    policy, out = AutoAugment(), torch.empty_like(frames, device="cpu")
    planes = frames.cpu().permute(0, 3, 1, 2)
    with torch.random.fork_rng(devices=[]):  # it draws from torch's generator and takes no other
        for i, row in enumerate(rows):
            draw = np.random.default_rng([seed, epoch, int(row), 61])
            torch.manual_seed(int(draw.integers(2**31)))
            out[i] = policy(planes[i]).permute(1, 2, 0)
    return out.to(frames.device)
