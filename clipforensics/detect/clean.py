"""Scores of rows known to be clean, against the very reference sets that scored the case's rows.

They say what a cut flags when nothing is wrong. A clean row is nobody's neighbour: it joins no
reference set, so however many there are, they neither crowd each other nor change a score.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.detect.apart import Apart, lengths
from clipforensics.detect.density import FROM_NEIGHBOURS, logged, neighbours_needed
from clipforensics.detect.draws import check_differ, place_in_sets, plan_for, sets_of
from clipforensics.detect.embeddings import (
    Copies,
    check_embeddings,
    content_words,
    equal_rows,
    find_copies,
    take,
)
from clipforensics.detect.forest import isolation_forest
from clipforensics.detect.frequent import counted
from clipforensics.detect.neighbours import Neighbours, neighbours
from clipforensics.detect.scales import asked_at, combine, footing, scales_for
from clipforensics.detect.workers import each_in_turn
from clipforensics.errors import DataError, RunError

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]
Asked = Sequence[tuple[str, DensitySettings]]


def score_clean(
    x: np.ndarray,
    clean: np.ndarray,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    progress: Progress | None = None,
    stop: Stop | None = None,
    copies: Copies | None = None,
) -> Float64[np.ndarray, " q"]:
    """Score clean rows as `reference.score` scores the rows of x, draw by draw in the same sets.

    In each draw a clean row is compared with one set, chosen by what the row holds. One that
    equals a row of x meets that row's own set, leaves it out, and gets that row's score, that
    of its group where near-copies count once.

    Args:
        x: the embeddings that were scored [n, d]; may be memory-mapped.
        clean: embeddings [q, d] from the same model.
        detector, density, reference: as `reference.score`; captions are not read.
        progress: told (sets done, sets in all).
        stop: asked before each set, and within a long one.
        copies: which rows of x count as one, if it is known.

    Returns:
        One score per clean row, on the footing of `Scores.mean`.

    Raises:
        ConfigError, DataError, RunError: as `reference.score`; the widths differ.

    Source:
        LOF of a point outside the data is scikit-learn's `LocalOutlierFactor(novelty=True)`. A row
        in a set may shorten its neighbours' k-distances, one outside it cannot: crowded rows
        differ by that, of the order of 1/k, lonely ones, which a cut is about, hardly.
    """
    told = _told(progress, stop, detector)
    _, found = _log_means(x, clean, [(detector, density)], reference, told, stop, copies)
    return found[0] if detector == "dao" else np.exp(found[0])


def score_clean_scales(
    x: np.ndarray,
    clean: np.ndarray,
    cfg: ScaleSettings,
    progress: Progress | None = None,
    stop: Stop | None = None,
    copies: Copies | None = None,
) -> Apart:
    """`score_clean` for `scales.score_scales`: the measures of every clean row, [q] each.

    Medians and widths of the z are those of x, so that both stand on one footing.

    Raises:
        ConfigError, DataError, RunError: as `score_clean`.
    """
    copies = copies or find_copies(x, cfg.normalize)
    check_differ(copies)
    scales = scales_for(len(copies.first), cfg)
    sizes = sorted({scale.reference_size for scale in scales})
    z, beside = [], {}
    for at, size in enumerate(sizes):
        asked = asked_at(size, scales)
        reference = ReferenceSettings(
            reference_size=size, draws=cfg.draws, seed=cfg.seed, normalize=cfg.normalize
        )
        told = _told(progress, stop, f"scale {size:,}", at, len(sizes))
        own, found = _log_means(x, clean, asked, reference, told, stop, copies)
        for (name, _), mine, theirs in zip(asked, own, found, strict=True):
            if name == "lof":
                middle, width = footing(mine)
                z.append((theirs - middle) / width if width > 0 else np.zeros_like(theirs))
            else:
                beside[name] = theirs
    norm = _lengths(x, clean, copies, cfg.normalize)
    return Apart(combine(np.array(z))[0], norm=norm, **beside)


def _lengths(
    x: np.ndarray, clean: np.ndarray, copies: Copies, normalize: bool
) -> Float64[np.ndarray, " q"]:
    """Of clean rows; one that equals a row of x which counts with others has that of their first."""
    found, several = lengths(clean, normalize), _several(copies)
    if len(several) and not normalize:
        same = equal_rows(x, several, clean, normalize)
        of_group = copies.first[copies.place[same[same >= 0]]]
        found[same >= 0] = lengths(take(x, of_group))
    return found


def _several(copies: Copies) -> Int64[np.ndarray, " _"]:
    """The rows that count with others as one."""
    return np.flatnonzero(np.bincount(copies.place)[copies.place] > 1)


def _log_means(
    x: np.ndarray,
    clean: np.ndarray,
    asked: Asked,
    reference: ReferenceSettings,
    told: Callable[[int, int], None],
    stop: Stop | None,
    copies: Copies | None,
) -> tuple[Float64[np.ndarray, "a m"], Float64[np.ndarray, "a q"]]:
    """Means over the draws, on the scale draws are averaged on, of x's different rows and clean's."""
    for table in (x, clean):
        check_embeddings(table, reference.normalize)
    if clean.shape[1] != x.shape[1]:
        raise DataError(
            f"The clean rows have {clean.shape[1]} numbers, the embeddings {x.shape[1]}. "
            "Embed both with the same model."
        )
    copies, words = counted(x, reference, stop, copies)
    theirs = find_copies(clean, reference.normalize)
    plan = plan_for(copies, asked, reference)
    their_words = content_words(clean, theirs.first, reference.normalize)
    queries = take(clean, theirs.first, reference.normalize)
    own, found = np.zeros((len(asked), plan.rows)), np.zeros((len(asked), len(queries)))

    watch = _watch(stop)

    def values(task: tuple[np.ndarray, int, np.ndarray]) -> np.ndarray:
        rows, seed, at = task
        points = take(x, copies.first[rows], reference.normalize)
        return _in_set(points, queries[at], asked, seed, watch)

    for draw in range(plan.draws):
        place = place_in_sets(their_words, plan, words, reference.seed, draw)
        tasks = [
            (rows, seed, np.flatnonzero(place == number))
            for number, (rows, seed) in enumerate(sets_of(plan, words, reference.seed, draw))
        ]
        with each_in_turn(values, tasks, plan.work(x.shape[1])) as answers:
            for number, (rows, _, at) in enumerate(tasks):
                told(draw * plan.sets + number, plan.total)
                value = next(answers)
                own[:, rows] += value[:, : len(rows)] / plan.draws
                found[:, at] += value[:, len(rows) :] / plan.draws
    several = _several(copies)
    if len(several):  # a copy that is not in the set itself
        same = equal_rows(x, several, clean[theirs.first], reference.normalize)
        found[:, same >= 0] = own[:, copies.place[same[same >= 0]]]
    told(plan.total, plan.total)
    return own, found[:, theirs.place]


def _in_set(
    points: Float[np.ndarray, "m d"],
    queries: Float[np.ndarray, "q d"],
    asked: Asked,
    seed: int,
    watch: Progress,
) -> Float64[np.ndarray, "a n"]:
    """Scores of a set's rows, then of the queries, on the scale that draws are averaged on."""
    needed = [neighbours_needed(*one) for one in asked if one[0] != "iforest"]
    graph = _graph(points, queries, max(needed), watch) if needed else None
    out = np.empty((len(asked), len(points) + len(queries)))
    for at, (name, density) in enumerate(asked):
        if graph is None or name == "iforest":
            out[at] = isolation_forest(points, seed, queries)
        else:
            out[at] = FROM_NEIGHBOURS[name](*graph, density)
        out[at] = logged(name, out[at])
    return out


