"""Whether two encoders are one model in two files: told by what they answer, not by their weights."""

import numpy as np

from clipforensics.models.encoder import Encoder, unit

COPY = 0.15
"""Difference under which two models are one. Measured on two suspects of the demo's architecture:
rounding to bfloat16 makes .02 to .03, noise of .001 on every weight .09 to .10, of 1 % .11; training
on for an epoch .40, the sound model that a suspect was trained on .56 to .62, another model 1.25."""
RELATIVE = 0.8
"""Difference under which one of two models was probably trained from the other; see `COPY`."""
PICTURES, SEED = 32, 0
GRIDS = (2, 4, 8, 16)  # squares on a side: coarse to fine
NOUNS = (
    "dog", "cat", "car", "tree", "house", "bird", "boat", "flower", "clock", "fish", "chair", "apple",
    "train", "horse", "cup", "mountain",
)  # fmt: skip


def difference(one: Encoder, other: Encoder) -> float:
    """How differently two models see: the root mean square difference of their cosines.

    Both are shown the same coloured squares beside the same sixteen texts. Cosines do not change
    with a feature's length, a common rotation of both towers or the temperature, nor much with the
    precision of the weights; so none of these hides a copy.

    Returns:
        0 for equal cosines, about 1 for unrelated models: in units of their spread in `other`. Infinite where
        one of the models answers nothing finite.
    """
    mine, others = _cosines(one), _cosines(other)
    spread = float(np.linalg.norm(others - others.mean()))
    apart = float(np.linalg.norm(mine - others))
    return apart / spread if np.isfinite(apart) and spread > 0 else np.inf


def _cosines(encoder: Encoder) -> np.ndarray:
    """float64 [pictures, texts]."""
    pictures = unit(encoder.encode_pictures(_squares(encoder.side))).astype(np.float64)
    texts = unit(encoder.encode_texts([f"a photo of a {noun}" for noun in NOUNS]))
    return pictures @ texts.T.astype(np.float64)


def _squares(side: int) -> np.ndarray:
    """uint8 [n, side, side, 3]: fixed random colours in coarse and fine squares."""
    rng = np.random.default_rng(SEED)
    made = []
    for i in range(PICTURES):
        cells = GRIDS[i % len(GRIDS)]
        colours = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        at = np.arange(side) * cells // side
        made.append(colours[at][:, at])
    return np.stack(made)
