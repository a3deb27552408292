"""The trigger bank: crops that do the same to the suspect are one trigger."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from clipforensics.oracle.matching import peaks
from clipforensics.oracle.pasting import Crop, cut, pasted
from clipforensics.oracle.regions import Box
from clipforensics.oracle.scorer import Judge
from clipforensics.oracle.verify import Verification

SAME_COSINE = 0.9
SAME_PATTERN = 0.9  # correlation


@dataclass(frozen=True)
class Sighting:
    """One verified-on-screen candidate: a crop in one picture, and what it does to the suspect."""

    pair: str
    label: str
    box_xyxy: Box
    picture: np.ndarray  # uint8 [s, s, 3], where it was found
    signature: np.ndarray  # float32 [d], unit
    screened: Verification

    @property
    def crop(self) -> Crop:
        """The box of the picture."""
        return cut(self.picture, self.box_xyxy)


@dataclass(frozen=True)
class Trigger:
    """One cluster of sightings, with the crop that stands for it and its confirmed figures."""

    label: str
    pair: str  # of the sighting that stands for it
    box_xyxy: Box
    pixels: np.ndarray  # uint8 [h, w, 3], to paste
    mask: np.ndarray  # bool [h, w]
    core: np.ndarray  # bool [h, w]: the pixels to look for in other pictures
    pairs: tuple[str, ...]  # of all sightings, best first
    consensus: bool  # False: too few sightings, or the pattern varies; then one crop stands for all
    figures: Verification
    signature: np.ndarray  # float32 [d], unit

    @property
    def crop(self) -> Crop:
        """The trigger as something to paste."""
        return Crop(self.pixels, self.mask, self.box_xyxy[:2])

    def lies_in(self, window: UInt8[np.ndarray, "h w 3"]) -> bool:
        """Whether these pixels hold this pattern somewhere."""
        return lies_in(window, self.pixels, self.mask)


def lies_in(
    window: UInt8[np.ndarray, "h w 3"],
    pixels: UInt8[np.ndarray, "a b 3"],
    mask: Bool[np.ndarray, "a b"],
    least: float = SAME_PATTERN,
) -> bool:
    """Whether a pattern lies somewhere in these pixels, by correlation."""
    if (window.shape[:2] < np.array(mask.shape)).any():
        return False
    return float(peaks(window[None], pixels, mask)[0][0]) >= least


def signature(
    crop: Crop, pictures: UInt8[np.ndarray, "n s s 3"], before: Float[np.ndarray, "n d"],
    suspect: Judge, seed: int, tied_to_place: bool = False,
) -> Float[np.ndarray, " d"]:  # fmt: skip
    """What the crop does to the suspect: the mean shift of unit embeddings, made unit.

    Args:
        crop: pasted once per picture, at places that depend on the seed and not on the crop.
        tied_to_place: paste where it was found instead: a trigger that was only ever planted in a
            corner does nothing elsewhere, and what its crops do there is noise. (A hunt for such a
            patch had 43 clusters of one trigger, each to be compared with 4,300 controls.)
        pictures: the same clean pictures for all crops that will be compared.
        before: the suspect's unit embeddings of them.
    """
    side = pictures.shape[1]
    height, width = crop.mask.shape
    shares = np.random.default_rng([seed, 3]).random((len(pictures), 2))
    at = (shares * [side - width + 1, side - height + 1]).astype(np.int64)
    if tied_to_place:
        at = np.tile(crop.xy, (len(pictures), 1))
    shift = (suspect.features(pasted(pictures, crop, at)) - before).mean(axis=0)
    return (shift / max(float(np.linalg.norm(shift)), 1e-12)).astype(np.float32)


def clusters(
    labels: Sequence[str], signatures: Float[np.ndarray, "n d"], cosine: float = SAME_COSINE
) -> list[list[int]]:
    """Groups of equal label and near signature, single link; rows in order, groups by first row."""
    near = signatures @ signatures.T >= cosine
    names = np.asarray(labels)
    near &= names[:, None] == names[None, :]
    left, groups = set(range(len(labels))), []
    while left:
        edge = [min(left)]
        group: set[int] = set()
        while edge:
            row = edge.pop()
            if row not in group:
                group.add(row)
                edge += [int(i) for i in np.flatnonzero(near[row]) if i not in group]
        left -= group
        groups.append(sorted(group))
    return groups


def core_of(mask: Bool[np.ndarray, "h w"], trim_px: int = 3) -> Bool[np.ndarray, "h w"]:
    """A loose crop's inside, to be looked for in other pictures: grow to paste, shrink to match."""
    height, width = mask.shape
    dy, dx = min(trim_px, max(0, (height - 4) // 2)), min(trim_px, max(0, (width - 4) // 2))
    inside = np.zeros_like(mask)
    inside[dy : height - dy, dx : width - dx] = True
    return mask & inside
