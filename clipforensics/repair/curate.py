"""Choose the clean pairs a fine-tuning repair learns from: arrays in, rows out."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.errors import DataError

Support = Callable[[np.ndarray], np.ndarray]
CANDIDATES_PER_PAIR = 6


@dataclass(frozen=True)
class Curated:
    """Rows of the pairs table, in no order: `retention` keep what the model knows, `target` really
    show an affected label; `asked` is how many were wanted, `supported` whether an oracle looked."""

    retention: np.ndarray
    target: np.ndarray
    asked: int
    supported: bool

    @property
    def rows(self) -> np.ndarray:
        """All rows, retention first."""
        return np.concatenate([self.retention, self.target])

    @property
    def is_target(self) -> np.ndarray:
        """bool [len(rows)]: these are never stamped."""
        return np.arange(len(self.rows)) >= len(self.retention)

    def table(
        self, n_pairs: int, named: Sequence[Sequence[int]], stamped_share: float
    ) -> list[dict]:
        """What the set is made of, one row per kind, for page and report."""
        oracle = "caption agrees with the trusted model" if self.supported else "no oracle looked"
        lines: list[dict[str, Any]] = []
        for kind, rows in (("retention", self.retention), ("target", self.target)):
            kinds = {label for row in rows for label in named[row]}
            lines.append({
                "kind": kind, "pairs": len(rows), "share_of_all_pairs": len(rows) / n_pairs,
                "labels": len(kinds), "check": oracle,
            })  # fmt: skip
        if stamped_share:
            lines.append({
                "kind": "stamped", "pairs": len(self.retention), "share_of_all_pairs": 0.0,
                "labels": lines[0]["labels"],
                "check": f"copies of retention pairs made on the fly, {stamped_share:.0%} of each "
                "batch, with their own captions",
            })  # fmt: skip
        return lines


def curate(
    named: Sequence[Sequence[int]],
    scores: np.ndarray,
    excluded: np.ndarray,
    affected: Sequence[int],
    count: int,
    target_share: float,
    support: Support | None,
    seed: int,
) -> Curated:
    """Pick pairs that look clean by every sign at hand.

    A pair may be picked when its score is below the median, it is not excluded, its caption names
    a label, and the oracle supports the caption. Retention pairs name no affected label and are
    spread evenly over labels; target pairs name an affected one.

    Args:
        named: label numbers that each caption names.
        scores: float [n], higher is more suspicious; NaN where a picture cannot be read.
        excluded: bool [n], victims and whatever a reviewer called suspicious.
        affected: label numbers the triggers force.
        count: pairs wanted.
        target_share: share of them that are target pairs.
        support: rows to bool: does a trusted model see what the caption names? None: no oracle.
        seed: of the draw: every row has its own lot, so leaving one out replaces that one alone.

    Raises:
        DataError: not one pair passes.
    """
    lots = np.random.default_rng([seed, 31]).permutation(len(scores))
    low = np.zeros(len(scores), bool)
    finite = np.isfinite(scores)
    low[finite] = scores[finite] <= np.median(scores[finite]) if finite.any() else False
    usable = np.flatnonzero(low & ~excluded & np.array([bool(names) for names in named], bool))
    pulled = set(affected)
    hit = np.array([bool(pulled.intersection(named[int(row)])) for row in usable], bool)
    want = round(count * target_share) if pulled else 0
    target = _pick(lots, usable[hit], named, want, support, pulled)
    retention = _pick(lots, usable[~hit], named, count - len(target), support, None)
    if not len(retention):
        raise DataError(
            f"No clean pair can be curated: of {len(scores):,} pairs {len(usable):,} score below the "
            "median, are not marked suspicious and name a label, and the trusted model supports "
            "none of them. Check labels file and trusted model."
        )
    return Curated(retention, target, count, support is not None)


def _pick(
    lots: np.ndarray,
    rows: np.ndarray,
    named: Sequence[Sequence[int]],
    count: int,
    support: Support | None,
    only: set[int] | None,
) -> np.ndarray:
    """`count` supported rows, labels taking turns; a sample of candidates is looked at."""
    candidates = _even(rows[np.argsort(lots[rows])], named, count * CANDIDATES_PER_PAIR, only)
    if support is not None and len(candidates):
        candidates = candidates[support(candidates)]
    return np.sort(_even(candidates, named, count, only))


def _even(
    rows: np.ndarray, named: Sequence[Sequence[int]], count: int, only: set[int] | None
) -> np.ndarray:
    queues: dict[int, list[int]] = defaultdict(list)
    for row in rows[::-1]:
        queues[next(n for n in named[row] if only is None or n in only)].append(int(row))
    picked: list[int] = []
    while queues and len(picked) < count:
        for label in sorted(queues):
            picked.append(queues[label].pop())
            if not queues[label]:
                del queues[label]
            if len(picked) == count:
                break
    return np.array(picked, np.int64)
