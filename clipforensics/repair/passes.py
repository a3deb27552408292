"""Passes over a small pool that end after a given number of steps."""

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clipforensics.config.recipes import FineTuneSettings
from clipforensics.errors import ConfigError
from clipforensics.train.schedule import Rate, cosine, warmup_steps

WARMUP_AT_MOST = 0.2
"""Of all steps, or a short run would never reach its rate."""


def check_pool(n: int, batch: int) -> None:
    """Refuse a pool below one batch.

    Raises:
        ConfigError: with both numbers, and the batch that fits.
    """
    if n < batch:
        raise ConfigError(
            f"batch={batch} needs at least {batch} clean pairs, {n} could be curated. "
            f"Lower the batch to {n} or less, or ask for more pairs."
        )


def pass_rate(settings: FineTuneSettings) -> Rate:
    """Warm-up, then half a cosine down to 0 at the last step."""
    warmup = warmup_steps(settings.steps, WARMUP_AT_MOST, settings.warmup_steps)
    return cosine(settings.rate, warmup, settings.steps)


def pass_rows(number: int, n: int, batch: int, steps: int, seed: int) -> np.ndarray | None:
    """Rows of pass `number`; the last pass is cut to the steps that are left, None follows it."""
    each = n // batch
    left = steps - number * each
    if left <= 0:
        return None
    if left >= each:
        return np.arange(n)
    return np.random.default_rng([seed, number, 41]).permutation(n)[: left * batch]


def hold_norms(module: nn.Module) -> None:
    """Let batch norms use the suspect's own mean and variance, and leave them as they are.

    A small pool would move them from those of all training pictures, half-stamped batches even
    further, and the repaired model is asked in evaluation mode, which uses what they became. Models
    without batch norms, such as ViTs, do not change.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()
