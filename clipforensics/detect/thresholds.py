"""Where to cut a ranking, and how many rows a cut flags. A cut is a choice, not a verdict."""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from clipforensics.errors import ConfigError


def cut_at_percentile(scores: Float[np.ndarray, " n"], percentile: float) -> float:
    """The score that flags the top (100 - percentile) per cent: a row at or above it is flagged.

    It is always a score that some row has. Rows that tie with it are flagged too.

    Raises:
        ConfigError: percentile is not in [0, 100], or there are no scores.
    """
    if not 0 <= percentile <= 100:
        raise ConfigError(f"percentile={percentile} is not in 0 to 100. Choose one that is.")
    if not len(scores):
        raise ConfigError("There are no scores to cut. Scan the case first.")
    return float(np.percentile(scores, percentile, method="higher"))


def top_n(scores: Float[np.ndarray, " n"], n: int) -> Int64[np.ndarray, " m"]:
    """Rows of the n highest scores, highest first, equal scores by row; all rows if there are fewer.

    Raises:
        ConfigError: n is below 1.
    """
    if n < 1:
        raise ConfigError(f"n={n} asks for no row. Raise it to 1 or more.")
    return np.argsort(-scores, kind="stable")[:n].astype(np.int64)


def flagged(scores: Float[np.ndarray, " n"], cut: float) -> Bool[np.ndarray, " n"]:
    """Which rows score at or above the cut."""
    return scores >= cut


def count_flagged(scores: Float[np.ndarray, " n"], cut: float) -> int:
    """How many rows score at or above the cut."""
    return int(flagged(scores, cut).sum())


def percentile_ranks(scores: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """For colours: the per cent of rows that score lower, a tie counting half; in (0, 100)."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (100 * (np.cumsum(counts) - counts / 2) / len(scores))[place]
