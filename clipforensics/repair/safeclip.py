"""SafeCLIP (Yang, Gao, Mirzasoleiman; ICML 2024): teach each tower alone, trust what then agrees.

Stage A: unimodal losses over all pairs, so that nothing ties pictures to words. Stage B: a short,
very slow CLIP pass. Stage C: every epoch scores all pairs by cosine, gives the agreeing, growing
safe set the CLIP loss and the rest the unimodal loss. Not the content filter "Safe-CLIP".
Our departures from the released code stand in the docstrings of what departs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipforensics.config.recipes import SafeClipSettings
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.captions import CaptionViews
from clipforensics.repair.losses import clip_loss, cross_loss, neighbour_loss
from clipforensics.repair.pool import Pool
from clipforensics.repair.scoring import alignment, embed_rows
from clipforensics.repair.split import first_size, fit_mixture, size_at, split
from clipforensics.repair.splitreport import doubts, safe_by_label, split_record, truth
from clipforensics.repair.start import check_rows, check_start
from clipforensics.repair.views import Draws, augment
from clipforensics.train.distributed import from_first
from clipforensics.train.recipe import Batch, Phase, TrainingData
from clipforensics.train.schedule import Rate, constant, cosine, warmup_steps

GUESSED_FIRST_SHARE = 0.3


class SafeClip:
    """The recipe; views, pools and the split are its memory."""

    def __init__(
        self,
        captions: Sequence[str],
        encoder: OpenClipEncoder,
        settings: SafeClipSettings,
        poisoned: np.ndarray | None = None,
        naming: LabelCounter | None = None,
    ) -> None:
        """Plan the run.

        Args:
            captions: one per row of the training data.
            encoder: gives tokenizer and width.
            settings: see the class.
            poisoned: bool [n], only for the journal's `truth`; never an input.
            naming: labels of the captions, only for the journal, too.

        Raises:
            ConfigError: fewer pairs than one batch, or the suspect as start.
        """
        check_start(settings.start, None, None)
        self._n, self._settings = len(captions), settings
        self._poisoned, self._naming = poisoned, naming
        check_rows(self._n, settings.batch)
        fresh = settings.start == "random"
        self._unimodal = settings.unimodal_epochs if fresh else 0
        self._slow = settings.slow_rates if fresh else ()
        self._captions = CaptionViews(captions, encoder.tokenize)
        self._draws = Draws(self._n, settings.seed)
        size = min(settings.pool, max(settings.batch, self._n // 4))  # or rows meet their own past
        self._pools = {"picture": Pool(size, encoder.dim), "text": Pool(size, encoder.dim)}
        self._first: int | None = None
        self._epoch, self._safe = -1, np.empty(0, np.int64)

    @property
    def total(self) -> int:
        """Steps of the run; before the first split by a guessed first share."""
        before = (self._unimodal + len(self._slow)) * (self._n // self._settings.batch)
        return before + sum(self._stream_totals())

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """A: phases 0 …, B: one per slow rate, C: risky then safe for each main epoch."""
        everyone = np.arange(self._n)
        if not len(self._pools["picture"]):
            self._fill_pools(encoder, data)
        if number < self._unimodal:
            steps = self._unimodal * (self._n // self._settings.batch)
            return Phase("A unimodal", everyone, self._curve(steps), "unimodal", number)
        number -= self._unimodal
        if number < len(self._slow):
            return Phase("B slow clip", everyone, constant(self._slow[number]), "slow", number)
        epoch, second = divmod(number - len(self._slow), 2)
        if epoch >= self._settings.main_epochs:
            return None
        report = self._split(epoch, encoder, data) if epoch != self._epoch else {}
        risky_steps, safe_steps = self._stream_totals()
        if second:
            return Phase("C safe", self._safe, self._curve(safe_steps), "safe", epoch)
        risky = np.setdiff1d(everyone, self._safe)
        return Phase("C risky", risky, self._curve(risky_steps), "risky", epoch, report)

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """L_uni in the streams `unimodal` and `risky`, the CLIP loss in `slow` and `safe`."""
        if batch.phase.stream in ("unimodal", "risky"):
            return self._unimodal_losses(encoder, batch)
        scale = encoder.module.logit_scale.exp()  # pyright: ignore
        first = self._encode(encoder, batch, 1)
        if not self._settings.both_views:
            with _full_precision(encoder):
                return {"clip": clip_loss(*first, scale)}, {}
        second = self._encode(encoder, batch, 2)
        with _full_precision(encoder):
            return {"cross": cross_loss(first[0], second[0], first[1], second[1], scale)}, {}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Pools, and this epoch's split, which a resumed run must not make afresh."""
        tensors: dict[str, Tensor] = {"safe": torch.from_numpy(self._safe)}
        values: dict[str, Any] = {"first": self._first, "epoch": self._epoch}
        for name, pool in self._pools.items():
            tensors[name], values[name] = pool.state()
        return tensors, values

    def load_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._safe = tensors["safe"].numpy()
        self._first, self._epoch = values["first"], values["epoch"]
        for name, pool in self._pools.items():
            pool.load_state(tensors[name], values[name])

    def _unimodal_losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        # view 1 only looks up neighbours: without gradient it costs a third
        with torch.no_grad():
            first = self._encode(encoder, batch, 1)
        second = self._encode(encoder, batch, 2)
        scale = encoder.module.logit_scale.exp()  # pyright: ignore
        losses, report = {}, {}
        with _full_precision(encoder):
            for (name, pool), one, two in zip(self._pools.items(), first, second, strict=True):
                neighbours, numbers = pool.nearest(one)
                losses[f"unimodal_{name}"] = neighbour_loss(two, neighbours, scale) / 2
                report[f"distinct_neighbours_{name}"] = len(numbers.unique()) / len(numbers)
                pool.write(one)
        return losses, report

    def _encode(self, encoder: OpenClipEncoder, batch: Batch, view: int) -> tuple[Tensor, Tensor]:
        rows, phase = batch.rows.numpy(), batch.phase
        draws = self._draws.of(rows, phase.epoch, phase.stream, view)
        s = self._settings
        frames = augment(batch.frames, draws, s.blur, s.smallest_crop, s.jitter)
        tokens = self._captions.tokens(rows, draws[:, -2:]).to(encoder.device)
        seen = encoder.module.encode_image(encoder.normalize(frames))  # pyright: ignore
        said = encoder.module.encode_text(tokens)  # pyright: ignore
        return F.normalize(seen.float()), F.normalize(said.float())

    def _fill_pools(self, encoder: OpenClipEncoder, data: TrainingData) -> None:
        """Fill the pools by a pass without gradient; the released code starts from noise."""
        size = self._pools["picture"].state()[0].shape[0]
        rng = np.random.default_rng([self._settings.seed, 17])
        rows = np.sort(rng.permutation(self._n)[:size])
        pictures, texts = embed_rows(encoder, data, rows, self._settings.batch)
        self._pools["picture"].fill(from_first(pictures))
        self._pools["text"].fill(from_first(texts))

    def _split(self, epoch: int, encoder: OpenClipEncoder, data: TrainingData) -> dict[str, Any]:
        s = self._settings
        cosines = alignment(encoder, data, s.batch)
        mixture = fit_mixture(cosines, s.seed)
        if self._first is None:
            self._first = first_size(mixture, self._n, s.first_low, s.first_high, s.first_share)
        before = self._safe
        self._safe, _ = split(cosines, size_at(epoch, self._first, self._n, s.growth, s.cap))
        self._epoch = epoch
        record = split_record(epoch, cosines, self._safe, before, mixture)
        record |= truth(self._poisoned, cosines, self._safe)
        record |= safe_by_label(self._naming, self._safe)
        return {"split": record | doubts(record, s)}

    def _stream_totals(self) -> tuple[int, int]:
        """Steps of the whole risky and safe stream."""
        s, first = self._settings, self._first or int(GUESSED_FIRST_SHARE * self._n)
        sizes = [size_at(e, first, self._n, s.growth, s.cap) for e in range(s.main_epochs)]
        risky = sum((self._n - size) // s.batch for size in sizes)
        return risky, sum(size // s.batch for size in sizes)

    def _curve(self, total: int) -> Rate:
        s = self._settings
        return cosine(s.rate, warmup_steps(total, s.warmup_share, s.warmup_steps), total)


def _full_precision(encoder: OpenClipEncoder) -> torch.autocast:
    return torch.autocast(encoder.device.split(":")[0], enabled=False)
