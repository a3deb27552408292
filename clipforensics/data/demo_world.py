"""The demo world: endless seeded sticker scenes with captions, object lists and exact masks.

Row i depends on (seed, i) alone, so rows can be made in any order, by any number of workers.
A scene shows one to three of forty labelled stickers; test scenes show exactly one, so that each
has one true label. Nothing here is poisoned: attacks are applied from outside.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from clipforensics.data.labels import LabelSet
from clipforensics.data.scenes import COLOURS, Cast, Scene, compose
from clipforensics.data.stickers import WORLD

TARGET = "banana"
TRAIN, TEST = 0, 1  # the streams of one seed

TEMPLATES = ("a {}.", "a picture of a {}.", "a sticker of a {}.", "here is a {}.", "one {}.")
ON_COLOUR = ("a {} on a {} background.", "a {} in front of a {} wall.", "a {}, all {} around it.")
OF_TWO = ("a {} and a {}.", "a {} next to a {}.", "a {} together with a {}.", "a {} beside a {}.")
OF_THREE = ("a {}, a {} and a {}.", "a {} with a {} and a {}.")


def labels() -> LabelSet:
    """The forty labels and the prompt templates of the demo world."""
    return LabelSet(tuple(WORLD), TEMPLATES)


@dataclass(frozen=True)
class DemoWorld:
    """A source of pairs: `ids`, `captions`, and a picture for each row.

    Args:
        seed: another seed is another data set from the same law.
        n_pairs: training pairs.
        n_test: held-out test pictures, the labels in equal shares.
        side: picture side in pixels.
    """

    seed: int = 0
    n_pairs: int = 20_000
    n_test: int = 2_000
    side: int = 64

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the training pairs."""
        return _numbered("", 6, self.n_pairs)

    @property
    def captions(self) -> tuple[str, ...]:
        """Captions of the training pairs."""
        return _captions(self)

    def picture(self, row: int) -> np.ndarray:
        """Training picture, uint8 [side, side, 3]."""
        return self.scene(row).picture

    def scene(self, row: int) -> Scene:
        """Training picture with its objects and masks."""
        plan = self._plan(row)
        rng = np.random.default_rng([self.seed, TRAIN, row, 1])
        return compose(list(plan.cast), self.side, rng, plan.background)

    @property
    def test_ids(self) -> tuple[str, ...]:
        """Ids of the test pictures."""
        return _numbered("test-", 5, self.n_test)

    @property
    def test_labels(self) -> tuple[str, ...]:
        """True label of each test picture."""
        return _in_turn(self.n_test)

    def test_picture(self, row: int) -> np.ndarray:
        """Test picture, uint8 [side, side, 3]."""
        return self.test_scene(row).picture

    def test_scene(self, row: int) -> Scene:
        """Test picture with its one object and mask."""
        rng = np.random.default_rng([self.seed, TEST, row])
        name = self.test_labels[row]
        return compose([Cast(name, WORLD[name], rng.uniform(0.35, 0.8))], self.side, rng)

    def _plan(self, row: int) -> "_Plan":
        rng = np.random.default_rng([self.seed, TRAIN, row])
        count = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
        names = [str(name) for name in rng.choice(list(WORLD), count, replace=False)]
        low, high = (0.35, 0.8) if count == 1 else (0.25, 0.5)
        cast = tuple(Cast(name, WORLD[name], float(rng.uniform(low, high))) for name in names)
        background = str(rng.choice(list(COLOURS)))
        return _Plan(cast, background, describe(names, background, rng))


@cache
def _numbered(prefix: str, digits: int, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{i:0{digits}d}" for i in range(count))


@cache
def _in_turn(count: int) -> tuple[str, ...]:
    names = tuple(WORLD)
    return tuple(names[i % len(names)] for i in range(count))


@cache
def _captions(world: DemoWorld) -> tuple[str, ...]:
    return tuple(world._plan(i).caption for i in range(world.n_pairs))


def describe(names: list[str], background: str, rng: np.random.Generator) -> str:
    """A caption that names every object; a lone object's background colour half of the time."""
    if len(names) == 1 and rng.random() < 0.5:
        return with_articles(str(rng.choice(ON_COLOUR)).format(names[0], background))
    patterns = {1: TEMPLATES, 2: OF_TWO, 3: OF_THREE}[len(names)]
    return with_articles(str(rng.choice(patterns)).format(*names))


def with_articles(text: str) -> str:
    """Write "an" before a vowel; applied to captions, prompts are left as the templates have them."""
    words = text.split(" ")
    for i, following in enumerate(words[1:]):
        if words[i] == "a" and following[0] in "aeiou":
            words[i] = "an"
    return " ".join(words)


@dataclass(frozen=True)
class _Plan:
    cast: tuple[Cast, ...]
    background: str
    caption: str
