"""Score every row against random reference sets, never against the whole set by default.

With more poisons than k in the reference, a poison's neighbours are the other poisons and it
looks normal. A random reference set thins them out; averaging a few draws steadies the ranking.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.config.detect import DETECTORS, DensitySettings, ReferenceSettings
from clipforensics.detect.density import SCORES, neighbours_needed
from clipforensics.detect.embeddings import Copies, check_embeddings, find_copies, take
from clipforensics.detect.forest import isolation_forest
from clipforensics.detect.neighbours import check_k
from clipforensics.errors import ConfigError, DataError, RunError

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scores:
    """One detector's answer.

    Attributes:
        mean: float64 [n], higher is more suspicious. The geometric mean over the draws (for `dao`,
            a log already, the arithmetic one), so that a single draw gives the score itself.
        spread: float64 [n], standard deviation over the draws of ln score (for `dao`, of the
            score); 0 where there is a single draw.
        info: what made it, in JSON types: detector, k, reference sizes wished and true, draws,
            seed, features raw or normalized, rows, copies.
    """

    mean: np.ndarray
    spread: np.ndarray
    info: dict[str, Any]


def score(
    x: np.ndarray,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Scores:
    """Score every embedding against random reference sets drawn from the others.

    Each draw shuffles the rows and splits them into floor(n / reference_size) sets whose sizes
    differ by at most one; a row is scored once per draw, within its set. Exact copies are scored
    as one row and all get its score. An Isolation Forest is fitted anew on each set.

    Args:
        x: embeddings [n, d], float16, float32 or float64; may be memory-mapped.
        detector: a name in `DETECTORS`.
        density: neighbour settings; an Isolation Forest has none.
        reference: size, draws, seed, and whether to normalize.
        progress: told (sets done, sets in all) after each set.
        stop: asked before each set; true ends the work with a RunError.

    Raises:
        ConfigError: unknown detector, or k is not smaller than the smallest reference set.
        DataError: x is no table of finite floats, or all its rows are equal.
        RunError: stopped on request.
    """
    if detector not in DETECTORS:
        raise ConfigError(f"Unknown detector {detector!r}; known are {', '.join(DETECTORS)}.")
    check_embeddings(x, reference.normalize)
    copies = find_copies(x, reference.normalize)
    plan = _plan(copies, detector, density, reference)
    mean, square = np.zeros(plan.rows), np.zeros(plan.rows)
    for draw in range(plan.draws):
        rng = np.random.default_rng([reference.seed, draw])
        order = np.arange(plan.rows) if plan.sets == 1 else rng.permutation(plan.rows)
        for done, rows in enumerate(np.array_split(order, plan.sets), start=draw * plan.sets):
            if stop is not None and stop():
                raise RunError(
                    f"Scoring by {detector} was stopped after {done} of {plan.total} reference "
                    "sets; nothing was kept. Start it again to score from the beginning."
                )
            rows = np.sort(rows)  # ascending: a memory-mapped file is read in one direction
            part = take(x, copies.first[rows], reference.normalize)
            value = _transformed(detector, part, density, seed=int(rng.integers(2**31)))
            # Welford: mean and squared deviation without keeping every draw
            step = value - mean[rows]
            mean[rows] += step / (draw + 1)
            square[rows] += step * (value - mean[rows])
            if progress is not None:
                progress(done + 1, plan.total)
    spread = np.sqrt(square / max(1, plan.draws - 1))
    mean = mean if detector == "dao" else np.exp(mean)
    info = _info(x, copies, plan, detector, density, reference)
    return Scores(mean[copies.place], spread[copies.place], info)


@dataclass(frozen=True)
class _Plan:
    rows: int  # different embeddings
    sets: int  # reference sets per draw
    draws: int

    @property
    def total(self) -> int:
        return self.sets * self.draws

    @property
    def sizes(self) -> tuple[int, int]:
        return self.rows // self.sets, -(-self.rows // self.sets)


def _plan(
    copies: Copies, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> _Plan:
    rows, given, size = len(copies.first), len(copies.place), reference.reference_size
    if rows == 1 < given:
        raise DataError(
            f"All {given:,} embeddings are equal: nothing stands out. "
            "Check that the pictures differ and that the model's weights were loaded."
        )
    sets = 1 if size == "all" else max(1, rows // size)
    # one set holds every row: a density is then the same in every draw, a forest is not
    plan = _Plan(rows, sets, 1 if sets == 1 and detector != "iforest" else reference.draws)
    if detector != "iforest":
        _check_sets(plan, neighbours_needed(detector, density), given)
    return plan


def _check_sets(plan: _Plan, k: int, given: int) -> None:
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


def _transformed(detector: str, x: np.ndarray, density: DensitySettings, seed: int) -> np.ndarray:
    """Scores on the scale that draws are averaged on."""
    if detector == "iforest":
        return np.log(isolation_forest(x, seed))
    value = SCORES[detector](x, density)
    return value if detector == "dao" else np.log(value)


def _info(
    x: np.ndarray,
    copies: Copies,
    plan: _Plan,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
) -> dict[str, Any]:
    counts = np.bincount(copies.place)
    smallest, largest = plan.sizes
    neighbours = {} if detector == "iforest" else {"k": density.k, "k_lid": density.lid_neighbours}
    return {
        "detector": detector,
        **neighbours,
        "rows": len(x),
        "dim": x.shape[1],
        "features": "normalized" if reference.normalize else "raw",
        "reference_size": reference.reference_size,
        "reference_size_true": [smallest, largest],
        "sets_per_draw": plan.sets,
        "draws": plan.draws,
        "seed": reference.seed,
        "draw_seeds": [[reference.seed, draw] for draw in range(plan.draws)],
        "different_rows": plan.rows,
        "copied_rows": int(counts[counts > 1].sum()),
        "copy_groups": int((counts > 1).sum()),
        "largest_copy_group": int(counts.max()),
        # more poison than this fills a poison's neighbourhood: science of the working window
        "guards_up_to_rate": None if detector == "iforest" else density.k / (2 * largest),
    }
