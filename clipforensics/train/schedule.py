"""Learning-rate curves: step number in, rate out."""

from collections.abc import Callable
from math import cos, pi

Rate = Callable[[int], float]


def cosine(base: float, warmup: int, total: int) -> Rate:
    """Linear warm-up from 0, then half a cosine to 0, clamped there.

    Args:
        base: the peak rate.
        warmup: steps w; step k < w runs at base * (k + 1) / w.
        total: steps S of the whole stream; from step S on the rate is 0 and stays there. The
            released SafeCLIP leaves the cosine unclamped, and its rate climbs again.
    """

    def rate(step: int) -> float:
        if step < warmup:
            return base * (step + 1) / warmup
        done = (step - warmup) / max(1, total - warmup)
        return base * 0.5 * (1 + cos(pi * min(1.0, done)))

    return rate


def constant(base: float) -> Rate:
    """The same rate at every step."""
    return lambda step: base


def warmup_steps(total: int, share: float, steps: int | None = None) -> int:
    """Warm-up of a stream of `total` steps: a share of it, or `steps`, but then at most the larger of a
    tenth of it and that share.

    10,000 published steps of warm-up would outlast a small run.
    """
    asked = share * total if steps is None else steps
    return round(min(asked, max(0.1, share) * total))
