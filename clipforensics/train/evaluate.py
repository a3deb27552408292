"""Clean accuracy and attack success rate, with the number of pictures and Wilson's interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from clipforensics.data.labels import LabelSet
from clipforensics.errors import DataError
from clipforensics.models.encoder import Encoder
from clipforensics.models.zero_shot import label_weights, predict

WORKING_ATTACK = 0.8
"""Below this undefended ASR there is no working attack, and nothing to repair."""


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: 46 of 50 give (.812, .968); n = 0 gives (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    p, spread = hits / n, z * z / n
    middle = (p + spread / 2) / (1 + spread)
    half = z * sqrt(p * (1 - p) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(truth: np.ndarray, seen: np.ndarray) -> float:
    """Share of pictures predicted rightly; both int64 [n]."""
    return float((truth == seen).mean())


def attack_success_rate(truth: np.ndarray, seen: np.ndarray, target: int) -> float:
    """Of stamped pictures whose true label is not the target, the share predicted as the target.

    Raises:
        DataError: every picture shows the target, so there is nothing to attack.
    """
    others = truth != target
    if not others.any():
        raise DataError("Every test picture shows the target label. Add pictures of other labels.")
    return float((seen[others] == target).mean())


@dataclass(frozen=True)
class TestSet:
    """Pictures with their true labels.

    Args:
        pictures: uint8 [n, side, side, 3].
        truth: int64 [n], positions in the label set.
    """

    __test__ = False  # its name begins like a test class's

    pictures: np.ndarray
    truth: np.ndarray

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.truth) or not len(self.truth):
            raise DataError(
                f"A test set needs one label per picture, got {len(self.pictures)} pictures and "
                f"{len(self.truth)} labels."
            )


@dataclass(frozen=True)
class StampedSet:
    """Test pictures that carry one trigger; `rows` are the test set's pictures not of the target.

    Args:
        name: which trigger, for the journal.
        pictures: uint8 [m, side, side, 3], stamped once and kept.
        rows: int64 [m], the un-stamped twins in the test set.
        target: position of the label the trigger is meant to force.
    """

    name: str
    pictures: np.ndarray
    rows: np.ndarray
    target: int


def stamp_all(name: str, test: TestSet, stamp: Any, target: int) -> StampedSet:
    """Stamp every test picture that does not show the target.

    Args:
        name: which trigger.
        test: the clean pictures.
        stamp: `stamp(picture uint8 [side, side, 3], row) -> uint8`, the same answer each time.
        target: the label the trigger forces.
    """
    rows = np.flatnonzero(test.truth != target)
    if not len(rows):
        raise DataError("Every test picture shows the target label. Add pictures of other labels.")
    pictures = np.stack([stamp(test.pictures[row], int(row)) for row in rows])
    return StampedSet(name, pictures, rows, target)


class Evaluator:
    """Measures a model on one test set and its stamped twins: set up once, called often."""

    def __init__(
        self,
        labels: LabelSet,
        test: TestSet,
        stamped: Sequence[StampedSet] = (),
        of: str = "planted",
    ) -> None:
        """Take the sets; the first stamped set gives `asr`, all of them `triggers`.

        Args:
            labels: label set.
            test: clean test pictures.
            stamped: one per trigger.
            of: `asr_of` in the record: "planted" or "found".
        """
        self._labels, self._test, self._stamped, self._of = labels, test, stamped, of

    def __call__(self, encoder: Encoder) -> dict[str, Any]:
        """Figures of one evaluation line."""
        weights = label_weights(encoder, self._labels)
        seen = predict(encoder, self._test.pictures, weights)
        record = _clean_figures(self._test.truth, seen)
        triggers = {
            one.name: _attack_figures(one, seen, predict(encoder, one.pictures, weights))
            for one in self._stamped
        }
        if triggers:
            first = triggers[self._stamped[0].name]
            target = self._stamped[0].target
            record |= {**first, "asr_of": self._of, "triggers": triggers}
            record["target_recall"] = _recall(self._test.truth, seen, target)
        return record


def _clean_figures(truth: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    hits, n = int((truth == seen).sum()), len(truth)
    low, high = wilson(hits, n)
    # a broken model that answers one label for everything has an ASR of 0, too
    share = float(np.bincount(seen).max() / n)
    return {"ca": hits / n, "n_ca": n, "ca_low": low, "ca_high": high, "largest_label_share": share}


def _attack_figures(
    stamped: StampedSet, clean_seen: np.ndarray, seen: np.ndarray
) -> Mapping[str, Any]:
    hits, n = int((seen == stamped.target).sum()), len(seen)
    low, high = wilson(hits, n)
    base = float((clean_seen[stamped.rows] == stamped.target).mean())
    return {"asr": hits / n, "n_asr": n, "asr_low": low, "asr_high": high, "base_rate": base}


def _recall(truth: np.ndarray, seen: np.ndarray, label: int) -> float | None:
    rows = truth == label
    return float((seen[rows] == label).mean()) if rows.any() else None
