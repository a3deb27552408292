"""Where poison can be applied: anything with ids, captions and framed pictures."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clipforensics.data.demo_world import DemoWorld
from clipforensics.data.pairs import Pairs


class Source(Protocol):
    """Clean pairs, and test pictures with true labels (possibly none)."""

    @property
    def side(self) -> int: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def captions(self) -> tuple[str, ...]: ...
    @property
    def test_ids(self) -> tuple[str, ...]: ...
    @property
    def test_labels(self) -> tuple[str, ...]: ...

    def picture(self, row: int) -> np.ndarray:
        """Framed training picture, uint8 [side, side, 3]."""
        ...

    def test_picture(self, row: int) -> np.ndarray:
        """Framed test picture, uint8 [side, side, 3]."""
        ...


@dataclass(frozen=True)
class FileSource:
    """Pairs on disk, brought into the model's frame one by one."""

    pairs: Pairs
    side: int
    test: Pairs | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the training pairs."""
        return self.pairs.ids

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions of the training pairs."""
        return self.pairs.captions

    def picture(self, row: int) -> np.ndarray:
        """See `Source`."""
        return self.pairs.picture(row, self.side)

    @property
    def test_ids(self) -> tuple[str, ...]:
        """Ids of the test pictures."""
        return self.test.ids if self.test else ()

    @property
    def test_labels(self) -> tuple[str, ...]:
        """True labels of the test pictures."""
        return (self.test.truth or ()) if self.test else ()

    def test_picture(self, row: int) -> np.ndarray:
        """See `Source`."""
        assert self.test is not None
        return self.test.picture(row, self.side)


__all__ = ["DemoWorld", "FileSource", "Source"]
