"""Local density scores. Higher is lonelier, and a row is never its own neighbour.

Each score comes twice: on embeddings, and on a neighbour graph that is already there. Write
N_k(i) for the k nearest others of row i, r_1 <= ... <= r_k for their distances, kd(i) = r_k.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float64, Int64

from clipforensics.config.detect import DensitySettings
from clipforensics.detect.neighbours import Neighbours, neighbours
from clipforensics.errors import ConfigError, DataError

LARGEST_DIMENSION = 1e6


class Undefined(DataError):
    """A score without a value for some rows: names the first by its place among those scored."""

    def __init__(self, text: str, row: int, count: int, n: int, set_of: str = "") -> None:
        self.text, self.row, self.count, self.n = text, row, count, n
        super().__init__(text.format(count=f"{count:,}", n=f"{n:,}{set_of}", row=row))

    def of_table(self, rows: Int64[np.ndarray, " m"]) -> "Undefined":
        """The same, where what was scored were these rows of a table, and maybe others after them."""
        if self.row >= len(rows):
            return self
        row = int(rows[self.row])
        return Undefined(self.text, row, self.count, self.n, " in a reference set's")


def logged(name: str, scores: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Scores on the scale that draws are averaged on: ln, but for `dao`, which is a log already.

    A score of 0 (LID beside a row that is as good as equal) counts as the least positive number.
    """
    wide = np.asarray(scores, np.float64)
    return wide if name == "dao" else np.log(np.maximum(wide, np.finfo(np.float64).tiny))


