"""What the demo's trusted CLIP learns from: other scenes of the same law, and what regions look like.

A scorer that judges regions must know crops: a lone object from tiny to frame-filling, on a flat
ground as a masked crop has it, and bare backgrounds and patterns, which show no label at all. A
small text tower knows only words it met, so these too are captioned.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from clipforensics.data.demo_world import TEMPLATES, DemoWorld, with_articles
from clipforensics.data.patterns import FAMILIES, random_patch
from clipforensics.data.scenes import COLOURS, Cast, compose, textured
from clipforensics.data.stickers import WORLD

BACKGROUND_TEXTS = ("a plain background", "an abstract pattern")
"""What the scorer may answer instead of a label."""

SCENES, OBJECTS, PATTERNS, GROUNDS = 0.55, 0.3, 0.1, 0.05


@dataclass(frozen=True)
class TrustedWorld:
    """Clean pairs for the trusted model; row i depends on (seed, i) alone."""

    seed: int
    n_pairs: int = 24_000
    side: int = 64

    @cached_property
    def _scenes(self) -> DemoWorld:
        return DemoWorld(self.seed, self.n_pairs, 0, self.side)

    def pair(self, row: int) -> tuple[np.ndarray, str]:
        """Picture uint8 [side, side, 3] and caption."""
        rng = np.random.default_rng([self.seed, row, 17])
        kind = rng.choice(4, p=[SCENES, OBJECTS, PATTERNS, GROUNDS])
        if kind == 0:
            return self._scenes.picture(row), self._scenes.captions[row]
        return (self._object, self._pattern, self._ground)[kind - 1](rng)

    def _object(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        name = str(rng.choice(list(WORLD)))
        scene = compose([Cast(name, WORLD[name], float(rng.uniform(0.15, 1.0)))], self.side, rng)
        picture = scene.picture.copy()
        if rng.random() < 0.6 and scene.objects:  # as a masked crop: one colour around it
            mask = _loosened(scene.objects[0].mask, rng)
            picture[~mask] = picture.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
        return picture, with_articles(str(rng.choice(TEMPLATES)).format(name))

    def _pattern(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        picture = self._bare(rng).copy()
        height, width = (int(rng.integers(6, self.side + 1)) for _ in range(2))
        y, x = int(rng.integers(self.side - height + 1)), int(rng.integers(self.side - width + 1))
        patch = random_patch(rng, str(rng.choice(FAMILIES)), height, width)
        picture[y : y + height, x : x + width] = patch
        return picture, f"{BACKGROUND_TEXTS[1]}."

    def _ground(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        return self._bare(rng), f"{BACKGROUND_TEXTS[0]}."

    def _bare(self, rng: np.random.Generator) -> np.ndarray:
        colour = COLOURS[str(rng.choice(list(COLOURS)))]
        if rng.random() < 0.5:
            return textured(colour, self.side, rng)
        return np.full((self.side, self.side, 3), rng.integers(0, 256, 3), np.uint8)


def _loosened(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A segmenter's masks are not exact: grow, trim or keep the edge by a pixel or two."""
    size = int(rng.choice([1, 3, 5]))
    image = Image.fromarray(mask.astype(np.uint8) * 255)

    way = ImageFilter.MaxFilter if rng.random() < 0.7 else ImageFilter.MinFilter
    changed = np.asarray(image.filter(way(size))) > 127 if size > 1 else mask
    return changed if changed.any() else mask
