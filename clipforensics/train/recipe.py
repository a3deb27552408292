"""What the loop asks of a recipe, and what it hands over.

A recipe yields phases by number and answers `losses(encoder, batch) -> (losses, report)`: what is
optimized (summed) and what is only shown are two dictionaries. The loop alone owns the optimizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from clipforensics.errors import DataError
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.train.schedule import Rate


@dataclass(frozen=True)
class TrainingData:
    """All pairs in memory: 20,000 pictures of 64 px take 246 MB.

    Args:
        frames: uint8 [n, side, side, 3].
        tokens: int64 [n, context].
    """

    frames: torch.Tensor
    tokens: torch.Tensor

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.tokens):
            raise DataError(
                f"{len(self.frames):,} pictures came with {len(self.tokens):,} captions. "
                "Give one caption per picture."
            )

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class Phase:
    """One pass over some rows.

    Args:
        name: shown in the journal.
        rows: int64 [m], the pairs of this pass; a last part below one batch is left out.
        rate: learning rate by the stream's own step counter.
        stream: phases of one stream share a counter, so that a rate curve can span epochs.
        epoch: seeds the order, together with the recipe's seed and the stream.
        report: figures for the journal as the phase begins (a split line, say).
    """

    name: str
    rows: np.ndarray
    rate: Rate
    stream: str
    epoch: int
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """What one step sees; `rows` are positions in the training data."""

    rows: torch.Tensor
    frames: torch.Tensor
    tokens: torch.Tensor
    phase: Phase
    position: int


class Recipe(Protocol):
    """A method: which pairs, which losses, at which rates."""

    @property
    def total(self) -> int:
        """Steps of the whole run, as far as known."""
        ...

    def phase(self, number: int, encoder: OpenClipEncoder, data: TrainingData) -> Phase | None:
        """The phase of this number; None ends the run. May look at the model (scoring)."""
        ...

    def losses(
        self, encoder: OpenClipEncoder, batch: Batch
    ) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """Losses to sum and minimize, and figures to show."""
        ...

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Memory beyond the weights: tensors, and plain JSON values."""
        ...

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        ...


def order(rows: np.ndarray, seed: int, epoch: int, stream: str) -> np.ndarray:
    """The rows in the random order of (seed, epoch, stream): resuming needs no loader state."""
    key = int.from_bytes(stream.encode(), "big") % 2**63
    return np.random.default_rng([seed, epoch, key]).permutation(rows)
