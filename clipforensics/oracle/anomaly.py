"""Is one label's inverted trigger oddly small? Compared with control labels, and on both models.

Success alone proves nothing: some small change makes almost any label on almost any model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from clipforensics.config.inversion import FamilyName, InversionSettings
from clipforensics.errors import ConfigError
from clipforensics.oracle.rates import anomaly_chance, anomaly_index, any_chance

LEAST_SIZE = 1e-6


@dataclass(frozen=True)
class Inverted:
    """Figures of one label's inverted trigger of one family.

    Attributes:
        label, family: what was looked for.
        size, unit: how large a change it takes; where it was not reached, the largest one tried.
        reached: whether the search made enough pictures answer the label at all.
        success, interval, n: share of n held-out pictures that the suspect then answers so, and
            Wilson's 95 % interval.
        f_t: the same share on the trusted model.
    """

    label: str
    family: FamilyName
    size: float
    unit: str
    reached: bool
    success: float
    interval: tuple[float, float]
    n: int
    f_t: float


@dataclass(frozen=True)
class Compared:
    """One suspected label beside its controls.

    Attributes:
        found: its own figures.
        controls: those of the control labels, smallest first.
        anomaly_index: robust deviations below the controls' median, on logarithms.
        rank: 1 when no control is as small.
        checks: each condition of a flag, and whether it holds.
    """

    found: Inverted
    controls: tuple[Inverted, ...]
    anomaly_index: float
    rank: int
    checks: dict[str, bool]

    @property
    def flagged(self) -> bool:
        """Whether every condition holds."""
        return all(self.checks.values())


def compared(
    found: Inverted, controls: Sequence[Inverted], settings: InversionSettings
) -> Compared:
    """Hold a label's figures against its controls.

    A control that was not reached counts with the largest change tried in vain: it would need a
    larger one, as far as this search can tell.
    """
    sizes = [max(one.size, LEAST_SIZE) for one in controls]
    own = max(found.size, LEAST_SIZE)
    index = anomaly_index(own, sizes)
    rank = 1 + sum(size <= own for size in sizes)
    checks = {
        "reached": found.reached,
        "anomaly_index": index > settings.anomaly_limit,
        "rank": rank == 1,
        "held_out": found.success >= settings.held_out_limit,
        "trusted": found.f_t <= settings.trusted_limit,
    }
    ordered = tuple(sorted(controls, key=lambda one: (one.size, one.label)))
    return Compared(found, ordered, index, rank, checks)


def by_chance(rows: Sequence[Compared], settings: InversionSettings) -> dict[str, Any]:
    """How likely it is that some label is oddly small by chance, with nothing planted.

    By size alone, that is anomaly index and rank: the other conditions only make a flag rarer, by
    how much is not known. Comparisons count as independent; those of one family share controls,
    which tends to make "at least one" somewhat rarer than told.

    Returns:
        `comparisons`; `each`, the chance of one (`anomaly_chance`); `any`, of at least one;
        `sentence`, the same in words for a reviewer.
    """
    chances = [anomaly_chance(len(one.controls), settings.anomaly_limit) for one in rows]
    some = any_chance(chances)
    return {
        "comparisons": len(rows), "each": max(chances, default=0.0), "any": some,
        "sentence": f"{len(rows):,} comparison{'s' * (len(rows) != 1)} with control labels: with "
        f"nothing planted, about {_per_cent(some)} of such runs would find at least one label oddly "
        "small by size alone (counted as independent, though they share controls). A flag also needs "
        "success on held-out pictures and few such answers of the trusted model. More control labels "
        "lower this chance.",
    }  # fmt: skip


def control_labels(
    asked: Sequence[str], frequency: Mapping[str, int], count: int, seed: int
) -> dict[str, tuple[str, ...]]:
    """Control labels of each asked label: others of similar frequency, drawn by their names.

    Nearest in frequency first, in steps of a factor 1.5; within a step the order is that of a
    keyed hash, so that it depends on neither the order of the labels nor of the pairs, and labels
    of like frequency share their controls.

    Args:
        asked: suspected labels; none of them is a control of any.
        frequency: how many captions name each label.
        count: controls wanted for each.
        seed: of the draw.

    Raises:
        ConfigError: an asked label is unknown, or there are too few others.
    """
    for name in asked:
        if name not in frequency:
            raise ConfigError(
                f"The label {name!r} is not among the {len(frequency)} labels of the case. "
                "Choose one of them."
            )
    others = sorted(set(frequency) - set(asked))
    if len(others) < count:
        raise ConfigError(
            f"Inversion compares with {count} control labels, and only {len(others)} of the "
            f"{len(frequency)} labels are not asked for. Ask for fewer, or use a larger label set."
        )
    order = {name: _keyed(name, seed) for name in others}
    return {
        name: tuple(
            sorted(others, key=lambda one: (_step(frequency[name], frequency[one]), order[one]))[
                :count
            ]
        )
        for name in dict.fromkeys(asked)
    }


def _per_cent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _step(a: int, b: int) -> int:
    """How many factors of 1.5 lie between two counts."""
    return int(abs(log((a + 1) / (b + 1))) / log(1.5))


def _keyed(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
