"""Augmented picture views, every row with its own draw.

`torchvision.transforms.v2` on a stacked batch gives every picture the same crop and jitter. Here
one `grid_sample` crops and flips all rows, each by its own numbers, and jitter broadcasts. The
numbers of row i come from (seed, epoch, stream, view) and i alone, so a resumed run draws the same.
"""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

DRAWS = 12
RATIO = (3 / 4, 4 / 3)
JITTER_SHARE, GREY_SHARE = 0.8, 0.2
GREY = (0.299, 0.587, 0.114)


class Draws:
    """Uniform numbers in [0, 1), `DRAWS` per row of the data, for one view of one pass."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed
        self._kept: dict[int, tuple[tuple, np.ndarray]] = {}

    def of(self, rows: np.ndarray, epoch: int, stream: str, view: int) -> np.ndarray:
        """float32 [len(rows), DRAWS]."""
        key = (epoch, stream)
        if view not in self._kept or self._kept[view][0] != key:
            name = int.from_bytes(stream.encode(), "big") % 2**63
            rng = np.random.default_rng([self._seed, epoch, name, view])
            self._kept[view] = key, rng.random((self._n, DRAWS), np.float32)
        return self._kept[view][1][rows]


def augment(
    frames: UInt8[Tensor, "b s s 3"],
    draws: np.ndarray,
    blur: bool = False,
    smallest_crop: float = 0.08,
    jitter: float = 0.5,
) -> UInt8[Tensor, "b s s 3"]:
    """Crop, flip, jitter and grey each picture by its own draws.

    Args:
        frames: pictures.
        draws: float32 [b, DRAWS] in [0, 1).
        blur: Gaussian blur, 21 pixels wide at a side of 224.
        smallest_crop: least share of the picture's area that is kept.
        jitter: brightness, contrast and saturation change by at most this share.

    Source:
        SafeCLIP's released transforms, without hue (.1 there) and, at 64 px, without blur.
    """
    d = torch.from_numpy(draws).to(frames.device)
    x = frames.permute(0, 3, 1, 2).float().div_(255)
    x = _crop_and_flip(x, d, smallest_crop)
    x = _jitter(x, d, jitter)
    x = _blur(x) if blur else x
    return x.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)


def _crop_and_flip(x: Tensor, d: Tensor, smallest: float) -> Tensor:
    area = smallest + (1 - smallest) * d[:, 0]
    low, high = np.log(RATIO[0]), np.log(RATIO[1])
    ratio = torch.exp(low + (high - low) * d[:, 1])
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    flip = torch.where(d[:, 2] < 0.5, -1.0, 1.0)
    theta = x.new_zeros(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2] = (2 * d[:, 3] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * d[:, 4] - 1) * (1 - height)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _jitter(x: Tensor, d: Tensor, most: float) -> Tensor:
    """Brightness, contrast, saturation (in this order, unlike torchvision's random one), grey."""
    on = (d[:, 5] < JITTER_SHARE).float()
    bright, contrast, colour = (
        (1 + on * most * (2 * d[:, i] - 1)).view(-1, 1, 1, 1) for i in (6, 7, 8)
    )
    x = (x * bright).clamp_(0, 1)
    mean = _grey(x).mean(dim=(2, 3), keepdim=True)
    x = (mean + (x - mean) * contrast).clamp_(0, 1)
    colour = torch.where((d[:, 9] < GREY_SHARE).view(-1, 1, 1, 1), 0.0, colour)
    grey = _grey(x)
    return (grey + (x - grey) * colour).clamp_(0, 1)


def _grey(x: Tensor) -> Tensor:
    return x[:, :1] * GREY[0] + x[:, 1:2] * GREY[1] + x[:, 2:] * GREY[2]


def _blur(x: Tensor) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    size = max(3, round(21 * x.shape[-1] / 224) // 2 * 2 + 1)
    return gaussian_blur(x, [size, size])
