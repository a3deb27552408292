"""Density and caption in one ranking: how far outlying a picture is, and how ill its caption fits.

A poison that the suspect learned well lies where few pictures lie but agrees with its caption; one
it learned badly disagrees with its caption but lies among others. Most do a little of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from clipforensics.detect.scales import footing

CAP = 2.0
"""Robust standard deviations of disagreement that count at most, either way.

A caption that fits its picture *less well* than others do is what a learned poison shows (1 to 3 in
our trials). One that does not fit at all is as often an honest mistake, and web data are full of
those: without a cap, a tenth of the clean captions swapped takes nearly all recall at 1 % (.45 to .03).
"""
LEAST_WIDTH = 0.1  # of what the middle 98 % would tell of a Gaussian
MIDDLE, MIDDLE_SDS = (0.01, 0.99), 4.6527


@dataclass(frozen=True)
class Footings:
    """What puts both scores of a case on one footing: a median and a width of each.

    The width is 1.4826 MAD over different scores, and at least a tenth of what their middle 98 %
    tell: where half of the pairs are copies of one, or nearly so, the MAD tells of nothing but them.
    Not of the standard deviation: one planted picture could make that as large as it likes. Rows
    that are scored later (clean ones, say) are put on the case's own.
    """

    outlying: tuple[float, float]
    disagreement: tuple[float, float]

    @classmethod
    def of(cls, outlying: np.ndarray, disagreement: np.ndarray) -> "Footings":
        """Those of a case's scores; rows without a score (NaN) do not count."""
        return cls(_footing(outlying), _footing(disagreement))

    @classmethod
    def read(cls, record: Mapping[str, Sequence[float]]) -> "Footings":
        """What `record` wrote."""
        (outlying, width), (middle, other) = record["outlying"], record["disagreement"]
        return cls((outlying, width), (middle, other))

    def record(self) -> dict[str, Any]:
        """In JSON types."""
        return asdict(self)


def combined(
    outlying: Float[np.ndarray, " n"], disagreement: Float[np.ndarray, " n"], on: Footings
) -> Float64[np.ndarray, " n"]:
    """z of outlyingness plus z of disagreement, the latter cut at `CAP` either way.

    Args:
        outlying: a density score, such as `ScaleScores.combined`.
        disagreement: as `agreement.disagreement`; NaN (no direction to compare) counts as usual.
        on: the footings of the case.

    Returns:
        Higher is more suspicious; NaN where `outlying` is.

    Source:
        Ours; neither paper joins the two. Chosen on two of three seeds of the attack table, and
        held against the third (docs/RESULTS.md).
    """
    far, odd = parts(outlying, disagreement, on)
    return far + np.clip(odd, -CAP, CAP)


def parts(
    outlying: Float[np.ndarray, " n"], disagreement: Float[np.ndarray, " n"], on: Footings
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """What `combined` adds, before the cut: z of outlyingness, z of disagreement."""
    odd = np.nan_to_num(_z(disagreement, on.disagreement), nan=0.0)
    return _z(outlying, on.outlying), odd


def _footing(score: np.ndarray) -> tuple[float, float]:
    different = np.unique(score[np.isfinite(score)])
    if not len(different):
        return 0.0, 0.0
    middle, width = footing(different)
    low, high = np.quantile(different, MIDDLE)
    return middle, max(width, LEAST_WIDTH * float(high - low) / MIDDLE_SDS)


def _z(score: np.ndarray, on: tuple[float, float]) -> np.ndarray:
    middle, width = on
    away = np.asarray(score, np.float64) - middle
    return away / width if width > 0 else np.where(np.isnan(away), np.nan, 0.0)
