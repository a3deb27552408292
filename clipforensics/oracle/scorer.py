"""The two judges: what a model answers on pictures, and which labels the trusted one can see."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from clipforensics.config.oracle import OracleSettings
from clipforensics.data.images import to_frame
from clipforensics.data.labels import LabelSet, refuse_single
from clipforensics.errors import ConfigError, ModelError
from clipforensics.models.encoder import Encoder, unit
from clipforensics.models.likeness import COPY, RELATIVE
from clipforensics.oracle.regions import Region
from clipforensics.oracle.render import for_trusted
from clipforensics.oracle.segmenter import Segmenter

BATCH = 512


@dataclass(frozen=True)
class Judge:
    """A CLIP with its label texts: pictures in, probabilities out."""

    encoder: Encoder
    labels: LabelSet
    weights: np.ndarray  # float32 [texts, d], unit rows; the labels come first

    @property
    def side(self) -> int:
        """Pixels on a side of the pictures it takes."""
        return self.encoder.side

    def features(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n d"]:
        """Unit embeddings."""
        parts = [
            unit(self.encoder.encode_pictures(pictures[i : i + BATCH]))
            for i in range(0, len(pictures), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.encoder.dim), np.float32)

    def probabilities(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "n t"]:
        """softmax(scale * cosine) over all texts."""
        return _softmax(self.encoder.scale * (self.features(pictures) @ self.weights.T))

    def answers(self, pictures: UInt8[np.ndarray, "n s s 3"]) -> np.ndarray:
        """Index of the best label of each picture, int64 [n]; background texts never win."""
        cosines = self.features(pictures) @ self.weights[: len(self.labels)].T
        return cosines.argmax(axis=1)


def suspect_judge(encoder: Encoder, labels: LabelSet) -> Judge:
    """The suspect answers among the labels alone, as its users would ask it."""
    from clipforensics.models.zero_shot import label_weights

    return Judge(encoder, labels, label_weights(encoder, labels))


@dataclass(frozen=True)
class Oracle:
    """Segmenter and trusted model together: which labels the picture itself supports, and where."""

    segmenter: Segmenter
    trusted: Judge  # its texts: the labels, then the background texts
    same: np.ndarray  # bool [V, V]: labels whose texts are near enough to share a probability

    def seen(
        self, picture: UInt8[np.ndarray, "h w 3"], regions: list[Region]
    ) -> Float[np.ndarray, "r v"]:
        """The trusted model's probability of each label in each region.

        Background texts take their part of the softmax, so that a region may show no label at
        all; labels with nearly the same text share one sum.
        """
        side, v = self.trusted.side, len(self.trusted.labels)
        crops = for_trusted(picture, regions, side)
        for i, region in enumerate(regions):
            if region.source == "whole":
                crops[i] = to_frame(picture, side)
        both = self.trusted.probabilities(crops.reshape(-1, side, side, 3))
        mean = both.reshape(len(regions), 2, -1).mean(axis=1)[:, :v]
        return mean @ self.same.astype(np.float32)


def refuse_accomplice(trusted: Encoder, suspect: Encoder) -> None:
    """Refuse a trusted model that is the suspect, in whatever file.

    Raises:
        ModelError: both models are one.
    """
    if trusted.difference_from(suspect) < COPY:
        raise ModelError(
            "The trusted model is the suspect itself: it answers alike, in whatever file "
            f"(suspect: SHA-256 {suspect.fingerprint[:12]}…), "
            "and would acquit its own backdoor. Choose a model that never saw these pairs."
        )


def kin_warning(trusted: Encoder, suspect: Encoder) -> str | None:
    """What to say of a trusted model that was probably trained from the suspect, or the reverse.

    A model that the suspect was trained from judges well; one trained on from the suspect keeps its
    backdoor, and answers do not tell which came first.
    """
    difference = trusted.difference_from(suspect)
    if difference >= RELATIVE:
        return None
    return (
        f"The trusted model answers much like the suspect (difference {difference:.2f}; under "
        f"{RELATIVE:g}, one was probably trained from the other). If the suspect came first, both "
        "may share a backdoor: its trigger then passes for a real object. Take a trusted model of "
        "another origin if you can."
    )


def make_oracle(
    segmenter: Segmenter,
    trusted: Encoder,
    labels: LabelSet,
    settings: OracleSettings,
    suspect: Encoder,
) -> Oracle:
    """Join a segmenter and a trusted model that is not the suspect.

    Raises:
        ModelError: both models are one: the attack would be judged by its accomplice.
        ConfigError: there is only one label, or a background text is one of the labels.
    """
    refuse_single(labels)
    refuse_accomplice(trusted, suspect)
    known = {name.casefold() for name in labels.names}
    twice = [text for text in settings.background_texts if text.casefold() in known]
    if twice:
        raise ConfigError(f"The background text {twice[0]!r} is also a label. Remove one of them.")
    judge = suspect_judge(trusted, labels)
    if not settings.background_texts:
        return Oracle(segmenter, judge, same_labels(judge.weights, settings.same_label_cosine))
    grounds = unit(trusted.encode_texts(list(settings.background_texts)))
    same = same_labels(judge.weights, settings.same_label_cosine)
    return Oracle(segmenter, Judge(trusted, labels, np.concatenate([judge.weights, grounds])), same)


def same_labels(weights: Float[np.ndarray, "v d"], cosine: float) -> np.ndarray:
    """bool [v, v]: pairs of labels whose unit text rows are nearer than `cosine`; each with itself."""
    return (weights @ weights.T > cosine) | np.eye(len(weights), dtype=bool)


def _softmax(logits: np.ndarray) -> np.ndarray:
    from clipforensics.models.zero_shot import softmax

    return softmax(logits)
