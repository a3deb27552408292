"""How many of some rows name each label: what a filter drops or a split trusts, label by label."""

from collections.abc import Sequence

import numpy as np


class LabelCounter:
    """Knows which labels each row's caption names."""

    def __init__(self, named: Sequence[Sequence[int]], labels: Sequence[str]) -> None:
        """Flatten the names once.

        Args:
            named: label numbers for each of n rows.
            labels: their names.
        """
        self.labels = tuple(labels)
        self.n = len(named)
        self._row = np.repeat(np.arange(self.n), [len(one) for one in named])
        self._label = np.array([label for one in named for label in one], np.int64)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """int64 [labels]: how many of these rows name each label."""
        among = np.zeros(self.n, bool)
        among[rows] = True
        return np.bincount(self._label[among[self._row]], minlength=len(self.labels))
