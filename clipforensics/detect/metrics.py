"""How well a ranking finds known poison. Only for cases that come with ground truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from clipforensics.errors import ConfigError, DataError

BUDGETS = (0.001, 0.01, 0.05, 0.1)


def auroc(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """The chance that a random poisoned row outscores a random clean one; a tie counts half.

    Raises:
        DataError: a score is not finite, or truth holds only one of the two kinds.
    """
    _check(scores, truth, both=True)
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # ties share their middle rank, from 1
    poisoned, clean = int(truth.sum()), int((~truth).sum())
    wins = rank[place][truth].sum() - poisoned * (poisoned + 1) / 2
    return float(wins / (poisoned * clean))


def average_precision(scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """Precision averaged over the poisoned rows, read from the highest score down.

    Rows of equal score are read together, at their common precision, as scikit-learn does: order
    within a tie changes nothing. Chance level is the share of poisoned rows.

    Raises:
        DataError: a score is not finite, or nothing is poisoned.
    """
    _check(scores, truth)
    read, found = _tie_ends(scores, truth)
    gained = np.diff(found, prepend=0) / found[-1]
    return float((gained * found / read).sum())


def recall_at_budget(
    scores: Float[np.ndarray, " n"], truth: Bool[np.ndarray, " n"], budget: float
) -> float:
    """The share of poisoned rows among the top `budget` share of all rows.

    A tie across the cut counts in proportion: the expectation over random orders within the tie.

    Raises:
        ConfigError: budget is not in (0, 1].
        DataError: a score is not finite, or nothing is poisoned.
    """
    _check(scores, truth)
    read, found = _tie_ends(scores, truth)
    reviewed = rows_in_budget(len(scores), budget)
    return float(np.interp(reviewed, np.append(0, read), np.append(0, found)) / found[-1])


def rows_in_budget(n: int, budget: float) -> int:
    """How many rows a budget reads: its share of n, rounded down, at least one."""
    if not 0 < budget <= 1:
        raise ConfigError(f"budget={budget} is no share of the rows. Give a number in (0, 1].")
    return max(1, int(n * budget + 1e-9))


def evaluate(
    scores: Float[np.ndarray, " n"],
    truth: Bool[np.ndarray, " n"],
    budgets: Sequence[float] = BUDGETS,
) -> dict[str, Any]:
    """Every figure beside its n and its chance level, in JSON types.

    Raises:
        ConfigError, DataError: as the figures themselves.
    """
    n = len(scores)
    recall = {f"{b:g}": recall_at_budget(scores, truth, b) for b in budgets}
    return {
        "n": n,
        "poisoned": int(truth.sum()),
        "auroc": auroc(scores, truth),
        "average_precision": average_precision(scores, truth),
        "average_precision_by_chance": float(truth.mean()),
        "recall_at_budget": recall,
        "rows_in_budget": {f"{b:g}": rows_in_budget(n, b) for b in budgets},
    }


def _check(scores: np.ndarray, truth: np.ndarray, both: bool = False) -> None:
    if not np.isfinite(scores).all():
        raise DataError(
            f"{(~np.isfinite(scores)).sum():,} of {len(scores):,} scores are not finite."
        )
    if not truth.any() or (both and truth.all()):
        kind = "poisoned" if not truth.any() else "clean"
        raise DataError(
            f"None of the {len(truth):,} rows is {kind}, so nothing can be measured. "
            "Check that the ground truth belongs to this data."
        )


def _tie_ends(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the highest score down, after each group of equal scores: rows read, poison found."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return ends + 1, np.cumsum(truth[order])[ends]
