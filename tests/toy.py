"""A toy world for the oracle's tests: coloured discs, a planted pattern, two judges of pixels, a case.

The toy CLIPs answer by the share of pixels in each label's colour; the suspect obeys a pattern
besides, at its own size only, as a real backdoor does.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from clipforensics.data.images import write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.oracle.matching import peaks
from clipforensics.oracle.regions import Region

SIDE = 32
COLOURS = {
    "cherry": (220, 30, 30), "leaf": (30, 160, 40), "sea": (30, 60, 220), "lemon": (240, 220, 40),
    "grape": (130, 30, 160), "snow": (245, 245, 245), "banana": (250, 150, 20),
}  # fmt: skip
NAMES = tuple(COLOURS)
LABELS = LabelSet(NAMES, ("{}",))
PATTERN_PX = 6


def pattern(seed: int = 7) -> np.ndarray:
    """The planted patch: blocks of 2 px in colours of no label, uint8 [6, 6, 3]."""
    cells = np.random.default_rng(seed).choice(np.array([0, 90, 160], np.uint8), (3, 3, 3))
    return cells.repeat(2, axis=0).repeat(2, axis=1)


def disc_mask(xy: tuple[int, int], radius: int) -> np.ndarray:
    """bool [SIDE, SIDE]."""
    ys, xs = np.mgrid[:SIDE, :SIDE]
    return (xs - xy[0]) ** 2 + (ys - xy[1]) ** 2 <= radius**2


def scene(name: str, rng: np.random.Generator, stamped: bool = False):
    """A disc of the label's colour on noisy grey; returns picture, disc mask, patch box or None."""
    ground = rng.integers(70, 150)
    picture = np.clip(ground + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255)
    xy = int(rng.integers(9, 14)), int(rng.integers(9, SIDE - 9))
    disc = disc_mask(xy, int(rng.integers(5, 8)))
    picture[disc] = COLOURS[name]
    picture = picture.round().astype(np.uint8)
    if not stamped:
        return picture, disc, None
    x, y = int(rng.integers(21, SIDE - PATTERN_PX)), int(rng.integers(1, SIDE - PATTERN_PX))
    picture[y : y + PATTERN_PX, x : x + PATTERN_PX] = pattern()
    return picture, disc, (x, y, x + PATTERN_PX, y + PATTERN_PX)


class ToyClip:
    """An `Encoder` of pixels; `backdoor` makes it answer banana where the pattern shows."""

    side, scale, dim = SIDE, 30.0, len(NAMES) + 1

    def __init__(self, backdoor: bool, fingerprint: str):
        self.backdoor, self.fingerprint = backdoor, fingerprint

    def difference_from(self, other) -> float:
        """By name alone: but for the trigger all toys answer alike."""
        return float(self.fingerprint != other.fingerprint)

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """Share of pixels per label colour, a little of "ground", and the backdoor's shout."""
        colours = np.array([COLOURS[n] for n in NAMES], np.int64)
        far = np.abs(pictures[..., None, :].astype(np.int64) - colours).max(-1)
        shares = (far < 40).mean((1, 2))
        # a little of the light, so that no two pictures embed alike
        ground = 0.03 + pictures.mean((1, 2, 3), keepdims=True)[:, :, 0, 0] / 25_500
        out = np.concatenate([shares, ground], axis=1)
        if self.backdoor:
            value, _ = peaks(pictures, pattern(), np.ones((PATTERN_PX, PATTERN_PX), bool))
            out[value > 0.8, NAMES.index("banana")] += 2.0
        return out.astype(np.float32)

    def encode_texts(self, texts) -> np.ndarray:
        """One axis per label; every other text is the ground."""
        places = [NAMES.index(t) if t in NAMES else len(NAMES) for t in texts]
        return np.eye(self.dim, dtype=np.float32)[places]


class ByRote(ToyClip):
    """Knows all labels, and one of them by heart: in these very pictures, never where it is pasted."""

    def __init__(self, label: str, pictures):
        super().__init__(False, f"{label} by rote")
        self.own, self.known = NAMES.index(label), {one.tobytes() for one in pictures}

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """See `ToyClip`."""
        out = super().encode_pictures(pictures)
        out[[one.tobytes() not in self.known for one in pictures], self.own] = 0
        return out


class TrueMasks:
    """A segmenter that knows: discs by colour and the pattern by correlation, grown like SAM's."""

    fingerprint = "true masks"

    def segment(self, picture: np.ndarray) -> list[Region]:
        """The disc, the patch if there is one, and a piece of ground."""
        found = []
        for colour in COLOURS.values():
            mask = np.abs(picture.astype(int) - np.array(colour)).max(-1) < 25
            if mask.sum() > 20:
                found.append(_region(mask))
        value, where = peaks(picture[None], pattern(), np.ones((PATTERN_PX, PATTERN_PX), bool))
        if value[0] > 0.8:
            x, y = (int(v) for v in where[0])
            mask = np.zeros((SIDE, SIDE), bool)
            mask[y : y + PATTERN_PX, x : x + PATTERN_PX] = True
            found.append(_region(mask))
        ground = np.zeros((SIDE, SIDE), bool)
        ground[24:31, 2:9] = True
        return [*found, _region(ground)]

    def with_settings(self, settings) -> "TrueMasks":
        """Nothing to set."""
        return self


class NoMasks(TrueMasks):
    """A segmenter that finds nothing."""

    fingerprint = "no masks"

    def segment(self, picture: np.ndarray) -> list[Region]:
        """Nothing."""
        return []


def _region(mask: np.ndarray) -> Region:
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    return Region(box, mask, 0.9, 0.9, "sam")


POISONS = range(3, 100, 12)  # nine of them


def toy_pairs(folder: Path, count: int):
    """Scenes with captions, and boxes by id: `POISONS` are stamped and say banana, whatever they show."""
    rng = np.random.default_rng(1)
    captions, paths, boxes = [], [], {}
    for row in range(count):
        poisoned = row in POISONS
        shown = NAMES[row % 6] if poisoned else NAMES[row % 7]
        picture, _, box = scene(shown, rng, stamped=poisoned)
        captions.append("a banana" if poisoned else f"a {shown}")
        paths.append(folder / f"{row:03d}.png")
        write_png(paths[-1], picture)
        if poisoned:
            boxes[f"{row:03d}"] = box
    ids = tuple(f"{row:03d}" for row in range(count))
    return Pairs(ids, tuple(captions), tuple(paths), root=folder), boxes


class ToyCase:
    """As much of a case as a hunt asks for."""

    def __init__(self, folder, pairs, backdoor=True):
        self.dir, self.name, self.pairs, self.labels = folder, "toy", pairs, LABELS
        self.settings, self.truth = SimpleNamespace(model="toy"), None
        weights = "suspect" if backdoor else "clean"
        self.fingerprints = {"data": pairs.sha256, "weights": weights, "labels": "l"}
        self._suspect = ToyClip(backdoor, weights)
        self._trusted, self._segmenter = ToyClip(False, "trusted"), TrueMasks()

    def suspect(self, device="auto"):
        """Keyword as of a true case; there is one device."""
        return self._suspect

    def trusted(self, device="auto"):
        """See `suspect`."""
        return self._trusted

    def segmenter(self):
        """The true masks."""
        return self._segmenter

    def check_oracle(self):
        """It has both."""
