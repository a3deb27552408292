"""Density and caption in one ranking: how far outlying a picture is, and how ill its caption fits.

A poison that the suspect learned well lies where few pictures lie but agrees with its caption; one
it learned badly disagrees with its caption but lies among others. Most do a little of both. And what
lies apart does so in more than one way: each measure of `apart` fails at some poison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from clipforensics.detect.apart import MEASURES, Apart
from clipforensics.detect.scales import footing

CAP = 2.0
"""Robust standard deviations of disagreement that count at most, either way.

A caption that fits its picture *less well* than others do is what a learned poison shows (1 to 3 in
our trials). One that does not fit at all is as often an honest mistake, and web data are full of
those: without a cap, a tenth of the clean captions swapped takes nearly all recall at 1 % (.45 to .01).
"""
WEIGHT = 0.75
"""Of a deviation of the caption beside one of the picture: at 1, where captions are true, their noise
leaves a clean-label attack .026 of AUROC below its best scale; .75 leaves .012."""
VOTE = 1.0
"""Robust standard deviations that k-distance and dimension count at most, either way: they are right
about most poison a little, and about natural rarities a lot."""
CAPPED = ("kdist", "dimension")
"""Cut either way; a short embedding is cut downward, too, so that nothing can be shrunk out of suspicion."""
LEAST_WIDTH = 0.1  # of what the middle 98 % would tell of a Gaussian
TELLING = {"norm": 1e-3}
"""Share of its median by which a measure must vary to tell anything, rounding apart. A model that
normalizes its own embeddings leaves lengths that differ by rounding alone."""
ROUNDING = 1e-9
MIDDLE, MIDDLE_SDS = (0.01, 0.99), 4.6527
RULE = {"disagreement_counts_up_to": CAP, "disagreement_weighs": WEIGHT, "vote_counts_up_to": VOTE,
        "votes": [*CAPPED, "short norm"], "least_width": LEAST_WIDTH, "telling": TELLING, "rounding": ROUNDING}  # fmt: skip
"""Part of the key of what was ranked: another rule's ranking is never taken for this one's."""


@dataclass(frozen=True)
class Footings:
    """What puts the scores of a case on one footing: of each a median and a width, by name.

    Those of the measures, of `outlying`, which is their sum, and of `disagreement`. The width is
    1.4826 MAD over different scores, and at least a tenth of what their middle 98 %
    tell: where half of the pairs are copies of one, or nearly so, the MAD tells of nothing but them.
    Not of the standard deviation: one planted picture could make that as large as it likes. Rows
    that are scored later (clean ones, say) are put on the case's own.
    """

    by_name: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, apart: Apart, disagreement: np.ndarray) -> "Footings":
        """Those of a case's scores; rows without a score (NaN) do not count."""
        found = {
            name: _footing(one, TELLING.get(name, ROUNDING)) for name, one in apart.tables().items()
        }
        found["outlying"] = _footing(np.sum([*_votes(apart, found).values()], axis=0))
        return cls({**found, "disagreement": _footing(disagreement)})

    @classmethod
    def read(cls, record: Mapping[str, Sequence[float]]) -> "Footings":
        """What `record` wrote."""
        return cls({name: (middle, width) for name, (middle, width) in record.items()})

    def record(self) -> dict[str, Any]:
        """In JSON types."""
        return {name: list(pair) for name, pair in self.by_name.items()}


def combined(
    apart: Apart, disagreement: Float[np.ndarray, " n"], on: Footings
) -> Float64[np.ndarray, " n"]:
    """z of outlyingness plus what z of disagreement, cut at `CAP` either way, counts.

    Args:
        apart: the measures of `ScaleScores.apart` [n].
        disagreement: as `agreement.disagreement`; NaN (no direction to compare) counts as usual.
        on: the footings of the case.

    Returns:
        Higher is more suspicious; NaN where `apart.scales` is.

    Source:
        Ours; neither paper joins the two. Measures and weights were chosen on three seeds of the
        attack table, and held against a fourth (docs/RESULTS.md).
    """
    far, odd = parts(apart, disagreement, on)
    return far + WEIGHT * np.clip(odd, -CAP, CAP)


def density_and_caption(
    outlying: Float[np.ndarray, " n"], disagreement: Float[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """z of one density plus z of disagreement, cut at `CAP`: the ranking that reads no other measure.

    To choose clean pairs by. The length differs by concept, and the lower half by `combined` left
    whole labels out of a small world.
    """
    odd = np.nan_to_num(_z(disagreement, _footing(disagreement)), nan=0.0)
    return _z(outlying, _footing(outlying)) + np.clip(odd, -CAP, CAP)


def parts(
    apart: Apart, disagreement: Float[np.ndarray, " n"], on: Footings
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """What `combined` joins: z of outlyingness, and z of disagreement before cut and weight."""
    odd = np.nan_to_num(_z(disagreement, on.by_name["disagreement"]), nan=0.0)
    return _z(np.sum([*votes(apart, on).values()], axis=0), on.by_name["outlying"]), odd


def votes(apart: Apart, on: Footings) -> dict[str, Float64[np.ndarray, " n"]]:
    """What each measure says of every row, in robust standard deviations, [n] by name.

    Density over all scales and the length lead; k-distance, dimension and a short length are cut
    at `VOTE`.
    """
    return _votes(apart, on.by_name)


def _votes(apart: Apart, on: Mapping[str, tuple[float, float]]) -> dict[str, np.ndarray]:
    found = {name: _z(getattr(apart, name), on[name]) for name in MEASURES}
    cut = {name: found[name].clip(-VOTE, VOTE) for name in CAPPED}
    return found | cut | {"norm": found["norm"].clip(-VOTE, None)}


def _footing(score: np.ndarray, telling: float = ROUNDING) -> tuple[float, float]:
    different = np.unique(score[np.isfinite(score)])
    if not len(different):
        return 0.0, 0.0
    middle, width = footing(different)
    low, high = np.quantile(different, MIDDLE)
    width = max(width, LEAST_WIDTH * float(high - low) / MIDDLE_SDS)
    return middle, width if width > telling * abs(middle) else 0.0


def _z(score: np.ndarray, on: tuple[float, float]) -> np.ndarray:
    middle, width = on
    away = np.asarray(score, np.float64) - middle
    return away / width if width > 0 else np.where(np.isnan(away), np.nan, 0.0)
