"""Nearest neighbours of a small set on a GPU, with the answers that `among` gives."""

import numpy as np
from jaxtyping import Float, Float64, Int64

from clipforensics.detect.among import blocks, nearest_among, rounding

LEAST_WORK = 1e13  # multiplications for which torch is worth loading
SPARE = 16  # candidates beyond the k wanted
NUMBERS = 20_000_000  # differences held at a time


def device_for(work: float) -> str:
    """ "cuda" where torch finds one and there are this many multiplications to do, else "cpu"."""
    if work < LEAST_WORK:
        return "cpu"
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def nearest_on(
    device: str, points: Float[np.ndarray, "n d"], middle: Float[np.ndarray, " d"], k: int
) -> tuple[Float64[np.ndarray, "n k"], Int64[np.ndarray, "n k"]]:
    """The k nearest others of every row; see `among.nearest_among`.

    Products in single precision name candidates, of which the differences in double precision keep
    the nearest. Where rounding might have hidden one, the set is done again by `nearest_among`.

    Args:
        device: of torch.
        points, middle, k: as there.
    """
    import torch

    with torch.inference_mode():
        there = torch.from_numpy(points).to(device)
        centred = (there - torch.from_numpy(middle).to(device)).float()
        product = centred @ centred.T
        lengths = product.diagonal().clone()
        away = (lengths / 2 - product).fill_diagonal_(torch.inf)
        rough, found = away.topk(min(k + SPARE, len(points) - 1), dim=1, largest=False)
        kth, last, own = (one.cpu().numpy() for one in (rough[:, k - 1], rough[:, -1], lengths))
        furthest = kth + rounding(2 * kth + own, own, points.shape[1])
        if found.shape[1] < len(points) - 1 and not (last > furthest).all():
            return nearest_among(points, middle, k)
        found = found.sort(dim=1).values  # equal distances by id, as the sort below is stable
        square = torch.empty(found.shape, dtype=torch.float64, device=device)
        for part in blocks(len(found), found.shape[1] * points.shape[1], NUMBERS):
            square[part] = (
                (there[found[part]].double() - there[part, None].double()).square().sum(2)
            )
        square, order = square.sort(dim=1, stable=True)
        return square[:, :k].cpu().numpy(), found.gather(1, order[:, :k]).cpu().numpy()
