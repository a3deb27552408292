"""Zero-shot classification: a label is the class whose mean prompt has the highest cosine."""

from typing import Protocol

import numpy as np

from clipforensics.models.encoder import Encoder, unit


class Labels(Protocol):
    """What a label set must answer; `clipforensics.data.labels.LabelSet` does."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def templates(self) -> tuple[str, ...]: ...

    def prompts(self, name: str) -> list[str]:
        """The label in every template."""
        ...


def label_weights(encoder: Encoder, labels: Labels) -> np.ndarray:
    """One unit row per label: the mean of its normalized prompt embeddings, normalized again.

    Returns:
        float32 [labels, d].

    Source:
        Radford et al. (2021), section 3.1.4, prompt ensembling in embedding space.
    """
    prompts = [prompt for name in labels.names for prompt in labels.prompts(name)]
    rows = unit(encoder.encode_texts(prompts))
    return unit(rows.reshape(len(labels.names), len(labels.templates), -1).mean(axis=1))


def similarities(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cosine of every picture with every label; features may be raw. float32 [n, labels]."""
    return unit(features) @ weights.T


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis, without overflow."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def predict(
    encoder: Encoder, pictures: np.ndarray, weights: np.ndarray, batch: int = 512
) -> np.ndarray:
    """Index of the best label of each picture, int64 [n]; pictures uint8 [n, side, side, 3]."""
    best = [
        similarities(encoder.encode_pictures(pictures[i : i + batch]), weights).argmax(axis=1)
        for i in range(0, len(pictures), batch)
    ]
    return np.concatenate(best) if best else np.empty(0, np.int64)
