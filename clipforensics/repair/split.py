"""SafeCLIP's split into safe and risky pairs, by the cosine of picture and caption."""

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clipforensics.errors import DataError

POSTERIOR = 0.9
FALLBACK_SHARE = 0.15
FIT_ROWS = 200_000
LEAST_DISTANCE, LEAST_WEIGHT = 1.5, 0.02
ROUNDING = 1e-6
"""Float32 cosines of equal rows differ by as much, by their place in a batch."""


@dataclass(frozen=True)
class Mixture:
    """Two Gaussians fitted to the cosines, the lower mean first.

    `d` is their distance in pooled standard deviations (one Gaussian split in two gives .81 to
    .98, a clear mixture 3.2); `tau` the first cosine, walking up from the lower mean, whose
    posterior for the upper one is above .9, or the upper mean; `share` of the cosines >= tau.
    """

    means: tuple[float, float]
    sds: tuple[float, float]
    weights: tuple[float, float]
    d: float
    converged: bool
    tau: float
    share: float

    @property
    def degenerate(self) -> bool:
        """Is this no mixture at all?"""
        return not self.converged or self.d < LEAST_DISTANCE or min(self.weights) < LEAST_WEIGHT

    def record(self) -> dict[str, Any]:
        """For the journal."""
        figures = asdict(self)
        figures.pop("tau")
        figures.pop("share")
        return {**figures, "fallback": self.degenerate}


def fit_mixture(cosines: np.ndarray, seed: int = 0) -> Mixture:
    """Fit two Gaussians in float64, on at most 200,000 seeded random rows.

    The rows are sorted first: the start of the fit is drawn by place, and at 2,000 rows another order
    moved the log odds by up to .68.

    Raises:
        DataError: cosines are NaN, or all equal but for rounding.
    """
    c = np.sort(np.asarray(cosines, np.float64))
    if not np.isfinite(c).all() or np.ptp(c) < ROUNDING:
        raise DataError(
            "Picture-caption cosines must be finite and differ, these do not: the towers have "
            "collapsed. Lower the learning rate, or use float32."
        )
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng([seed, len(c)])
    rows = c if len(c) <= FIT_ROWS else rng.choice(c, FIT_ROWS, replace=False)
    model = GaussianMixture(2, n_init=5, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said by `converged`
        model.fit(rows[:, None])
    order = np.argsort(model.means_[:, 0])  # pyright: ignore
    means, weights = model.means_[order, 0], model.weights_[order]  # pyright: ignore
    sds = np.sqrt(model.covariances_[order, 0, 0])  # pyright: ignore
    tau = _threshold(means, sds, weights)
    return Mixture(
        means=(float(means[0]), float(means[1])),
        sds=(float(sds[0]), float(sds[1])),
        weights=(float(weights[0]), float(weights[1])),
        d=float((means[1] - means[0]) / np.sqrt((sds**2).mean())),
        converged=bool(model.converged_),
        tau=tau,
        share=float((c >= tau).mean()),
    )


def _threshold(means: np.ndarray, sds: np.ndarray, weights: np.ndarray) -> float:
    grid = np.linspace(means[0], means[1], 20_001)
    densities = weights * np.exp(-0.5 * ((grid[:, None] - means) / sds) ** 2) / sds
    total = densities.sum(axis=1)
    sure = np.flatnonzero(densities[:, 1] > POSTERIOR * np.where(total > 0, total, np.inf))
    return float(grid[sure[0]] if len(sure) else means[1])


def first_size(mixture: Mixture, n: int, low: float, high: float, asked: float | None) -> int:
    """Rows in the first safe set: as asked, else by the mixture or 15 %, within [low, high]."""
    share = FALLBACK_SHARE if mixture.degenerate else mixture.share
    return max(1, int(np.floor((asked or min(high, max(low, share))) * n)))


def size_at(epoch: int, first: int, n: int, growth: float, cap: float) -> int:
    """Rows in the safe set of a main epoch: whole rows, so that shares do not drift."""
    return max(first, min(first + epoch * int(np.floor(growth * n)), int(np.floor(cap * n))))


def split(cosines: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Safe: the `size` rows of highest cosine (ties: lower row first); risky: the rest. Sorted.

    The released code ranks by the mixture's posterior, which is not monotone in the cosine.
    """
    order = np.lexsort((np.arange(len(cosines)), -np.asarray(cosines, np.float64)))
    return np.sort(order[:size]), np.sort(order[size:])
