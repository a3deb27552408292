"""The training loop: one straight line through phases, steps, evaluations and checkpoints."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipforensics.config.train import LoopSettings, OptimizerSettings
from clipforensics.errors import RunError
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.models.weights import sha256_state
from clipforensics.train.checkpoint import Checkpoints, check_complete
from clipforensics.train.complaints import check_weights, not_finite, too_large
from clipforensics.train.distributed import (
    agreed,
    average_gradients,
    mean_over_all,
    own_share,
    same_start,
    world,
)
from clipforensics.train.memory import fitting_batch, out_of_memory
from clipforensics.train.optimizer import adamw, clamp_scale, set_rate
from clipforensics.train.progress import Progress
from clipforensics.train.recipe import Batch, Phase, Recipe, TrainingData, order
from clipforensics.train.snapshot import packed, restore

Record = dict[str, Any]
DEFAULT_LOOP = LoopSettings()


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the last evaluation, where the weights are, and the seconds of its steps, of
    those before a resume, too."""

    step: int
    total: int
    stopped: bool
    evaluation: Record
    checkpoint: Path | None
    seconds: float
    pairs_per_second: float


def train(
    encoder: OpenClipEncoder,
    data: TrainingData,
    recipe: Recipe,
    optimizer_settings: OptimizerSettings,
    loop: LoopSettings = DEFAULT_LOOP,
    *,
    evaluate: Callable[[Any], Record] | None = None,
    on_record: Callable[[Record], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
    folder: Path | None = None,
    resume: bool = False,
) -> Outcome:
    """Train the encoder's module in place, with all processes that have joined (see `distributed`).

    Args:
        encoder: model, tokenizer and pixel scaling; left in evaluation mode, and with the
            fingerprint of its new weights.
        data: all pairs, in memory.
        recipe: phases and losses.
        optimizer_settings: AdamW, batch (shared by the processes), precision, seed.
        loop: intervals.
        evaluate: figures for the journal; called at step 0 (if asked), every
            `evaluate_every` steps, and at the end.
        on_record: receives every record: `{"kind": "loss" | "evaluation" | "phase", "step", …}`.
        should_stop: asked once a step.
        folder: where checkpoints go; None keeps none.
        resume: go on exactly from the folder's last checkpoint.

    Only the first of several processes evaluates, records and saves.

    Raises:
        NotFinite: a loss or a weight became NaN or infinite; the last good checkpoint is kept and named.
        RunError: the batch does not fit into the device's memory (the message names one that does),
            or the checkpoint to go on from is incomplete.
        ConfigError: the batch cannot be shared evenly.
    """
    return _Loop(
        encoder, data, recipe, optimizer_settings, loop, evaluate, on_record, should_stop, folder
    ).run(resume)


class _Loop:
    def __init__(
        self,
        encoder: OpenClipEncoder,
        data: TrainingData,
        recipe: Recipe,
        settings: OptimizerSettings,
        loop: LoopSettings,
        evaluate: Callable[[Any], Record] | None,
        on_record: Callable[[Record], None],
        should_stop: Callable[[], bool],
        folder: Path | None,
    ) -> None:
        self.encoder, self.data, self.recipe = encoder, data, recipe
        self.settings, self.loop = settings, loop
        self.evaluate, self.on_record, self.should_stop = evaluate, on_record, should_stop
        self.checkpoints = Checkpoints(folder, loop.keep) if folder else None
        self.world, self.own = world(), own_share(settings.batch)
        same_start(encoder.module)
        self.optimizer = adamw(encoder.module, settings)
        self.at = Progress()

    def run(self, resume: bool) -> Outcome:
        if self.checkpoints and self.world.rank == 0:
            self.checkpoints.clear_unfinished()
        if resume:
            self._resume()
        elif self.loop.evaluate_start:
            self._evaluate()
        stopped = False
        try:
            for batch in self._batches():
                if agreed(self.should_stop()):
                    stopped = True
                    break
                self._step(batch)
        finally:
            self.encoder.module.eval()
        return self._finish(stopped)

    def _batches(self) -> Iterator[Batch]:
        size = self.settings.batch
        while (phase := self._phase()) is not None:
            rows = order(phase.rows, self.settings.seed, phase.epoch, phase.stream)
            count = len(rows) // size
            for position in range(self.at.position, count):
                self.at.position = position
                first = position * size + self.world.rank * self.own
                picked = torch.from_numpy(rows[first : first + self.own])
                yield self._batch(picked, phase, position)
            self.at.phase, self.at.position = self.at.phase + 1, 0

    def _phase(self) -> Phase | None:
        self.encoder.module.eval()
        phase = self.recipe.phase(self.at.phase, self.encoder, self.data)
        if phase is not None:
            steps = len(phase.rows) // self.settings.batch
            self._record("phase", phase=phase.name, epoch=phase.epoch, steps=steps, **phase.report)
        self.encoder.module.train()
        return phase

    def _batch(self, rows: torch.Tensor, phase: Phase, position: int) -> Batch:
        device = self.encoder.device
        frames, tokens = self.data.frames[rows], self.data.tokens[rows]
        return Batch(rows, frames.to(device), tokens.to(device), phase, position)

    def _step(self, batch: Batch) -> None:
        started, phase = time.perf_counter(), batch.phase
        done = self.at.streams.get(phase.stream, 0)
        rate = phase.rate(done)
        set_rate(self.optimizer, rate)
        losses, report, norm = self._update(batch)
        self.at.stepped(phase.stream, self.settings.batch, time.perf_counter() - started)
        if self.at.step % self.loop.report_every == 0:
            figures = {**losses, **report, "loss": sum(losses.values()), "gradient_norm": norm}
            pace = self.at.pace(self.recipe.total, self.settings.batch)
            self._record("loss", phase=phase.name, lr=rate, **figures, **pace)
        if self.at.step % self.loop.evaluate_every == 0:
            check_weights(self.encoder.module, self.at)
            self._evaluate()
            self._save()

    def _update(self, batch: Batch) -> tuple[dict[str, float], dict[str, float], float]:
        try:
            return self._forward_and_back(batch)
        except (RuntimeError, MemoryError) as problem:
            if not out_of_memory(problem):
                raise
        # here and not above: while the exception lives, so do the tensors its frames hold
        fits = fitting_batch(self.encoder, self.recipe, batch, self.optimizer, self.world.size)
        raise too_large(self.settings.batch, self.encoder.device, fits, self.world.size, self.at)

    def _forward_and_back(self, batch: Batch) -> tuple[dict[str, float], dict[str, float], float]:
        module, device = self.encoder.module, self.encoder.device.split(":")[0]
        half = self.settings.precision == "bfloat16"
        with torch.autocast(device, torch.bfloat16, enabled=half):
            losses, report = self.recipe.losses(self.encoder, batch)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        average_gradients(module)
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), self.settings.clip_norm)
        values = mean_over_all({name: float(loss.detach()) for name, loss in losses.items()})
        report = mean_over_all(report)
        if not (math.isfinite(sum(values.values())) and math.isfinite(float(norm))):
            raise not_finite(values, float(norm), self.at)
        self.optimizer.step()
        clamp_scale(module)
        report = {**report, "logit_scale": float(module.logit_scale.detach().exp())}  # pyright: ignore
        return values, report, float(norm)

    def _evaluate(self) -> None:
        if self.evaluate is None or self.world.rank or self.at.evaluated_at == self.at.step:
            return
        self.encoder.module.eval()
        self.at.evaluation = self.evaluate(self.encoder)
        self.at.evaluated_at = self.at.step
        self._record("evaluation", **self.at.evaluation)
        self.encoder.module.train()

    def _save(self) -> None:
        if self.checkpoints is None or self.world.rank:
            return
        module = self.encoder.module
        # in this order: weights that nothing can go on from would stop a resumed run
        self.checkpoints.save_last(*packed(module, self.optimizer, self.recipe, self.at.place()))
        self.at.checkpoint = self.checkpoints.save_weights(self.at.step, module.state_dict())

    def _resume(self) -> None:
        if self.checkpoints is None:
            raise RunError("Resuming needs the folder of the run's checkpoints. Name it.")
        tensors, values = self.checkpoints.load_last()
        check_complete(tensors, values, self.checkpoints.folder)
        restore(tensors, values, self.encoder.module, self.optimizer, self.recipe)
        self.at.go_on_from(values)
        self.at.checkpoint = self.checkpoints.of_step(self.at.step)
        if self.at.checkpoint is None and not self.world.rank:  # killed between the two writes
            weights = self.encoder.module.state_dict()
            self.at.checkpoint = self.checkpoints.save_weights(self.at.step, weights)
        self._record("resume")

    def _record(self, kind: str, **figures: Any) -> None:
        if self.world.rank:
            return
        total = max(self.recipe.total, self.at.step)
        self.on_record({"kind": kind, "step": self.at.step, "total": total, **figures})

    def _finish(self, stopped: bool) -> Outcome:
        path = None
        check_weights(self.encoder.module, self.at)
        if stopped:
            self._save()
        elif self.checkpoints is not None and not self.world.rank:
            path = self.checkpoints.save_final(self.encoder.module.state_dict())
        self._evaluate()
        self.encoder.module.eval()
        self.encoder.fingerprint = sha256_state(self.encoder.module.state_dict())
        path = path or self.at.checkpoint
        total = max(self.recipe.total, self.at.step)
        return Outcome(
            self.at.step,
            total,
            stopped,
            self.at.evaluation,
            path,
            self.at.all_seconds,
            self.at.pairs_per_second,
        )
