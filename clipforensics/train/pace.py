"""How long a plain CLIP epoch takes here and now: the unit that costs are given in."""

import copy
import time

import numpy as np

from clipforensics.config.train import LoopSettings, OptimizerSettings, TrainSettings
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

PLAIN_BATCH = 256
STEPS = 6


def plain_epoch_seconds(
    encoder: OpenClipEncoder, data: TrainingData, settings: OptimizerSettings, pairs: int
) -> float:
    """Seconds of one plain CLIP epoch over `pairs` pairs, from a few steps of 256 on a copy.

    The copy leaves the given weights alone; precision is the recipe's own, so that the ratio
    compares methods and not number formats. The first step warms up and does not count.
    """
    batch = min(PLAIN_BATCH, len(data))
    module = copy.deepcopy(encoder.module)
    twin = copy.copy(encoder)
    twin.module = module
    plain = TrainSettings(batch=batch, epochs=1, precision=settings.precision)
    times: list[float] = []
    epochs = -(-STEPS // (len(data) // batch))
    plain = plain.model_copy(update={"epochs": epochs})
    recipe = PlainClip(np.arange(len(data)), plain)
    train(
        twin, data, recipe, plain, LoopSettings(report_every=1, evaluate_start=False),
        on_record=lambda record: times.append(time.perf_counter()) if record["kind"] == "loss" else None,
        should_stop=lambda: len(times) >= STEPS,
    )  # fmt: skip
    return float(np.median(np.diff(times))) / batch * pairs
