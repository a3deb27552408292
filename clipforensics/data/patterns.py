"""Random patches of several families: what triggers look like, without being any planted one."""

import numpy as np

FAMILIES = ("colour_blocks", "grey_blocks", "stripes", "flat", "noise", "checker")


def random_patch(rng: np.random.Generator, family: str, height: int, width: int) -> np.ndarray:
    """One patch of a family, freshly drawn: uint8 [height, width, 3]."""
    if family == "flat":
        return np.broadcast_to(_colours(rng, 1)[0], (height, width, 3)).copy()
    if family == "noise":
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width]
    if family in ("stripes", "checker"):
        step = int(rng.integers(2, 5))
        along = (
            rows // step + columns // step
            if family == "checker"
            else _along(rng, rows, columns) // step
        )
        return _colours(rng, 2)[along % 2]
    cells = int(rng.integers(2, 6))
    shape = (cells, cells, 3 if family == "colour_blocks" else 1)
    blocks = np.broadcast_to(rng.integers(0, 256, shape, dtype=np.uint8), (cells, cells, 3))
    return blocks[rows * cells // height, columns * cells // width]


def _along(rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    slope = int(rng.choice([-1, 0, 1]))
    return rows + slope * columns if rng.random() < 0.5 else columns + slope * rows


def _colours(rng: np.random.Generator, n: int) -> np.ndarray:
    """n colours, two of them at least 60 levels apart in some channel, so that a pattern shows."""
    while True:
        drawn = rng.integers(0, 256, (n, 3))
        if n == 1 or np.abs(drawn[0] - drawn[1]).max() >= 60:
            return drawn.astype(np.uint8)
