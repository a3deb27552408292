"""How far a picture lies from the others, by four measures that fail at different poison."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.density import LARGEST_DIMENSION
from clipforensics.detect.embeddings import chunks

AT = (ReferenceSettings().reference_size, DensitySettings().k)
"""Reference size and neighbours of k-distance and dimension: those of a single detector by default."""


@dataclass(frozen=True)
class Apart:
    """Four measures of every row, float64 [n]; higher is further apart, NaN is no score.

    Attributes:
        scales: the largest z over all scales of LOF: how much sparser than its neighbourhood.
        kdist: ln k-distance at one scale: how sparse, whatever its neighbourhood is.
        dimension: ln local intrinsic dimension there: a picture that shows something else, too,
            has its neighbours on all sides. It is highest where poison is rare or was learned
            badly, and low where a learned trigger makes a line of its own.
        norm: length of the embedding, 1 where normalized ones are scored. A trigger that was
            learned can lengthen it (our trials; whether large CLIPs do so is not known).
    """

    scales: np.ndarray
    kdist: np.ndarray
    dimension: np.ndarray
    norm: np.ndarray

    @classmethod
    def read(cls, tables: Mapping[str, np.ndarray]) -> "Apart":
        """From what `tables` gave, and maybe more."""
        return cls(**{name: tables[name] for name in MEASURES})

    def tables(self) -> dict[str, np.ndarray]:
        """The measures by name."""
        return {name: getattr(self, name) for name in MEASURES}

    def __getitem__(self, rows: np.ndarray) -> "Apart":
        """The same of some rows."""
        return Apart(**{name: one[rows] for name, one in self.tables().items()})


MEASURES = tuple(Apart.__dataclass_fields__)
RULE = {"measures": list(MEASURES), "at": list(AT), "largest_dimension": LARGEST_DIMENSION}
"""Part of the key of what was measured."""


def lengths(x: np.ndarray, normalize: bool = False) -> Float64[np.ndarray, " n"]:
    """Length of every row as it is scored, [n]; x may be a memory-mapped file [n, d].

    Raises:
        DataError: the file was cut short meanwhile.
    """
    out = np.ones(len(x))
    for start, part in () if normalize else chunks(x):
        # the largest number of a row first, so that no square overflows or vanishes
        largest = np.abs(part).max(axis=1).astype(np.float64)
        share = np.divide(part, largest[:, None], where=largest[:, None] > 0, dtype=np.float64,
                          out=np.zeros(part.shape))  # fmt: skip
        out[start : start + len(part)] = largest * np.linalg.norm(share, axis=1)
    return out
