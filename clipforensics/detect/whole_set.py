"""LOF with the whole set as reference, for comparison: poison more frequent than k hides in it."""

import numpy as np
from jaxtyping import Float, Float64

from clipforensics.config.detect import DensitySettings
from clipforensics.detect.density import lof_from_neighbours
from clipforensics.detect.neighbours import approximate_neighbours, neighbours
from clipforensics.detect.one_set import check_mode


def whole_set_lof(
    x: Float[np.ndarray, "n d"], cfg: DensitySettings, mode: str = "exact", seed: int = 0
) -> Float64[np.ndarray, " n"]:
    """LOF of every row among all the others; `reference.score_each` does so with copies collapsed.

    Args:
        x: one embedding per row, exact copies collapsed.
        cfg: neighbour settings.
        mode: "exact", which equals scikit-learn's, or "ivf", which looks in the nearest cells of an
            inverted file only and misses neighbours chiefly of isolated rows.
        seed: of the cells.

    Returns:
        One unitless score in (0, inf) per row of x; about 1 is normal.

    Raises:
        ConfigError: unknown mode, or cfg.k is not smaller than n.
        DataError: as `density.lof`.
    """
    check_mode(mode)
    near = neighbours(x, cfg.k) if mode == "exact" else approximate_neighbours(x, cfg.k, seed)
    return lof_from_neighbours(*near, cfg)
