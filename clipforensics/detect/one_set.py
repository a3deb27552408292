"""Score the rows of one reference set: one neighbour search, every score from it."""

from collections.abc import Callable, Sequence

import numpy as np

from clipforensics.config.detect import SEARCH_MODES, DensitySettings, ReferenceSettings
from clipforensics.detect.density import FROM_NEIGHBOURS, SCORES, logged, neighbours_needed
from clipforensics.detect.forest import isolation_forest
from clipforensics.detect.neighbours import approximate_neighbours, neighbours
from clipforensics.errors import ConfigError, RunError

LONG_ROWS = 4096
"""Rows from which a stop is asked for within a reference set too."""


def check_mode(
    mode: str, reference: ReferenceSettings | None = None, detectors: Sequence[str] = ()
) -> None:
    """Refuse a way to find neighbours that is not known, or does not go with the rest.

    Raises:
        ConfigError: unknown, or "ivf" for less than the whole set, or for a detector without neighbours.
    """
    if mode not in SEARCH_MODES:
        raise ConfigError(f"Unknown mode {mode!r}; known are {', '.join(SEARCH_MODES)}.")
    if mode == "exact" or reference is None:
        return
    if reference.reference_size != "all":
        raise ConfigError(
            f"mode=ivf searches the whole set, the reference size is {reference.reference_size:,}: sets of "
            "that size are searched exactly. Give all as the reference size, or mode exact."
        )
    if "iforest" in detectors:
        raise ConfigError(
            "mode=ivf finds neighbours, and an Isolation Forest reads none. Choose another detector, "
            "or mode exact."
        )


def if_long(stop: Callable[[], bool] | None, x: np.ndarray) -> Callable[[], bool] | None:
    """Whether to ask in the middle: only what takes longer than a moment."""
    return stop if len(x) > LONG_ROWS else None


def transformed(
    asked: Sequence[tuple[str, DensitySettings]],
    x: np.ndarray,
    seed: int,
    stop: Callable[[], bool] | None,
    device: str,
    mode: str,
) -> np.ndarray:
    """Scores [asked, rows] on the scale that draws are averaged on."""
    densities = [neighbours_needed(*one) for one in asked if one[0] != "iforest"]
    stop, near = if_long(stop, x), None
    given = any(
        name not in SCORES for name, _ in asked if name != "iforest"
    )  # read neighbours only

    def watch(done: int, total: int) -> None:
        if stop is not None and stop():
            raise RunError(f"Stopped while finding neighbours, after {done:,} of {total:,} rows.")

    if mode == "ivf":
        near = approximate_neighbours(x, max(densities), seed % 2**31, watch)
    elif len(densities) > 1 or (densities and (stop is not None or device != "cpu" or given)):
        near = neighbours(x, max(densities), progress=watch, device=device)
    out = np.empty((len(asked), len(x)))
    for at, (name, density) in enumerate(asked):
        if name == "iforest":
            out[at] = isolation_forest(x, seed)
        else:
            out[at] = FROM_NEIGHBOURS[name](*near, density) if near else SCORES[name](x, density)
        out[at] = logged(name, out[at])
    return out
