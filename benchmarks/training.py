"""How fast the training loop is, as a ratio to what was timed in the same run.

- *loop*: `train` with a recipe, against a bare loop over the same model and batches: normalize, both
  towers, `open_clip.ClipLoss`, backward pass, clipping, AdamW, and nothing else. Goal: >= 0.9.
- *SafeCLIP*: a main epoch with its scoring and split, against a CLIP epoch over the same pairs at
  the same batch, at a small and at the largest safe share. Goal: <= 2.2.

Demo-world scenes in memory; rounds take turns, so that a busy machine slows both alike.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from _record import arguments, publish, spread
from open_clip import ClipLoss
from torch.nn import functional as F

from clipforensics.config.recipes import FineTuneSettings, SafeClipSettings
from clipforensics.config.train import LoopSettings, OptimizerSettings, TrainSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.data.demo_world import DemoWorld
from clipforensics.models.clip import OpenClipEncoder, new_clip
from clipforensics.repair.finetune import FineTune
from clipforensics.repair.safeclip import SafeClip
from clipforensics.train.loop import train
from clipforensics.train.optimizer import adamw, clamp_scale
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import Recipe, TrainingData, order

SHARES = (0.3, 0.85)


def main() -> None:
    """Loop against bare loop, then SafeCLIP against CLIP."""
    asked = arguments(__doc__ or "", pairs=4096, batch=256, rounds=3, device="auto")
    world = DemoWorld(0, asked.pairs, 1)
    captions = list(world.captions)
    frames = torch.from_numpy(np.stack([world.picture(row) for row in range(asked.pairs)]))
    data = TrainingData(frames, fresh(asked.device).tokenize(captions))
    rows = [loop_row(name, data, asked) for name in ("clip", "finetune")]
    rows += [epoch_row(share, captions, data, asked) for share in SHARES]
    publish("training", rows, asked, pairs=asked.pairs, batch=asked.batch,
            device=fresh(asked.device).device, threads=torch.get_num_threads())  # fmt: skip


def fresh(device: str) -> OpenClipEncoder:
    """The demo's model with random weights."""
    return new_clip(str(DEMO_MODEL), 0, device)


def loop_row(name: str, data: TrainingData, asked) -> dict:
    """Pairs per second of the loop and of the bare one, round by round; round 0 warms up."""
    settings = TrainSettings(batch=asked.batch, epochs=1)
    steps = len(data) // asked.batch
    tuning = FineTuneSettings(batch=asked.batch, steps=steps, rate=settings.rate)
    ours, bare = [], []
    for turn in range(asked.rounds + 1):
        made: Recipe = (
            PlainClip(np.arange(len(data)), settings) if name == "clip" else FineTune(data, tuning)
        )
        of_loop = seconds(lambda made=made: looped(made, data, settings, asked.device))
        of_bare = bare_seconds(data, settings, asked.device)
        if turn:
            ours.append(steps * asked.batch / of_loop)
            bare.append(steps * asked.batch / of_bare)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {
        "what": f"{name} loop / bare loop", "pairs/s": spread(ours), "pairs/s beside": spread(bare),
        "ratio": spread(ratios), "median": float(np.median(ratios)), "goal": ">= 0.9",
    }  # fmt: skip


def seconds(work: Callable[[], None]) -> float:
    """Wall seconds of a piece of work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def looped(
    recipe: Recipe,
    data: TrainingData,
    settings: OptimizerSettings,
    device: str,
    on_record: Callable[[dict], None] = lambda record: None,
) -> None:
    """One run of the product's loop, without evaluations and checkpoints."""
    loop = LoopSettings(evaluate_start=False)
    train(fresh(device), data, recipe, settings, loop, on_record=on_record)


def bare_seconds(data: TrainingData, settings: OptimizerSettings, device: str) -> float:
    """The same batches, cut and moved beforehand; model and optimizer are made inside, as there."""
    rows = order(np.arange(len(data)), settings.seed, 0, "clip")
    on = fresh(device).device
    cut = [
        torch.from_numpy(rows[i : i + settings.batch])
        for i in range(0, len(rows) - settings.batch + 1, settings.batch)
    ]
    batches = [(data.frames[part].to(on), data.tokens[part].to(on)) for part in cut]
    return seconds(lambda: bare(batches, settings, device))


def bare(batches: list, settings: OptimizerSettings, device: str) -> None:
    """What a training step cannot do without."""
    encoder = fresh(device)
    module, loss = encoder.module.train(), ClipLoss()
    optimizer = adamw(module, settings)
    for frames, tokens in batches:
        seen = F.normalize(module.encode_image(encoder.normalize(frames)))
        said = F.normalize(module.encode_text(tokens))
        optimizer.zero_grad(set_to_none=True)
        loss(seen, said, module.logit_scale.exp()).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), settings.clip_norm)
        optimizer.step()
        clamp_scale(module)


def epoch_row(share: float, captions: list[str], data: TrainingData, asked) -> dict:
    """SafeCLIP's main epochs at a fixed safe share, as multiples of CLIP epochs, in turns.

    An epoch lasts from one split to the next: both passes, and the scoring and fit between.
    """
    plain = TrainSettings(batch=asked.batch, epochs=3)
    settings = SafeClipSettings(
        start="trusted", main_epochs=3, batch=asked.batch, first_share=share, growth=0.0,
        first_high=SHARES[-1],
    )  # fmt: skip
    theirs, ours = [], []
    for _ in range(asked.rounds):
        theirs += epochs("clip", PlainClip(np.arange(len(data)), plain), data, plain, asked.device)
        safe = SafeClip(captions, fresh(asked.device), settings)
        ours += epochs("C risky", safe, data, settings, asked.device)
    ratio = float(np.median(ours) / np.median(theirs))
    return {
        "what": f"SafeCLIP epoch / CLIP epoch, safe share {share}",
        "seconds": spread(ours), "seconds beside": spread(theirs), "ratio": ratio, "goal": "<= 2.2",
    }  # fmt: skip


def epochs(
    first_phase: str, recipe: Recipe, data: TrainingData, settings: OptimizerSettings, device: str
) -> list[float]:
    """Seconds from each beginning of an epoch to the next; the first epoch warms up."""
    starts: list[float] = []

    def heard(record: dict) -> None:
        if record.get("phase") == first_phase and record["kind"] == "phase":
            starts.append(time.perf_counter())

    looped(recipe, data, settings, device, heard)
    return np.diff(starts)[1:].tolist()


if __name__ == "__main__":
    main()
