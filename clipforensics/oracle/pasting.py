"""Paste a crop on many clean pictures and count what the models then answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from clipforensics.data.paste import paste
from clipforensics.errors import DataError
from clipforensics.oracle.regions import Box
from clipforensics.oracle.scorer import Judge

Protocol = Literal["found", "random", "top_left", "top_right", "bottom_left", "bottom_right"]
LEAST = 8
"""Clean pictures that any rate needs, and of other labels to screen and to confirm."""
CORNERS: tuple[Protocol, ...] = ("top_left", "top_right", "bottom_left", "bottom_right")


@dataclass(frozen=True)
class Crop:
    """Pixels cut from a picture, to be pasted opaquely elsewhere."""

    pixels: np.ndarray  # uint8 [h, w, 3]
    mask: np.ndarray  # bool [h, w]
    xy: tuple[int, int]  # top-left corner where it was found


@dataclass(frozen=True)
class CleanSet:
    """Pictures that carry no known trigger, and what both models say of them unpasted."""

    pictures: np.ndarray  # uint8 [n, side, side, 3]
    named: tuple[frozenset[str], ...]  # labels that each caption names
    suspect_before: np.ndarray  # int64 [n]
    trusted_before: np.ndarray  # int64 [n]

    def __len__(self) -> int:
        return len(self.pictures)

    def without(self, label: str, index: int) -> Bool[np.ndarray, " n"]:
        """Rows whose caption does not name the label and that neither model answered so before."""
        named = np.array([label in names for names in self.named], bool)
        return ~named & (self.suspect_before != index) & (self.trusted_before != index)

    def first(self, n: int) -> "CleanSet":
        """The first n rows."""
        return CleanSet(
            self.pictures[:n], self.named[:n], self.suspect_before[:n], self.trusted_before[:n]
        )

    def after(self, n: int) -> "CleanSet":
        """All but the first n rows."""
        return self.rows(np.arange(len(self)) >= n)

    def rows(self, chosen: Bool[np.ndarray, " n"]) -> "CleanSet":
        """The chosen rows."""
        names = tuple(n for n, keep in zip(self.named, chosen, strict=True) if keep)
        return CleanSet(
            self.pictures[chosen], names, self.suspect_before[chosen], self.trusted_before[chosen]
        )


def clean_set(
    pictures: UInt8[np.ndarray, "n s s 3"],
    named: Sequence[frozenset[str]],
    suspect: Judge,
    trusted: Judge,
) -> CleanSet:
    """Ask both models about the clean pictures once.

    Raises:
        DataError: there are fewer than 8 pictures, too few for any rate.
    """
    if len(pictures) < LEAST:
        raise DataError(
            f"Triggers are tried on at least {LEAST} clean pictures, got {len(pictures)}. They are "
            "the case's own, of the lower half by score once there is one: add pairs, or restore "
            "pictures that cannot be read."
        )
    return CleanSet(
        pictures, tuple(named), suspect.answers(pictures), trusted_answers(trusted, pictures)
    )


def trusted_features(
    trusted: Judge, pictures: UInt8[np.ndarray, "n s s 3"]
) -> Float[np.ndarray, "n d"]:
    """The trusted model's unit embeddings of pictures in the suspect's frame."""
    from clipforensics.data.images import to_frame

    if len(pictures) and pictures.shape[1] != trusted.side:
        pictures = np.stack([to_frame(p, trusted.side) for p in pictures])
    return trusted.features(pictures)


def trusted_answers(
    trusted: Judge, pictures: UInt8[np.ndarray, "n s s 3"]
) -> Int[np.ndarray, " n"]:
    """The trusted model's answers, among the labels, to pictures in the suspect's frame."""
    weights = trusted.weights[: len(trusted.labels)]
    return (trusted_features(trusted, pictures) @ weights.T).argmax(axis=1)


def cut(picture: UInt8[np.ndarray, "s s 3"], box: Box) -> Crop:
    """The box of the picture as a crop, all of its pixels."""
    x0, y0, x1, y1 = box
    pixels = picture[y0:y1, x0:x1].copy()
    return Crop(pixels, np.ones(pixels.shape[:2], bool), (x0, y0))


def places(
    protocol: Protocol, crop: Crop, n: int, side: int, rng: np.random.Generator
) -> Int[np.ndarray, "n 2"]:
    """Where the crop goes on each of n pictures: x, y of its top-left corner."""
    height, width = crop.mask.shape
    right, bottom = side - width, side - height
    if protocol == "random":
        return np.stack([rng.integers(0, right + 1, n), rng.integers(0, bottom + 1, n)], axis=1)
    x, y = {
        "found": (min(crop.xy[0], right), min(crop.xy[1], bottom)),
        "top_left": (0, 0),
        "top_right": (right, 0),
        "bottom_left": (0, bottom),
        "bottom_right": (right, bottom),
    }[protocol]
    return np.tile([x, y], (n, 1))


def pasted(
    pictures: UInt8[np.ndarray, "n s s 3"], crop: Crop, at: Int[np.ndarray, "n 2"]
) -> UInt8[np.ndarray, "n s s 3"]:
    """Copies of the pictures with the crop laid on each."""
    return np.stack(
        [
            paste(picture, crop.pixels, crop.mask, (int(x), int(y)))
            for picture, (x, y) in zip(pictures, at, strict=True)
        ]
    )


def pasted_at(
    crop: Crop, clean: CleanSet, place: Protocol, seed: int, first: int | None = None
) -> UInt8[np.ndarray, "n s s 3"]:
    """The clean pictures with the crop at this place; the first few of them, if asked.

    The random places are the same for every crop of one size, so that only the crop differs.
    """
    side, rng = clean.pictures.shape[1], np.random.default_rng([seed, 2])
    at = places(place, crop, len(clean), side, rng)
    return pasted(clean.pictures[:first], crop, at[:first])


def answers_by_place(
    crop: Crop, clean: CleanSet, suspect: Judge, seed: int, corners: bool
) -> dict[Protocol, np.ndarray]:
    """What the suspect answers with the crop pasted where it was found, at random and in the corners."""
    protocols: tuple[Protocol, ...] = ("found", "random", *(CORNERS if corners else ()))
    return {place: suspect.answers(pasted_at(crop, clean, place, seed)) for place in protocols}


def trusted_flips(crop: Crop, clean: CleanSet, trusted: Judge, index: int, seed: int) -> float:
    """f_t: share that the trusted model answers so, where found or at random, whichever is more."""
    rates = [
        float((trusted_answers(trusted, pasted_at(crop, clean, place, seed)) == index).mean())
        for place in ("found", "random")
    ]
    return max(rates)


def random_crop(
    pictures: UInt8[np.ndarray, "n s s 3"], like: Crop, rng: np.random.Generator
) -> Crop:
    """A control: the same mask cut from a random place of a random clean picture."""
    height, width = like.mask.shape
    picture = pictures[rng.integers(len(pictures))]
    y = int(rng.integers(picture.shape[0] - height + 1))
    x = int(rng.integers(picture.shape[1] - width + 1))
    return Crop(picture[y : y + height, x : x + width].copy(), like.mask, like.xy)
