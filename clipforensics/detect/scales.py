"""Scores when nobody knows the poison rate: many reference sizes and neighbours, one ranking.

At a scale (reference size B, neighbours k) a group stands out while it is rarer than k / 2B, and a
clean row looks normal while its own kind is more frequent than 2k / B. Neither rate is known, so
every scale is tried, and a row is as suspicious as at the scale where it stands out most. The same
neighbours give the other measures of `apart` at one scale.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.detect.apart import AT, Apart, lengths
from clipforensics.detect.draws import check_differ
from clipforensics.detect.embeddings import Copies, check_embeddings, content_words, find_copies
from clipforensics.detect.neighbours import check_k
from clipforensics.detect.one_set import if_long
from clipforensics.detect.reference import Progress, State, score_each

LEAST_SHARE = 8  # a set holds at least so many times k rows
LEAST_SETS = 4  # a larger reference size leaves too few different sets in a draw
SHARES = (4, 8, 16)  # of few rows, as reference sizes


@dataclass(frozen=True)
class Scale:
    """A reference size and a number of neighbours."""

    reference_size: int
    k: int

    @property
    def guards_up_to_rate(self) -> float:
        """The share of a group above which it fills its own neighbourhoods."""
        return self.k / (2 * self.reference_size)

    def __str__(self) -> str:
        return f"{self.reference_size},{self.k}"


@dataclass(frozen=True)
class ScaleScores:
    """What a scan over scales found.

    Attributes:
        scales: the scales, by size then k.
        mean: float64 [scales, n], geometric mean over the draws, as `Scores.mean`.
        spread: float64 [scales, n], standard deviation over the draws of ln score.
        z: float64 [scales, n], ln score in robust standard deviations from its scale's median.
        combined: float64 [n], the largest z of a row; higher is more suspicious.
        best: int64 [n], the position in `scales` where that was.
        apart: that z, and the other measures of how far a row lies from others.
        info: what made it, in JSON types.
    """

    scales: tuple[Scale, ...]
    mean: np.ndarray
    spread: np.ndarray
    z: np.ndarray
    combined: np.ndarray
    best: np.ndarray
    apart: Apart
    info: dict[str, Any]


def scales_for(n: int, cfg: ScaleSettings) -> tuple[Scale, ...]:
    """The scales that n different rows allow: sets of at least 8k rows, at least four a draw.

    Rows that are too few for every reference size asked for have a fourth, an eighth and a sixteenth
    of themselves as sizes. Only where not even these hold 8k rows (fewer than 256 at k = 8), the
    whole set with the fewest neighbours is the one scale: of 2,000 pairs with 20 poisons it ranks
    them at random (AUROC .38 to .58), where reference sets of 125 to 500 rows reach .99.

    Raises:
        ConfigError: not even that fits.
    """
    found = _fitting(n, cfg.reference_sizes, cfg)
    found = found or _fitting(n, [n // share for share in SHARES], cfg)
    if not found:
        check_k(min(cfg.neighbours), n)
        return (Scale(n, min(cfg.neighbours)),)
    return found


def _fitting(n: int, sizes: Iterable[int], cfg: ScaleSettings) -> tuple[Scale, ...]:
    return tuple(
        Scale(size, k)
        for size in sorted(set(sizes))
        for k in sorted(set(cfg.neighbours))
        if LEAST_SHARE * k <= size and LEAST_SETS * size <= n
    )


def score_scales(
    x: np.ndarray,
    cfg: ScaleSettings,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    state: State | None = None,
    keep: Callable[[State], None] | None = None,
    copies: Copies | None = None,
    captions: np.ndarray | None = None,
) -> ScaleScores:
    """Score every embedding at every scale and combine; no truth is read, no scale is chosen.

    One neighbour search serves all k of a reference size. Each scale's ln scores are put on one
    footing, z = (s - median) / (1.4826 MAD), and the largest z of a row ranks it. Where a scale is
    wrong for a group, that group's z is near or below 0 there, so a mean over scales drowns in the
    wrong ones (LOF, AUROC over our trials: up to .33 below the best scale). The maximum was at most
    .011 below it where some scale exceeded .8, in trials looked at before it was chosen; where no
    scale works, it does not either.

    Args:
        x, progress, stop, copies, captions: as `reference.score_each`.
        cfg: reference sizes, neighbours, draws, seed, features.
        state: what `keep` was given last by an earlier attempt with the same arguments.
        keep: given the state after each reference set, as in `reference.score_each`.

    Raises:
        ConfigError, DataError, RunError: as `reference.score`.
    """
    reading = if_long(stop, x)
    check_embeddings(x, cfg.normalize, reading)
    copies = copies or find_copies(x, cfg.normalize, reading)
    check_differ(copies)
    scales = scales_for(len(copies.first), cfg)
    words = content_words(x, copies.first, cfg.normalize, reading)
    work = _Work(scales, cfg, len(copies.first))
    shape = (len(scales) + len(work.also), len(copies.first))
    if state is None or state.mean.shape != shape:
        state = State(0, *np.zeros((2, *shape)))
    infos = []
    for size, own, begun in work.parts():
        done = min(max(state.done - begun, 0), work.sets(size))
        part = State(done, state.mean[own], state.square[own])  # views: filled in place

        def kept(part: State, begun: int = begun) -> None:
            state.done = begun + part.done
            if keep is not None:
                keep(state)

        def told(done: int, _: int, begun: int = begun) -> None:
            if progress is not None:
                progress(begun + done, work.total)

        reference = ReferenceSettings(
            reference_size=size, draws=cfg.draws, seed=cfg.seed, normalize=cfg.normalize
        )
        found = score_each(
            x, work.asked(size), reference, told, stop, part, kept, copies, captions, words
        )
        infos += [one.info for one in found if one.info["detector"] == "lof"]
    ranks = np.array(work.ranking)
    mean, spread = np.exp(state.mean[ranks]), np.sqrt(state.square[ranks] / max(1, cfg.draws - 1))
    z = np.array([robust_z(state.mean[one]) for one in ranks])
    combined, best = combine(z)
    kdist, dimension = (state.mean[one] for one in work.also)
    apart = Apart(combined, kdist, dimension, lengths(x, cfg.normalize)[copies.first])
    at = copies.place
    return ScaleScores(
        scales, mean[:, at], spread[:, at], z[:, at], combined[at], best[at], apart[at],
        _info(cfg, scales, infos, combined, best),
    )  # fmt: skip


def asked_at(size: int, scales: Sequence[Scale]) -> list[tuple[str, DensitySettings]]:
    """What is scored in sets of one size: LOF at each k, and at the size of `apart` its measures."""
    asked = [("lof", DensitySettings(k=one.k)) for one in scales if one.reference_size == size]
    if size != _measured_at(scales):
        return asked
    beside = DensitySettings(k=min(int(AT[1]), size - 1))
    return [*asked, ("kdist", beside), ("dimension", beside)]


def _measured_at(scales: Sequence[Scale]) -> int:
    """The reference size of k-distance and dimension: the largest up to the usual one."""
    sizes = {scale.reference_size for scale in scales}
    return max((size for size in sizes if size <= int(AT[0])), default=min(sizes))


def robust_z(log_scores: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """How many robust standard deviations each score lies above the median; 0 if most are equal."""
    middle, width = footing(log_scores)
    away = np.asarray(log_scores, np.float64) - middle
    return away / width if width > 0 else np.zeros_like(away)


def footing(log_scores: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """What `robust_z` takes off a scale's ln scores, and what it divides by: median, 1.4826 MAD."""
    middle = float(np.median(log_scores))
    away = np.asarray(log_scores, np.float64) - middle
    return middle, float(1.4826 * np.median(np.abs(away)))


