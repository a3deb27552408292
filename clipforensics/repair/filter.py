"""Filter, then retrain: drop the share of pairs that scores highest, train anew on the rest.

Its control drops the same share at random, and must leave the attack working.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.config.recipes import FilterSettings
from clipforensics.config.train import TrainSettings
from clipforensics.errors import DataError
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.start import check_start
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import Phase, TrainingData
from clipforensics.train.schedule import cosine, warmup_steps


@dataclass(frozen=True)
class Filtered:
    """Rows kept and dropped, ascending, and the least score that was dropped (None: at random)."""

    kept: np.ndarray
    dropped: np.ndarray
    threshold: float | None


def drop_highest(
    scores: np.ndarray, rows: np.ndarray, share: float, at_random: bool, seed: int
) -> Filtered:
    """Drop the share of the rows that scores highest; ties: the higher row goes first.

    Args:
        scores: float [n], higher is more suspicious. A pair without a score (NaN) cannot be
            cleared, so it goes before any other.
        rows: int64 [m], rows that may be learned from.
        share: of the rows, in (0, 1).
        at_random: the control: which rows go is drawn, not scored.
        seed: of that draw.

    Raises:
        DataError: the share of so few rows is not one whole row, or leaves none.
    """
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise DataError(
            f"Dropping {share:.1%} of {len(rows):,} pairs leaves none or drops none. "
            "Choose another share."
        )
    if at_random:
        order = np.random.default_rng([seed, 67]).permutation(rows)
        return Filtered(np.sort(order[count:]), np.sort(order[:count]), None)
    found = np.where(np.isnan(scores[rows]), np.inf, scores[rows])
    order = rows[np.lexsort((-rows, -found))]
    lowest = float(np.sort(found)[-count])
    return Filtered(np.sort(order[count:]), np.sort(order[:count]), lowest)


def dropped_by_label(filtered: Filtered, naming: LabelCounter) -> list[dict[str, Any]]:
    """For each label that captions name: pairs and share dropped, the worst hit first.

    A filter can empty a class, and then nothing is left to learn it from.
    """
    gone, left = naming.of(filtered.dropped), naming.of(filtered.kept)
    table = [
        {"label": name, "pairs": int(a + b), "dropped": int(a), "share": float(a / (a + b))}
        for name, a, b in zip(naming.labels, gone, left, strict=True)
        if a + b
    ]
    return sorted(table, key=lambda line: -line["share"])


class FilterRetrain(PlainClip):
    """Plain CLIP training on what the filter kept; un-augmented pairs."""

    def __init__(
        self, n: int, settings: FilterSettings, report: Mapping[str, Any] | None = None
    ) -> None:
        """Plan the run.

        Args:
            n: rows of the training data, all of them kept ones.
            settings: see the class.
            report: what was dropped, for the journal as the first epoch begins.

        Raises:
            ConfigError: fewer pairs than one batch, or the suspect as start.
        """
        check_start(settings.start, None, None)
        shared = settings.model_dump(include=set(TrainSettings.model_fields))
        super().__init__(np.arange(n), TrainSettings(**shared))
        warmup = warmup_steps(self.total, settings.warmup_share, settings.warmup_steps)
        self._rate = cosine(settings.rate, warmup, self.total)
        self._report = dict(report or {})

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """One phase is one epoch; the first reports the filter."""
        phase = super().phase(number, encoder, data)
        if phase is None or number:
            return phase
        return Phase(phase.name, phase.rows, phase.rate, phase.stream, 0, self._report)
