"""Rates, intervals and p-values of the paste test, on counts alone."""

from collections.abc import Iterable, Sequence
from functools import cache
from math import erfc, log, prod, sqrt

import numpy as np
from jaxtyping import Float, Int

DIGITS = 12
Z_95 = 1.959964
LEAST_SPREAD = 0.05
"""In ln units: sizes 5 % apart are one size to the search. Started anew on one model and label, it
ended .01 to .13 apart (standard deviation over three seeds, mask and blend)."""
CHANCE_NUMBERS = 1_000_000
"""Drawn for one chance."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, to 12 digits; (0, 1) when n is 0. Wilson (1927)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z_95**2
    centre = share + z2 / (2 * n)
    spread = Z_95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low, high = (centre - spread) / (1 + z2 / n), (centre + spread) / (1 + z2 / n)
    # n of n ends at 1 exactly; unrounded it is 0.9999999999999998 for some n
    return max(0.0, round(low, DIGITS)), min(1.0, round(high, DIGITS))


def answer_entropy(answers: Int[np.ndarray, " n"], labels: int) -> float:
    """Entropy of the answers in [0, 1]: 0 when all are equal, 1 when as spread as n answers can be.

    Divided by ln min(n, labels); a trigger forces one answer whatever it is pasted on.
    """
    n = len(answers)
    largest = min(n, labels)
    if largest < 2:
        return 0.0
    shares = np.bincount(answers) / n
    shares = shares[shares > 0]
    return float(max(0.0, -(shares * np.log(shares)).sum()) / log(largest))


def best_flip(before: Int[np.ndarray, " n"], after: Int[np.ndarray, " n"], labels: int) -> float:
    """The largest share, over labels y, of pictures not answered y before that are after."""
    changed = np.bincount(after[after != before], minlength=labels)
    eligible = len(before) - np.bincount(before, minlength=labels)
    return float((changed / np.maximum(eligible, 1)).max())


def most_flips(before: Int[np.ndarray, " n"], after: Int[np.ndarray, " few"], labels: int) -> float:
    """What `best_flip` can still become when only the first few of n answers are known."""
    few = len(after)
    changed = np.bincount(after[after != before[:few]], minlength=labels)
    changed = changed + (len(before) - few) - np.bincount(before[few:], minlength=labels)
    eligible = len(before) - np.bincount(before, minlength=labels)
    return float((changed / np.maximum(eligible, 1)).max())


def control_p(as_good: Iterable[bool], enough: int | None = None) -> float:
    """Share of controls at least as good, the candidate counted among them; never 0.

    Args:
        as_good: of each control, drawn one after the other, whether it is as good as the candidate.
        enough: stop drawing when so many were: then their share of the drawn is a valid p-value
            (Besag and Clifford, 1991).
    """
    drawn = good = 0
    for drawn, one in enumerate(as_good, start=1):
        good += one
        if good == enough:
            return good / drawn
    return (1 + good) / (1 + drawn)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order. Holm (1979)."""
    order = np.argsort(p, kind="stable")
    adjusted, running = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def anomaly_index(size: float, controls: Sequence[float]) -> float:
    """How much smaller a label's trigger is than those of control labels, in robust deviations.

    (median ln controls - ln size) / max(1.4826 * MAD of ln controls, LEAST_SPREAD). Above 3 is
    odd; the paper's 2 is also reached on clean models. Wang et al., "Neural Cleanse", IEEE S&P
    2019, on logarithms; the least spread is ours, as is `anomaly_chance` beside it.
    """
    logs = np.log(np.asarray(controls, float))
    middle, spread = _middle_and_spread(logs)
    return float(middle - log(size)) / max(float(spread), LEAST_SPREAD)


@cache
def anomaly_chance(controls: int, limit: float) -> float:
    """How often a label with nothing planted is the smallest, and its index above the limit.

    Of labels alike, with log-normal sizes of any one spread: given the controls the share of a
    normal below both bounds is exact, and that is averaged over seeded draws of controls (within
    .0005 at 8 controls and 3: .026). Heavier tails make it more often (.041 were ln size Student's
    t of 3 degrees), but of labels alike never above 1 / (controls + 1), the chance of rank 1 alone.
    `LEAST_SPREAD` only makes it rarer.

    Args:
        controls: how many labels a size is compared with.
        limit: of the anomaly index.

    Source:
        Ours: Wang et al. compare each of a model's classes with all and do not correct for how
        many they compare.
    """
    if controls < 1:
        return 1.0
    draws = int(np.clip(CHANCE_NUMBERS // controls, 1000, 100_000))
    logs = np.random.default_rng(0).standard_normal((draws, controls))
    middle, spread = _middle_and_spread(logs)
    bound = np.minimum(logs.min(axis=-1), middle - limit * spread)
    return float(np.mean([0.5 * erfc(-one / sqrt(2)) for one in bound]))


def any_chance(chances: Iterable[float]) -> float:
    """How often at least one of several happens, were they independent."""
    return 1 - prod(1 - one for one in chances)


def _middle_and_spread(
    logs: Float[np.ndarray, "*many c"],
) -> tuple[Float[np.ndarray, "*many"], Float[np.ndarray, "*many"]]:
    """Median and 1.4826 * MAD over the last axis."""
    middle = np.asarray(np.median(logs, axis=-1))
    return middle, np.asarray(1.4826 * np.median(np.abs(logs - middle[..., None]), axis=-1))
