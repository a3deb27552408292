"""Is one label's inverted trigger oddly small? Compared with control labels, and on both models.

Success alone proves nothing: some small change makes almost any label on almost any model.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Literal

from clipforensics.config.inversion import FamilyName, InversionSettings
from clipforensics.errors import ConfigError
from clipforensics.oracle.competence import Recall
from clipforensics.oracle.rates import anomaly_chance, anomaly_index, any_chance

LEAST_SIZE = 1e-6
LEAST_REACHED = 0.5
"""Share of the controls that a search must reach before sizes are compared."""

Status = Literal["compared", "not_judged", "label_not_reached", "controls_not_reached"]
"""Of one label and family; all but the first mean that the family could not be tested here."""


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
        controls: those of the control labels, reached ones first, smallest first.
        status: whether sizes could be compared, else why not.
        anomaly_index: robust deviations below the reached controls' median, on logarithms; None
            where nothing could be compared.
        rank: among the reached controls, 1 when none is as small; None likewise.
        checks: each condition of a flag, and whether it holds.
        recall: of the trusted model on clean pictures of the label; None where nobody asked.
    """

    found: Inverted
    controls: tuple[Inverted, ...]
    status: Status
    anomaly_index: float | None
    rank: int | None
    checks: dict[str, bool]
    recall: Recall | None = None

    @property
    def flagged(self) -> bool:
        """Whether every condition holds."""
        return all(self.checks.values())

    @property
    def reached(self) -> int:
        """How many controls were reached."""
        return sum(one.reached for one in self.controls)


def compared(
    found: Inverted,
    controls: Sequence[Inverted],
    settings: InversionSettings,
    recall: Recall | None = None,
) -> Compared:
    """Hold a label's figures against its controls.

    A control that was not reached tells no size: the largest change tried in vain says how far the
    search went, not what it takes. It is left out, and where the label itself or more than half of
    the controls were not reached nothing is compared. Nor is it where the trusted model surely does
    not know the label: a picture of the real thing would then pass for a trigger.
    """
    ordered = tuple(sorted(controls, key=lambda one: (not one.reached, one.size, one.label)))
    sizes = [max(one.size, LEAST_SIZE) for one in ordered if one.reached]
    status = _status(found.reached, len(sizes), len(ordered))
    if recall is not None and recall.too_low(settings):
        status = "not_judged"
    index = rank = None
    if status == "compared":
        own = max(found.size, LEAST_SIZE)
        index, rank = anomaly_index(own, sizes), 1 + sum(size <= own for size in sizes)
    checks = {
        "reached": found.reached,
        "anomaly_index": index is not None and index > settings.anomaly_limit,
        "rank": rank == 1,
        "held_out": found.success >= settings.held_out_limit,
        "trusted": status != "not_judged" and found.f_t <= settings.trusted_limit,
    }
    return Compared(found, ordered, status, index, rank, checks, recall)


def untested(rows: Sequence[Compared]) -> str:
    """Families that could not be tested, in words: for all labels, or for which; "" if none."""
    families = dict.fromkeys(one.found.family for one in rows)
    parts = []
    for family in families:
        of = [one for one in rows if one.found.family == family]
        failed = [one.found.label for one in of if one.status != "compared"]
        if failed:
            parts.append(family if len(failed) == len(of) else f"{family} for {', '.join(failed)}")
    return "; ".join(parts)


def by_chance(rows: Sequence[Compared], settings: InversionSettings) -> dict[str, Any]:
    """How likely it is that some label is oddly small by chance, with nothing planted.

    By size alone, that is anomaly index and rank: the other conditions only make a flag rarer, by
    how much is not known. What could not be tested is no comparison, and only reached controls
    count. Comparisons count as independent; those of one family share controls,
    which tends to make "at least one" somewhat rarer than told.

    Returns:
        `comparisons`; `each`, the chance of one (`anomaly_chance`); `any`, of at least one;
        `sentence`, the same in words for a reviewer.
    """
    tested = [one for one in rows if one.status == "compared"]
    chances = [anomaly_chance(one.reached, settings.anomaly_limit) for one in tested]
    some = any_chance(chances)
    if not tested:
        said = (
            "No size could be compared with control labels, so none can be oddly small by chance."
        )
        return {"comparisons": 0, "each": 0.0, "any": 0.0, "sentence": said}
    return {
        "comparisons": len(tested), "each": max(chances), "any": some,
        "sentence": f"{len(tested):,} comparison{'s' * (len(tested) != 1)} with control labels: with "
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


def _status(reached: bool, controls_reached: int, controls: int) -> Status:
    if not reached:
        return "label_not_reached"
    if controls_reached < max(1, LEAST_REACHED * controls):
        return "controls_not_reached"
    return "compared"


def _per_cent(share: float) -> str:
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _step(a: int, b: int) -> int:
    """How many factors of 1.5 lie between two counts."""
    return int(abs(log((a + 1) / (b + 1))) / log(1.5))


def _keyed(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