def combine(
    z: Float[np.ndarray, "s n"],
) -> tuple[Float64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The largest z of every row, and the scale that has it (the first of equal ones)."""
    best = z.argmax(axis=0)
    return np.take_along_axis(z, best[None], 0)[0].astype(np.float64), best.astype(np.int64)


class _Work:
    """Which reference sets there are, counted over all sizes."""

    def __init__(self, scales: Sequence[Scale], cfg: ScaleSettings, rows: int) -> None:
        self.draws, self.rows = cfg.draws, rows
        self.sizes = sorted({scale.reference_size for scale in scales})
        self.by_size = {size: asked_at(size, scales) for size in self.sizes}
        names = [name for size in self.sizes for name, _ in self.by_size[size]]
        self.ranking = [at for at, name in enumerate(names) if name == "lof"]
        self.also = [names.index(name) for name in ("kdist", "dimension")]

    @property
    def total(self) -> int:
        return sum(self.sets(size) for size in self.sizes)

    def sets(self, size: int) -> int:
        """Reference sets of this size, in all draws; the whole set is drawn once."""
        return max(1, self.rows // size * self.draws) if self.rows >= 2 * size else 1

    def asked(self, size: int) -> list[tuple[str, DensitySettings]]:
        """What is scored in the sets of this size, in the order of the state's rows."""
        return self.by_size[size]

    def parts(self) -> list[tuple[int, slice, int]]:
        """Reference size, its rows of the state, and how many sets come before its own."""
        parts, at, begun = [], 0, 0
        for size in self.sizes:
            count = len(self.by_size[size])
            parts.append((size, slice(at, at + count), begun))
            at, begun = at + count, begun + self.sets(size)
        return parts


def _info(
    cfg: ScaleSettings,
    scales: Sequence[Scale],
    infos: Sequence[dict[str, Any]],
    combined: np.ndarray,
    best: np.ndarray,
) -> dict[str, Any]:
    top = np.argsort(-combined, kind="stable")[: max(1, len(combined) // 100)]
    shared = ("rows", "dim", "features", "draws", "seed", "different_rows", "copied_rows",
              "copy_groups", "largest_copy_group")  # fmt: skip
    return {
        "detector": "scales",
        "score": "lof",
        **{name: infos[0][name] for name in shared},
        "scales": [
            {
                "reference_size": scale.reference_size,
                "reference_size_true": made["reference_size_true"],
                "k": scale.k,
                "guards_up_to_rate": made["guards_up_to_rate"],
                "top_percent_standing_out_here": float((best[top] == at).mean()),
            }
            for at, (scale, made) in enumerate(zip(scales, infos, strict=True))
        ],
    }
