"""A first-in-first-out pool of embeddings: read, then write."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from clipforensics.train.distributed import gather


class Pool:
    """The last `size` embeddings of one modality, unit rows, constants; they lie where rows are asked for."""

    def __init__(self, size: int, dim: int) -> None:
        self._rows = torch.zeros(size, dim)
        self._next, self._filled = 0, 0

    def __len__(self) -> int:
        return self._filled

    @property
    def rows(self) -> Float[Tensor, "q d"]:
        """What is in the pool."""
        return self._rows[: self._filled]

    def nearest(self, x: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b d"], Int[Tensor, " b"]]:
        """NN_P: for each row the pool's row with the largest dot product, and its number."""
        with torch.no_grad():
            # once for a run: moving them for each batch would cost more than the search
            self._rows = self._rows.to(x.device)
            best = (x.float() @ self.rows.T).argmax(dim=1)
            return self._rows[best], best

    def write(self, x: Float[Tensor, "b d"]) -> None:
        """Put everyone's rows in, in rank order and over the oldest: pools stay equal everywhere."""
        self.fill(gather(x.detach()))

    def fill(self, x: Float[Tensor, "b d"]) -> None:
        """Put rows in that every process has alike."""
        x = x.detach().to(self._rows.device).float()[-len(self._rows) :]
        places = (self._next + torch.arange(len(x))) % len(self._rows)
        self._rows[places.to(x.device)] = x
        self._next = (self._next + len(x)) % len(self._rows)
        self._filled = min(len(self._rows), self._filled + len(x))

    def state(self) -> tuple[Tensor, dict[str, int]]:
        """The rows, and the pointers."""
        return self._rows.cpu(), {"next": self._next, "filled": self._filled}

    def load_state(self, rows: Tensor, pointers: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self._rows = rows.clone()
        self._next, self._filled = int(pointers["next"]), int(pointers["filled"])
