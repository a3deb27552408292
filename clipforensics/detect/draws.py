"""Which rows come together in a reference set: random, but by what a row holds, not where it is.

The order of a draw is that of a keyed hash of each row. A table and the same table shuffled are
then split into the same sets, and every row gets the same score in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.density import neighbours_needed
from clipforensics.detect.embeddings import Copies
from clipforensics.detect.neighbours import check_k
from clipforensics.errors import ConfigError, DataError


@dataclass(frozen=True)
class Plan:
    """How many reference sets there are.

    Attributes:
        rows: different embeddings.
        sets: reference sets per draw.
        draws: how often all rows are split anew.
    """

    rows: int
    sets: int
    draws: int

    @property
    def total(self) -> int:
        """Reference sets in all draws."""
        return self.sets * self.draws

    @property
    def sizes(self) -> tuple[int, int]:
        """Embeddings in the smallest and the largest set."""
        return self.rows // self.sets, -(-self.rows // self.sets)

    def work(self, width: int) -> float:
        """Multiplications in one reference set of embeddings this wide."""
        return float(self.sizes[1]) ** 2 * width


def plan_for(
    copies: Copies, asked: Sequence[tuple[str, DensitySettings]], reference: ReferenceSettings
) -> Plan:
    """The sets that these scores and settings need.

    Raises:
        ConfigError: k is not smaller than the smallest set, or than the different rows.
        DataError: there are several rows, all equal.
    """
    rows, given, size = len(copies.first), len(copies.place), reference.reference_size
    check_differ(copies)
    sets = 1 if size == "all" else max(1, rows // size)
    # one set holds every row: a density is then the same in every draw, a forest is not
    forests = any(name == "iforest" for name, _ in asked)
    plan = Plan(rows, sets, 1 if sets == 1 and not forests else reference.draws)
    for name, density in asked:
        if name != "iforest":
            _check_sets(plan, neighbours_needed(name, density), given)
    return plan


def check_differ(copies: Copies) -> None:
    """Refuse rows that are all one.

    Raises:
        DataError: there are several rows, all equal.
    """
    if len(copies.first) == 1 < len(copies.place):
        raise DataError(
            f"All {len(copies.place):,} embeddings are equal: nothing stands out. "
            "Check that the pictures differ and that the model's weights were loaded."
        )


def _check_sets(plan: Plan, k: int, given: int) -> None:
    smallest = plan.sizes[0]
    if plan.sets > 1 and k >= smallest:
        raise ConfigError(
            f"k={k} needs reference sets of at least {k + 1} embeddings, these hold {smallest}. "
            f"Lower k to {smallest - 1} or less, or raise the reference size."
        )
    if plan.rows < given and k >= plan.rows:
        raise ConfigError(
            f"k={k} needs at least {k + 1} different embeddings, got {plan.rows} among {given:,} "
            f"rows. Lower k to {plan.rows - 1} or less."
        )
    check_k(k, plan.rows)


def sets_of(
    plan: Plan, words: UInt64[np.ndarray, " m"], seed: int, draw: int
) -> list[tuple[np.ndarray, int]]:
    """The reference sets of a draw, each with a seed of its own for a forest.

    Args:
        plan: how many.
        words: a `content_words` of every different row.
        seed: of all draws.
        draw: which one, from 0.

    Returns:
        Positions in `words`, int64, in the order of the rows' contents; sizes differ by at most 1.
    """
    rng = np.random.default_rng([seed, draw])
    order = np.argsort(_mixed(words ^ _key(rng)), kind="stable")
    return [(rows, int(rng.integers(2**31))) for rows in np.array_split(order, plan.sets)]


def sample_of(
    words: UInt64[np.ndarray, " m"], count: int, seed: int = 0
) -> Int64[np.ndarray, " s"]:
    """Positions of so many rows, or of all, drawn by content and in the order of their contents."""
    key = _key(np.random.default_rng(seed))
    return np.argsort(_mixed(words ^ key), kind="stable")[:count].astype(np.int64)


def place_in_sets(
    others: UInt64[np.ndarray, " q"],
    plan: Plan,
    words: UInt64[np.ndarray, " m"],
    seed: int,
    draw: int,
) -> Int64[np.ndarray, " q"]:
    """Into which set of `sets_of` rows that are not in the table fall, by their own content words.

    A row that is in the table falls into its own set.
    """
    key = _key(np.random.default_rng([seed, draw]))
    order = np.sort(_mixed(words ^ key))
    starts = np.cumsum([len(part) for part in np.array_split(order, plan.sets)])[:-1]
    found = np.searchsorted(order[starts], _mixed(others ^ key), side="right")
    return found.astype(np.int64)


def _key(rng: np.random.Generator) -> np.uint64:
    """What the words of one draw are mixed with."""
    return rng.integers(2**64, dtype=np.uint64)


def _mixed(words: UInt64[np.ndarray, " m"]) -> UInt64[np.ndarray, " m"]:
    """Every word scrambled, different ones differently.

    Source:
        The finalizer of SplitMix64: Steele, Lea and Flood, OOPSLA 2014, with Stafford's constants.
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
