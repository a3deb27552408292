"""Where to cut a ranking, and how many rows a cut flags. A cut is a choice, not a verdict."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from clipforensics.errors import ConfigError, DataError


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


@dataclass(frozen=True)
class CleanCut:
    """A cut, and what it flags among rows known to be clean.

    Attributes:
        cut: rows that score at or above it are flagged.
        alarms: clean rows that do.
        clean: how many clean rows there are.
        false_rate: (alarms + 1) / (clean + 1), the share of further clean rows of the same kind
            that is expected to be flagged.
        high: upper end of the 95 % interval (Clopper-Pearson) of that share.
    """

    cut: float
    alarms: int
    clean: int
    false_rate: float
    high: float

    def expected(self, n: int) -> tuple[float, float]:
        """False alarms to expect among n clean rows, and the upper end of their interval."""
        return n * self.false_rate, n * self.high


def clean_rate(clean: Float[np.ndarray, " n"], cut: float) -> CleanCut:
    """What a cut that was chosen without them flags among clean rows.

    The expected share is that of conformal prediction, the row itself counted with the others: it
    is never 0, since n clean rows below a cut cannot say that the next one is.

    Raises:
        ConfigError: there are no clean rows.
        DataError: a clean score is not finite.

    Source:
        Conformal p-values for outliers: Laxhammar and Falkman, COPA 2010; Bates et al., Annals of
        Statistics 51 (2023). They hold for rows exchangeable with the clean ones.
    """
    from scipy.stats import beta

    n = len(clean)
    if not n:
        raise ConfigError("There are no clean rows to judge a cut by. Give some.")
    if not np.isfinite(clean).all():
        raise DataError(f"{(~np.isfinite(clean)).sum():,} of {n:,} clean scores are not finite.")
    alarms = count_flagged(clean, cut)
    high = float(beta.ppf(0.975, alarms + 1, n - alarms)) if alarms < n else 1.0
    return CleanCut(cut, alarms, n, (alarms + 1) / (n + 1), high)


def cut_from_clean(clean: Float[np.ndarray, " n"], false_rate: float) -> CleanCut:
    """The lowest cut whose expected share of flagged clean rows is at most this.

    Scores carry over only from the same detector, settings and kind of data: a ratio such as LOF
    has no unit, a k-distance has. The cut lies just above a clean score, so ties are not flagged.

    Raises:
        ConfigError: false_rate is not in (0, 1), or the reference is too small to say: it needs
            1 / false_rate - 1 rows.
        DataError: a clean score is not finite.

    Source:
        As `clean_rate`.
    """
    if not 0 < false_rate < 1:
        raise ConfigError(f"false_rate={false_rate} is not between 0 and 1. Choose one that is.")
    needed = int(np.ceil(1 / false_rate - 1e-9)) - 1
    if len(clean) < needed:
        raise ConfigError(
            f"false_rate={false_rate:g} needs at least {needed:,} clean rows, got {len(clean):,}. "
            "Add clean rows, or raise the rate."
        )
    clean_rate(clean, np.inf)  # complain about what cannot be ordered
    allowed = min(int((len(clean) + 1) * false_rate + 1e-9), len(clean)) - 1
    order = np.sort(np.asarray(clean, np.float64))[::-1]
    return clean_rate(clean, float(np.nextafter(order[allowed], np.inf)))


@dataclass(frozen=True)
class Unlike:
    """Where clean rows differ from the case's by more than poison could make them.

    Attributes:
        case: the share of the case's rows above some score.
        clean: the share of the clean rows above it.
    """

    case: float
    clean: float


def unlike(
    clean: Float[np.ndarray, " n"], scores: Float[np.ndarray, " m"], poisoned: float = 0.02
) -> Unlike | None:
    """Whether clean rows can be of the case's kind, judged where poison hardly reaches.

    At the case's own median, upper quarter and upper tenth, the share of clean rows above should
    be a half, a quarter and a tenth, up to chance (three standard deviations) and a poisoned share.
    Clean rows that pass may still differ in the far tail; those that fail promise wrong rates.

    Args:
        clean: scores of clean rows.
        scores: of the case's rows, finite.
        poisoned: the largest share of the case that may be poisoned, in [0, 1].

    Returns:
        The largest difference beyond that, or None.
    """
    worst, found = 0.0, None
    for share in (0.5, 0.25, 0.1):
        above = float((clean >= np.quantile(scores, 1 - share)).mean())
        spread = np.sqrt(share * (1 - share) * (1 / len(clean) + 1 / len(scores)))
        beyond = abs(above - share) - poisoned - 3 * spread
        if beyond > worst:
            worst, found = beyond, Unlike(share, above)
    return found
