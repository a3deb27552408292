"""Started by torchrun: every recipe's losses and gradients on one batch, and three steps of training.

    torchrun --nproc-per-node 2 two_processes.py OUT

The first process writes OUT. The same script without torchrun gives one process's answer.
"""

import sys
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

from clipforensics.config.recipes import (
    CleanClipSettings,
    EftClipSettings,
    FilterSettings,
    FineTuneSettings,
    RoClipSettings,
    SafeClipSettings,
)
from clipforensics.config.train import LoopSettings
from clipforensics.models.tiny import tiny_clip
from clipforensics.repair.cleanclip import CleanClip
from clipforensics.repair.eftclip import EftClip, Stamp
from clipforensics.repair.filter import FilterRetrain
from clipforensics.repair.finetune import FineTune
from clipforensics.repair.roclip import RoClip
from clipforensics.repair.safeclip import SafeClip
from clipforensics.repair.scoring import alignment
from clipforensics.train.distributed import joined, world
from clipforensics.train.loop import train
from clipforensics.train.recipe import TrainingData

N = 32
WORDS = ("red", "green", "blue", "dark", "pale", "warm", "cold", "grey")
CAPTIONS = [f"a {WORDS[i % 8]} wall number {i % 5}" for i in range(N)]
TUNE = {"batch": 16, "steps": 4, "warmup_steps": 1, "clip_norm": 0.5}
RETRAIN = {"batch": 16, "clip_norm": 0.5}
# every picture stamped all over with one colour: what is drawn then makes no difference
STAMP = Stamp(np.full((32, 32, 3), 90, np.uint8), np.ones((32, 32), bool), "red")
EFT = EftClipSettings(**TUNE, stamped_share=1.0, size_low=1.0, size_high=1.0, clip_weight=1.0)
RECIPES = {
    "finetune": (FineTuneSettings(**TUNE), lambda e, d, s: FineTune(d, s)),
    "cleanclip": (CleanClipSettings(**TUNE), lambda e, d, s: CleanClip(CAPTIONS, e, d, s)),
    "eftclip": (EFT, lambda e, d, s: EftClip(e, d, np.zeros(N, bool), [STAMP], s)),
    "filter": (FilterSettings(**RETRAIN, epochs=2), lambda e, d, s: FilterRetrain(N, s)),
    "roclip": (
        RoClipSettings(**RETRAIN, epochs=3, pool=16), lambda e, d, s: RoClip(CAPTIONS, e, s),
    ),
    "safeclip": (
        SafeClipSettings(
            **RETRAIN, unimodal_epochs=1, main_epochs=1, pool=16, first_share=0.5, both_views=True
        ),
        lambda e, d, s: SafeClip(CAPTIONS, e, s),
    ),
}  # fmt: skip


def answer(name: str) -> dict[str, torch.Tensor]:
    """Losses and gradient norms of every step, the first step's gradients, the weights at the end."""
    encoder = tiny_clip(4)
    frames = np.random.default_rng(0).integers(0, 255, (N, 32, 32, 3), np.uint8)
    data = TrainingData(torch.from_numpy(frames), encoder.tokenize(CAPTIONS))
    settings, make = RECIPES[name]
    records, first = [], {}

    def keep(record) -> None:
        if record["kind"] == "loss":
            records.append((record["loss"], record["gradient_norm"]))
            if not first:
                for key, weight in encoder.module.named_parameters():
                    if weight.grad is not None:
                        first[f"grad/{key}"] = weight.grad.clone().contiguous()

    train(
        encoder, data, make(encoder, data, settings), settings,
        LoopSettings(report_every=1, evaluate_start=False), on_record=keep,
    )  # fmt: skip
    weights = {f"weight/{k}": v.contiguous() for k, v in encoder.module.state_dict().items()}
    return {"steps": torch.tensor(records, dtype=torch.float64), **first, **weights}


def cosines() -> torch.Tensor:
    """Of pictures and captions that cannot be shared evenly."""
    encoder, n = tiny_clip(4), N - 1
    frames = np.random.default_rng(0).integers(0, 255, (n, 32, 32, 3), np.uint8)
    data = TrainingData(torch.from_numpy(frames), encoder.tokenize(CAPTIONS[:n]))
    return torch.from_numpy(alignment(encoder, data, 8)).contiguous()


if __name__ == "__main__":
    warnings.simplefilter("error")
    with joined("cpu"):
        found = {f"{name}/{k}": v for name in RECIPES for k, v in answer(name).items()}
        found["alignment/cosines"] = cosines()
        if world().rank == 0:
            save_file(found, sys.argv[1])
