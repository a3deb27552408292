"""What a CLIP must answer to be examined; a test passes any object that does."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np


class Encoder(Protocol):
    """Pictures and captions in, raw features out, in evaluation mode and without gradients."""

    @property
    def side(self) -> int:
        """Pixels on a side of the square pictures it sees."""
        ...

    @property
    def dim(self) -> int:
        """Width of its features."""
        ...

    @property
    def scale(self) -> float:
        """Factor on cosines before a softmax: exp(logit_scale)."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights file, or of the weights themselves."""
        ...

    def difference_from(self, other: "Encoder") -> float:
        """How differently both answer, whatever files they came from: 0 alike, about 1 unrelated."""
        ...

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """uint8 [n, side, side, 3] in, float32 [n, dim] out, not normalized."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """n texts in, float32 [n, dim] out, not normalized."""
        ...


@runtime_checkable
class Differentiable(Encoder, Protocol):
    """An encoder whose picture tower can be followed backwards, for inversion."""

    def pixel_features(self, pixels: Any) -> Any:
        """torch float32 [n, 3, side, side] in [0, 1] to [n, dim], with gradients to the pixels."""
        ...


def unit(features: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; a zero row stays zero. float32 [n, d]."""
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    return (features / np.where(norms > 0, norms, 1)).astype(np.float32)
