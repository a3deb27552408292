"""Score every row against random reference sets, never against the whole set by default.

With more poisons than k in the reference, a poison's neighbours are the other poisons and it
looks normal. A random reference set thins them out; averaging a few draws steadies the ranking.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.config.detect import DETECTORS, DensitySettings, ReferenceSettings
from clipforensics.detect.density import FROM_NEIGHBOURS, Undefined
from clipforensics.detect.device import device_for
from clipforensics.detect.draws import Plan, plan_for, sets_of
from clipforensics.detect.embeddings import (
    Copies,
    check_embeddings,
    content_words,
    find_copies,
    take,
)
from clipforensics.detect.frequent import counted
from clipforensics.detect.one_set import check_mode, if_long, transformed
from clipforensics.detect.workers import each_in_turn
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
        copies: which rows counted as one; None for scores that were read.
    """

    mean: np.ndarray
    spread: np.ndarray
    info: dict[str, Any]
    copies: Copies | None = None


@dataclass
class State:
    """How far scoring is, so that a killed one goes on where it was.

    Attributes:
        done: reference sets finished.
        mean, square: float64 [scores, different rows], Welford's sums over the draws so far.
    """

    done: int
    mean: np.ndarray
    square: np.ndarray


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
    differ by at most one; a row is scored once per draw, within its set. The shuffle hangs on what
    the rows hold: the same rows in another order get the same scores. Exact copies are scored
    as one row and all get its score, and so are frequent near-copies (`frequent.frequent_copies`)
    unless `reference.collapse` is off. An Isolation Forest is fitted anew on each set. Many rows are
    scored on a GPU where there is one, with the same scores but for the last digits.

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
    return score_each(x, [(detector, density)], reference, progress, stop)[0]


def score_each(
    x: np.ndarray,
    asked: Sequence[tuple[str, DensitySettings]],
    reference: ReferenceSettings,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    copies: Copies | None = None,
    captions: np.ndarray | None = None,
    words: np.ndarray | None = None,
    mode: str = "exact",
) -> list[Scores]:
    """Several scores of the same draws, from one neighbour search per reference set; see `score`.

    Args:
        x, reference, progress, stop: as `score`.
        asked: detector and neighbour settings of each score.
        state: what `keep` was given last by an earlier attempt with the same arguments.
        keep: given the state after each set; it may store it or not. Not a copy: read it at once.
        copies: which rows count as one, if it is known.
        captions: caption embeddings [n, d], which join the reference set of their own rows, each
            different one once, and are not scored; the authors' released script does so.
        words: `content_words` of the different rows if known, to spare a reading.
        mode: "ivf" finds neighbours among the whole set by an inverted file, several times as fast
            on many rows; it misses some, chiefly of isolated rows. Only with reference size "all".

    Returns:
        One answer for each score asked, in that order; each equals `score` of its own.

    Raises:
        ConfigError, DataError, RunError: as `score`.
    """
    for detector, _ in asked:
        if detector not in DETECTORS and detector not in FROM_NEIGHBOURS:
            raise ConfigError(f"Unknown detector {detector!r}; known are {', '.join(DETECTORS)}.")
    check_mode(mode, reference, [detector for detector, _ in asked])
    for table in (x,) if captions is None else (x, captions):
        check_embeddings(table, reference.normalize, if_long(stop, table))
    if captions is not None and captions.shape != x.shape:
        raise DataError(
            f"Captions need the shape of the pictures, {list(x.shape)}, got {list(captions.shape)}."
        )
    if copies is None or words is None:
        copies, words = counted(x, reference, if_long(stop, x), copies)
    plan = plan_for(copies, asked, reference)
    if state is None or state.mean.shape != (len(asked), plan.rows):
        state = State(0, *np.zeros((2, len(asked), plan.rows)))

    device = device_for(plan.total * plan.work(x.shape[1]))

    def values(task: tuple[np.ndarray, int]) -> np.ndarray:
        part = _read(x, copies.first[task[0]], reference.normalize)
        if captions is not None:
            also = _read(captions, copies.members(task[0]), reference.normalize)
            own = find_copies(also).first
            also = also[own[np.argsort(content_words(also, own))]]
            part = np.vstack([part, also])
        try:
            return transformed(asked, part, task[1], stop, device, mode)[:, : len(task[0])]
        except Undefined as problem:  # it knows the set alone
            raise problem.of_table(copies.first[task[0]]) from None

    for draw in range(state.done // plan.sets, plan.draws):
        tasks = sets_of(plan, words, reference.seed, draw)[state.done - draw * plan.sets :]
        with each_in_turn(values, tasks, plan.work(x.shape[1])) as answers:
            for rows, _ in tasks:
                if stop is not None and stop():
                    raise RunError(
                        f"Scoring by {', '.join(dict(asked))} was stopped after {state.done} of "
                        f"{plan.total} reference sets."
                    )
                # Welford: mean and squared deviation without keeping every draw
                value = next(answers)
                step = value - state.mean[:, rows]
                state.mean[:, rows] += step / (draw + 1)
                state.square[:, rows] += step * (value - state.mean[:, rows])
                state.done += 1
                if keep is not None:
                    keep(state)
                if progress is not None:
                    progress(state.done, plan.total)
    return [
        _answer(x, copies, plan, one, reference, state.mean[at], state.square[at])
        for at, one in enumerate(asked)
    ]


def _read(x: np.ndarray, rows: np.ndarray, normalize: bool) -> np.ndarray:
    """These rows in this order; a memory-mapped file is read in one direction."""
    order = np.argsort(rows)
    found = take(x, rows[order], normalize)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return found[place]


def _answer(
    x: np.ndarray,
    copies: Copies,
    plan: Plan,
    asked: tuple[str, DensitySettings],
    reference: ReferenceSettings,
    mean: np.ndarray,
    square: np.ndarray,
) -> Scores:
    spread = np.sqrt(square / max(1, plan.draws - 1))
    mean = mean if asked[0] == "dao" else np.exp(mean)
    info = _info(x, copies, plan, *asked, reference)
    return Scores(mean[copies.place], spread[copies.place], info, copies)


def _info(
    x: np.ndarray,
    copies: Copies,
    plan: Plan,
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
