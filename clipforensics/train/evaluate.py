"""Clean accuracy and attack success rate, with the number of pictures and Wilson's interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from clipforensics.data.labels import LabelSet
from clipforensics.errors import DataError
from clipforensics.models.encoder import Encoder
from clipforensics.models.zero_shot import label_weights, predict


def wilson(hits: float, n: int, z: float = 1.959964) -> tuple[float, float]:
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


@dataclass(frozen=True)
class PooledSet:
    """The twins of an attack with several triggers; a hit is a twin called its own trigger's target.

    Args:
        name: of the attack, for the journal.
        sets: one per trigger, each named after its trigger.
    """

    name: str
    sets: tuple[StampedSet, ...]


@dataclass(frozen=True)
class TargetedSet:
    """Unstamped pictures of targeted poisoning, each with the one wrong label it is pulled to.

    Args:
        pictures: uint8 [n, side, side, 3]; the very pictures that were poisoned, so no test set.
        targets: int64 [n], positions in the label set.
    """

    pictures: np.ndarray
    targets: np.ndarray


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
        stamped: Sequence[StampedSet | PooledSet] = (),
        of: str = "planted",
        targeted: TargetedSet | None = None,
    ) -> None:
        """Take the sets; the first stamped set gives `asr`, all of them `triggers`.

        Args:
            labels: label set.
            test: clean test pictures.
            stamped: one per trigger, or per attack of several triggers.
            of: `asr_of` in the record: "planted" or "found".
            targeted: gives `psr`, the share called its wrong label, which is never an ASR.
        """
        self._labels, self._test, self._stamped, self._of = labels, test, stamped, of
        self._targeted = targeted

    def __call__(self, encoder: Encoder) -> dict[str, Any]:
        """Figures of one evaluation line."""
        weights = label_weights(encoder, self._labels)
        seen = predict(encoder, self._test.pictures, weights)
        record = _clean_figures(self._test.truth, seen)
        triggers = {one.name: self._attack(one, encoder, weights, seen) for one in self._stamped}
        if triggers:
            first = triggers[self._stamped[0].name]
            own = {k: v for k, v in first.items() if k not in ("by_trigger", "predicted")}
            record |= {**own, "asr_of": self._of, "triggers": triggers}
            targets = sorted({one.target for one in _sets(self._stamped[0])})
            record |= _recall(self._test.truth, seen, targets)
        if self._targeted is not None:
            called = predict(encoder, self._targeted.pictures, weights)
            record |= _share("psr", int((called == self._targeted.targets).sum()), len(called))
        return record

    def _attack(
        self, stamped: StampedSet | PooledSet, encoder: Encoder, weights: Any, seen: np.ndarray
    ) -> dict[str, Any]:
        """ASR of one trigger; of several pooled, with each trigger's own beside it."""
        called = [predict(encoder, one.pictures, weights) for one in _sets(stamped)]
        if isinstance(stamped, StampedSet):
            return _attack_figures([stamped], seen, called)
        parts = {
            one.name: {
                "target": self._labels.names[one.target],
                **_attack_figures([one], seen, [own]),
            }
            for one, own in zip(stamped.sets, called, strict=True)
        }
        pooled = {**_attack_figures(stamped.sets, seen, called), "by_trigger": parts}
        targets = dict.fromkeys(one.target for one in stamped.sets)
        if len(targets) > 1:  # which trigger leads to which target: the diagonal is the attack
            pooled["predicted"] = {
                one.name: {self._labels.names[t]: float((own == t).mean()) for t in targets}
                for one, own in zip(stamped.sets, called, strict=True)
            }
        return pooled


def _sets(stamped: StampedSet | PooledSet) -> tuple[StampedSet, ...]:
    return (stamped,) if isinstance(stamped, StampedSet) else stamped.sets


def _clean_figures(truth: np.ndarray, seen: np.ndarray) -> dict[str, Any]:
    hits, n = int((truth == seen).sum()), len(truth)
    low, high = wilson(hits, n)
    # a broken model that answers one label for everything has an ASR of 0, too
    share = float(np.bincount(seen).max() / n)
    return {"ca": hits / n, "n_ca": n, "ca_low": low, "ca_high": high, "largest_label_share": share}


def _attack_figures(
    sets: Sequence[StampedSet], clean_seen: np.ndarray, called: Sequence[np.ndarray]
) -> dict[str, Any]:
    hits = sum(int((own == one.target).sum()) for one, own in zip(sets, called, strict=True))
    before = sum(int((clean_seen[one.rows] == one.target).sum()) for one in sets)
    n = sum(map(len, called))
    return {**_share("asr", hits, n), "base_rate": before / n}


def _share(name: str, hits: int, n: int) -> dict[str, Any]:
    low, high = wilson(hits, n)
    return {name: hits / n, f"n_{name}": n, f"{name}_low": low, f"{name}_high": high}


def _recall(truth: np.ndarray, seen: np.ndarray, labels: Sequence[int]) -> dict[str, Any]:
    """Nothing where the test set shows none of these labels."""
    rows = np.isin(truth, labels)
    if not rows.any():
        return {}
    return _share("target_recall", int((seen[rows] == truth[rows]).sum()), int(rows.sum()))
