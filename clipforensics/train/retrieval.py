"""Picture-caption retrieval on held-out pairs: it shows a collapse that zero-shot hides."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from clipforensics.errors import DataError
from clipforensics.models.encoder import Encoder, unit
from clipforensics.train.evaluate import wilson

RANKS = (1, 5, 10)
BATCH = 512


@dataclass(frozen=True)
class RetrievalSet:
    """Held-out pairs; called with a model it gives the figures of one evaluation line.

    Args:
        pictures: uint8 [n, side, side, 3].
        captions: n captions; equal ones, whatever their case and spaces, stand for each other.
    """

    pictures: np.ndarray
    captions: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.pictures) != len(self.captions):
            raise DataError(
                f"Retrieval needs one caption per picture, got {len(self.pictures)} pictures and "
                f"{len(self.captions)} captions."
            )

    def __call__(self, encoder: Encoder) -> dict[str, Any]:
        """`retrieval`: recall both ways, chance and n; `r1` and `r5`: the mean of both ways.

        Their 95 % intervals are Wilson's over n pairs, as if both ways of a pair hit or missed
        together: a mean of two shares never varies more, so they are wide enough.
        """
        parts = range(0, len(self.pictures), BATCH)
        seen = np.concatenate([
            encoder.encode_pictures(self.pictures[start : start + BATCH]) for start in parts
        ])  # fmt: skip
        said = unit(encoder.encode_texts(list(self.captions)))
        kinds = np.unique([normalized(one) for one in self.captions], return_inverse=True)[1]
        products = unit(seen) @ said.T
        ways = {
            "picture_to_caption": recalls(products, kinds),
            "caption_to_picture": recalls(products.T, kinds),
        }
        means = {f"r{k}": sum(way[f"r{k}"] for way in ways.values()) / 2 for k in (1, 5)}
        for k in (1, 5):
            low, high = wilson(means[f"r{k}"] * len(kinds), len(kinds))
            means |= {f"r{k}_low": low, f"r{k}_high": high}
        return {"retrieval": {"n": len(kinds), "chance": chance(kinds), **ways}, **means}


def normalized(caption: str) -> str:
    """A caption without case and surplus spaces."""
    return " ".join(caption.casefold().split())


def recalls(products: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """Recall at 1, 5 and 10: the share of rows with a right column among the best.

    A column is right when it is of the row's kind. A wrong column as good as the best right one
    counts as better: where all embeddings are equal nothing is found.

    Args:
        products: float [n, n], similarities.
        kinds: int [n], equal for equal captions.
    """
    right = kinds[:, None] == kinds[None, :]
    best = np.where(right, products, -np.inf).max(axis=1, keepdims=True)
    better = ((products >= best) & ~right).sum(axis=1)
    return {f"r{k}": float((better < k).mean()) for k in RANKS}


def chance(kinds: np.ndarray) -> dict[str, float]:
    """The recall of a random order; k of n where no caption repeats."""
    n, sizes = len(kinds), np.bincount(kinds)[kinds]
    return {
        f"r{k}": float(np.mean([1 - comb(n - int(m), k) / comb(n, k) if k <= n else 1.0 for m in sizes]))
        for k in RANKS
    }  # fmt: skip