def _graph(
    points: Float[np.ndarray, "m d"], queries: Float[np.ndarray, "q d"], k: int, watch: Progress
) -> Neighbours:
    """Neighbours of a set's rows, then of the queries; all lie in the set, none is the row itself."""
    dist, ids = neighbours(points, k, progress=watch)
    if not len(queries):
        return Neighbours(dist, ids)
    # a set holds no row twice: at distance 0 lies the query itself, which is then left out
    far, other = neighbours(queries, k + 1, reference=points, progress=watch)
    keep = np.arange(k) + (far[:, :1] == 0)
    return Neighbours(
        np.vstack([dist, np.take_along_axis(far, keep, 1)]),
        np.vstack([ids, np.take_along_axis(other, keep, 1)]),
    )


def _watch(stop: Stop | None) -> Progress:
    """Ask for a stop within a set too: the whole table may be one."""

    def watch(done: int, total: int) -> None:
        if stop is not None and stop():
            raise RunError(f"Stopped while finding neighbours, after {done:,} of {total:,} rows.")

    return watch


def _told(
    progress: Progress | None, stop: Stop | None, what: str, part: int = 0, parts: int = 1
) -> Callable[[int, int], None]:
    """Ask for a stop, then tell progress over all parts, each taken as equally long."""

    def tell(done: int, total: int) -> None:
        if stop is not None and stop():
            raise RunError(
                f"Scoring clean rows by {what} was stopped after {done} of {total} sets."
            )
        if progress is not None:
            progress(part * 100 + 100 * done // total, parts * 100)

    return tell