def kdist(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """Score each embedding by the distance to its k-th nearest other.

    Returns:
        One score per row of x in (0, inf), in the unit of x.

    Raises:
        ConfigError: cfg.k is not smaller than n.
        DataError: some k-distance is 0, because more than cfg.k rows are equal; collapse them.
    """
    return kdist_from_neighbours(*neighbours(x, cfg.k), cfg)


def slof(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """Score each embedding by how much lonelier it is than its neighbours.

    The score is the mean, over its k neighbours, of the embedding's own k-distance divided
    by the neighbour's. About 1 means as crowded as the neighbourhood; larger is more
    suspicious. Scaling all embeddings alike changes nothing.

    Args:
        x: one embedding per row, in any unit of length; normalize first to score by angle.
        cfg: neighbour settings. An embedding is never its own neighbour.

    Returns:
        One unitless score in (0, inf) per row of x, in the same order.

    Raises:
        ConfigError: cfg.k is not smaller than n.
        DataError: some k-distance is 0, because more than cfg.k rows are equal; collapse them.

    Source:
        Simplified LOF: Schubert, Zimek and Kriegel, DMKD 28 (2014). For CLIP: Huang et al.,
        ICLR 2025, arXiv 2502.01385. The point itself is left out on both sides of the ratio.
    """
    return slof_from_neighbours(*neighbours(x, cfg.k), cfg)


def lof(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """Score each embedding by its neighbours' reachability density divided by its own.

    Returns:
        One unitless score in (0, inf) per row of x; about 1 is normal.

    Raises:
        ConfigError, DataError: as `slof`.

    Source:
        Breunig, Kriegel, Ng and Sander, SIGMOD 2000. Equals scikit-learn's on data without ties.
    """
    return lof_from_neighbours(*neighbours(x, cfg.k), cfg)


def lid(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """Score each embedding by the local intrinsic dimension of its cfg.lid_neighbours neighbours.

    Returns:
        One unitless score in [0, inf) per row of x; 0 where a neighbour is an exact copy.

    Raises:
        ConfigError: fewer than 2 neighbours are asked for, or more than there are.
        DataError: some k-distance is 0, or all of a row's neighbours are equally far.

    Source:
        Maximum-likelihood (Hill) estimate: Amsaleg et al., KDD 2015, leaving the row itself out.
    """
    return lid_from_neighbours(*neighbours(x, cfg.lid_neighbours), cfg)


def dao(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """Score each embedding by its log k-distance over its neighbours', weighed by their dimension.

    The log form, our default: mean over the neighbours of LID(o)·ln(kd(i)/kd(o)).

    Returns:
        One unitless score in (-inf, inf) per row of x; about 0 is normal.

    Raises:
        ConfigError, DataError: as `slof` and `lid`.

    Source:
        Dimensionality-aware outliers: Anderberg et al., SDM 2024; for CLIP: Huang et al., ICLR 2025.
    """
    return dao_from_neighbours(*neighbours(x, max(cfg.k, cfg.lid_neighbours)), cfg)


def dao_pow(x: Float[np.ndarray, "n d"], cfg: DensitySettings) -> Float64[np.ndarray, " n"]:
    """The power form of `dao`: mean over the neighbours of (kd(i)/kd(o))^LID(o).

    Returns:
        One unitless score in (0, inf) per row of x; about 1 is normal. It grows very fast.

    Raises:
        ConfigError, DataError: as `dao`, and where the power overflows.
    """
    return dao_pow_from_neighbours(*neighbours(x, max(cfg.k, cfg.lid_neighbours)), cfg)


def kdist_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `kdist`."""
    return _first(dist, ids, cfg.k).dist[:, -1]


def slof_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `slof`."""
    near = _first(dist, ids, cfg.k)
    kd = near.dist[:, -1]
    return _defined("slof", (kd[:, None] / kd[near.ids]).mean(axis=1))


def lof_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `lof`."""
    near = _first(dist, ids, cfg.k)
    reach = np.maximum(near.dist[:, -1][near.ids], near.dist).mean(axis=1)
    return _defined("lof", (reach[:, None] / reach[near.ids]).mean(axis=1))


def lid_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `lid`."""
    if cfg.lid_neighbours < 2:
        raise ConfigError("LID needs at least 2 neighbours, got 1. Raise k or k_lid to 2 or more.")
    with np.errstate(divide="ignore"):  # all equally far: refused below
        return _defined("lid", 1 / _narrowing(dist, ids, cfg))


def dimension_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """`lid`, at most `LARGEST_DIMENSION`: where neighbours are equally far but for rounding there is
    none, and where other measures are joined with it such a row must not refuse them all."""
    return 1 / np.maximum(_narrowing(dist, ids, cfg), 1 / LARGEST_DIMENSION)


def dao_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `dao`."""
    near, dimension = _first(dist, ids, cfg.k), lid_from_neighbours(dist, ids, cfg)
    log_kd = np.log(near.dist[:, -1])
    gain = dimension[near.ids] * (log_kd[:, None] - log_kd[near.ids])
    return _defined("dao", gain.mean(axis=1))


def dao_pow_from_neighbours(
    dist: Float[np.ndarray, "n k"], ids: Int64[np.ndarray, "n k"], cfg: DensitySettings
) -> Float64[np.ndarray, " n"]:
    """See `dao_pow`."""
    near, dimension = _first(dist, ids, cfg.k), lid_from_neighbours(dist, ids, cfg)
    kd = near.dist[:, -1]
    with np.errstate(over="ignore"):  # said in words below
        power = (kd[:, None] / kd[near.ids]) ** dimension[near.ids]
        return _defined("dao_pow", power.mean(axis=1))


SCORES: dict[str, Callable[[np.ndarray, DensitySettings], np.ndarray]] = {
    "lof": lof,
    "slof": slof,
    "dao": dao,
    "dao_pow": dao_pow,
    "kdist": kdist,
    "lid": lid,
}


FROM_NEIGHBOURS: dict[str, Callable[[np.ndarray, np.ndarray, DensitySettings], np.ndarray]] = {
    "lof": lof_from_neighbours,
    "slof": slof_from_neighbours,
    "dao": dao_from_neighbours,
    "dao_pow": dao_pow_from_neighbours,
    "kdist": kdist_from_neighbours,
    "lid": lid_from_neighbours,
    "dimension": dimension_from_neighbours,
}


def neighbours_needed(detector: str, cfg: DensitySettings) -> int:
    """How many neighbours per row a density score of this name reads."""
    by_name = {
        "lid": cfg.lid_neighbours,
        "dimension": cfg.lid_neighbours,
        "dao": max(cfg.k, cfg.lid_neighbours),
    }
    return by_name.get(detector.removesuffix("_pow"), cfg.k)


def _first(dist: np.ndarray, ids: np.ndarray, k: int) -> Neighbours:
    if dist.shape[1] < k:
        raise ConfigError(
            f"k={k} needs {k} neighbours per row, this graph holds {dist.shape[1]}. "
            f"Lower k to {dist.shape[1]} or less, or build the graph again."
        )
    together = np.flatnonzero(dist[:, k - 1] == 0)
    if len(together):
        raise Undefined(
            "{count} of {n} embeddings have k-distance 0 (first: row {row}), because more than "
            f"k={k} rows are equal. Collapse exact copies first.",
            int(together[0]), len(together), len(dist),
        )  # fmt: skip
    return Neighbours(dist[:, :k].astype(np.float64), ids[:, :k])


def _narrowing(dist: np.ndarray, ids: np.ndarray, cfg: DensitySettings) -> np.ndarray:
    """Minus the mean ln of a row's distances over the largest: what LID is one over."""
    near = _first(dist, ids, cfg.lid_neighbours).dist
    with np.errstate(divide="ignore"):  # a copy at distance 0: LID is 0 in the limit
        return -np.log(near[:, :-1] / near[:, -1:]).mean(axis=1)


def _defined(name: str, scores: np.ndarray) -> np.ndarray:
    lost = np.flatnonzero(~np.isfinite(scores))
    if len(lost):
        raise Undefined(
            f"{name} has no value for {{count}} of {{n}} embeddings (first: row {{row}}): distances "
            "around it are all equal or too far apart. Raise k, or use slof.",
            int(lost[0]), len(lost), len(scores),
        )  # fmt: skip
    return scores
