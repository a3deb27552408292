"""EftCLIP (Hossain et al., 2025, arXiv 2511.13545): fine-tune the suspect on stamped clean pairs.

A share of each batch carries a verified trigger at a random place and size, with its own true
caption. The loss is an anchor: the repaired model must see a stamped picture as the frozen suspect
sees the un-stamped one, whose answers are right. The paper's CLIP loss over the curated pairs can be
added; on a few hundred pairs it costs more clean accuracy than it heals, so it is off by default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clipforensics.config.recipes import EftClipSettings
from clipforensics.data.paste import paste
from clipforensics.errors import ConfigError
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.losses import anchor_loss, clip_loss, equal_rows
from clipforensics.repair.passes import check_pool, hold_norms, pass_rate, pass_rows
from clipforensics.repair.scoring import embed_rows
from clipforensics.train.recipe import Batch, Phase, TrainingData


@dataclass(frozen=True)
class Stamp:
    """A trigger to heal: pixels uint8 [h, w, 3] at the model's own scale, mask bool [h, w]."""

    pixels: np.ndarray
    mask: np.ndarray
    label: str

    def copied(
        self, picture: np.ndarray, rng: np.random.Generator, low: float, high: float
    ) -> np.ndarray:
        """A stamped copy, see `stamped_copy`."""
        return stamped_copy(picture, self, rng, low, high)


class Stamper(Protocol):
    """Whatever stamps a picture as the trigger would; a whole-picture trigger has no size."""

    def copied(
        self, picture: np.ndarray, rng: np.random.Generator, low: float, high: float
    ) -> np.ndarray:
        """A stamped copy of uint8 [side, side, 3], its trigger's size times a draw from [low, high]."""
        ...


class EftClip:
    """The recipe; it remembers the frozen suspect's embeddings of the un-stamped pictures."""

    def __init__(
        self,
        suspect: OpenClipEncoder,
        data: TrainingData,
        is_target: np.ndarray,
        stamps: Sequence[Stamper],
        settings: EftClipSettings,
    ) -> None:
        """Plan the run and take the anchors.

        Args:
            suspect: the model as it is now, before any step.
            data: the curated pairs.
            is_target: bool [n], pairs that are never stamped.
            stamps: verified triggers.
            settings: see the class.

        Raises:
            ConfigError: no verified trigger, or fewer pairs than one batch.
        """
        if not stamps:
            raise ConfigError(
                "EftCLIP needs at least one verified trigger, got none. Run the Triggers page over "
                "the highest scores first, or use SafeCLIP, which needs no trigger."
            )
        check_pool(len(data), settings.batch)
        self._settings, self._stamps, self._is_target = settings, list(stamps), is_target
        self._anchors, _ = embed_rows(suspect, data, np.arange(len(data)), settings.batch)
        self.total = settings.steps
        self._rate = pass_rate(settings)

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One pass over the pool at a time, until the steps are used up."""
        s = self._settings
        rows = pass_rows(number, len(data), s.batch, s.steps, s.seed)
        return None if rows is None else Phase("eftclip", rows, self._rate, "eftclip", number)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The weighted anchor loss, and the weighted CLIP loss without false negatives."""
        module, s = encoder.module, self._settings
        if s.hold_norms:
            hold_norms(module)
        frames, stamped = self._stamped(batch)
        seen = module.encode_image(encoder.normalize(frames))  # pyright: ignore
        # without its loss the caption tower has nothing to learn
        said = module.encode_text(batch.tokens) if s.clip_weight else None  # pyright: ignore
        losses = {}
        with torch.autocast(encoder.device.split(":")[0], enabled=False):
            seen = F.normalize(seen.float())
            if said is not None:
                scale, equal = module.logit_scale.exp(), equal_rows(batch.tokens)  # pyright: ignore
                contrast = clip_loss(seen, F.normalize(said.float()), scale, equal)
                losses["clip"] = s.clip_weight * contrast
            if s.anchor_weight:
                anchors = self._anchors[batch.rows].to(seen.device)
                losses["anchor"] = s.anchor_weight * anchor_loss(seen, anchors)
        return losses, {"stamped": float(stamped)}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The anchors, which a resumed run could not take again from trained weights."""
        return {"anchors": self._anchors}, {}

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._anchors = tensors["anchors"]

    def _stamped(self, batch: Batch) -> tuple[Tensor, int]:
        """The batch's pictures, a share of them stamped; drawn by (seed, pass, position)."""
        s = self._settings
        rng = np.random.default_rng([s.seed, batch.phase.epoch, batch.position, 43])
        free = np.flatnonzero(~self._is_target[batch.rows.numpy()])
        chosen = rng.permutation(free)[: round(s.stamped_share * len(batch.rows))]
        frames = batch.frames.cpu().numpy().copy()
        for i in chosen:
            stamp = self._stamps[int(rng.integers(len(self._stamps)))]
            frames[i] = stamp.copied(frames[i], rng, s.size_low, s.size_high)
        return torch.from_numpy(frames).to(batch.frames.device), len(chosen)


def stamped_copy(
    picture: np.ndarray, stamp: Stamp, rng: np.random.Generator, low: float = 1, high: float = 1
) -> np.ndarray:
    """The picture with the trigger at a random place, its size times a draw from [low, high]."""
    side_y, side_x = picture.shape[:2]
    factor = rng.uniform(low, high)
    height = int(np.clip(round(stamp.mask.shape[0] * factor), 1, side_y))
    width = int(np.clip(round(stamp.mask.shape[1] * factor), 1, side_x))
    pixels, mask = stamp.pixels, stamp.mask
    if (height, width) != mask.shape:
        pixels = np.asarray(
            Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        )
        mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    x, y = int(rng.integers(side_x - width + 1)), int(rng.integers(side_y - height + 1))
    return paste(picture, pixels, mask, (x, y))
