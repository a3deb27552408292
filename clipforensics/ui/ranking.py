"""A case's pairs in the order of their scores, as the pages show them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

BUDGETS = (0.001, 0.01, 0.05)
"""Shares of the pairs a reviewer looks at, for recall at budget."""


@dataclass(frozen=True)
class Ranking:
    """Scores of all pairs that could be scored.

    Args:
        score: float [n], mean over the reference draws; NaN where a picture could not be read.
        spread: float [n], standard deviation over the draws.
        rank: float [n] in [0, 1]: the share of scored pairs that score no higher.
        order: int64 [m], rows from most to least suspicious.
        info: what the scorer says about itself.
    """

    score: np.ndarray
    spread: np.ndarray
    rank: np.ndarray
    order: np.ndarray
    info: dict[str, Any]

    def flagged(self, percentile: float) -> np.ndarray:
        """Rows at or above a percentile (0 to 100) of the scores, most suspicious first."""
        from clipforensics.detect.thresholds import count_flagged, cut_at_percentile

        scores = self.score[self.order]
        return self.order[: count_flagged(scores, cut_at_percentile(scores, percentile))]

    def above(self, cut: float) -> np.ndarray:
        """Rows that score at or above a cut, most suspicious first."""
        from clipforensics.detect.thresholds import count_flagged

        return self.order[: count_flagged(self.score[self.order], cut)]

    def sorted(self, rows: np.ndarray) -> np.ndarray:
        """The scored ones among these rows, most suspicious first."""
        wanted = np.zeros(len(self.score), bool)
        wanted[rows] = True
        return self.order[wanted[self.order]]


def rank(case: Any, detector: str, density: Any, reference: Any) -> Ranking:
    """Score a case's pairs, or read the scores kept in its evidence.

    Raises:
        CaseError: the case is not embedded yet.
        ConfigError: the settings do not fit the data.
    """
    from clipforensics.jobs.scanning import scan

    scores = scan.scores(case, detector, density, reference)
    return ranked(np.asarray(scores.mean), np.asarray(scores.spread), dict(scores.info))


def ranked(score: np.ndarray, spread: np.ndarray, info: dict[str, Any]) -> Ranking:
    """Order scores; rows without a finite score are left out of the order, never dropped."""
    from clipforensics.detect.thresholds import percentile_ranks

    scored = np.flatnonzero(np.isfinite(score))
    order = scored[np.argsort(-score[scored], kind="stable")]
    rank = np.full(len(score), np.nan)
    if len(scored):
        rank[scored] = percentile_ranks(score[scored]) / 100
    return Ranking(score, spread, rank, order, info)


def against_truth(case: Any, ranking: Ranking) -> dict[str, Any] | None:
    """The figures of `detect.metrics.evaluate` where the case knows what is poisoned, else None."""
    if case.truth is None:
        return None
    from clipforensics.detect.metrics import evaluate

    rows = ranking.order
    poisoned = case.truth.poisoned
    truth = np.fromiter((case.pairs.ids[row] in poisoned for row in rows), bool, len(rows))
    if not truth.any() or truth.all():
        return None
    return evaluate(ranking.score[rows], truth, BUDGETS)


def clean_share(case: Any, ranking: Ranking, cut: float) -> float | None:
    """The share of pairs known to be clean that lie at or above a cut; None without truth."""
    if case.truth is None:
        return None
    poisoned = case.truth.poisoned
    clean = np.array([case.pairs.ids[row] not in poisoned for row in ranking.order], bool)
    return float(clean[: len(ranking.above(cut))].sum() / clean.sum()) if clean.any() else None


def labels_named(case: Any, rows: np.ndarray) -> list[tuple[str, int]]:
    """Labels that the captions of these rows name, most frequent first, with their counts."""
    from collections import Counter

    counts = Counter(
        name for row in rows for name in case.labels.named_in(case.pairs.captions[row])
    )
    return counts.most_common()
