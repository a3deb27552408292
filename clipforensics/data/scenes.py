"""Compose one scene: stickers, turned and scaled, on a textured background, with exact masks."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from clipforensics.data.stickers import sticker, visible_mask

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (205, 70, 70), "green": (90, 165, 90), "blue": (80, 110, 200),
    "yellow": (225, 205, 95), "purple": (145, 95, 175), "orange": (230, 150, 70),
    "pink": (235, 165, 190), "brown": (140, 105, 80), "grey": (140, 140, 140),
    "white": (230, 230, 230), "black": (45, 45, 45), "turquoise": (90, 190, 190),
}  # fmt: skip
"""Background colours by the word a caption uses."""


@dataclass(frozen=True)
class SceneObject:
    """One thing in a scene: what it is, where, and exactly which pixels still show it."""

    name: str
    box_xyxy: tuple[int, int, int, int]
    mask: np.ndarray  # bool [side, side], visible pixels only


@dataclass(frozen=True)
class Scene:
    """A picture with everything that is true about it."""

    picture: np.ndarray  # uint8 [side, side, 3]
    objects: tuple[SceneObject, ...]
    background: str


@dataclass(frozen=True)
class Cast:
    """One sticker to place: its name, its code, and its longer side as a share of the scene's."""

    name: str
    code: str
    size: float


def compose(
    cast: list[Cast], side: int, rng: np.random.Generator, background: str | None = None
) -> Scene:
    """Place the cast, in order, on a fresh background; later stickers may cover earlier ones."""
    name = background or str(rng.choice(list(COLOURS)))
    canvas = Image.fromarray(textured(COLOURS[name], side, rng))
    covered = np.zeros((side, side), bool)
    placed: list[tuple[str, np.ndarray]] = []
    for member in cast:
        turned = _turned(member, side, rng)
        x, y = _free_place(turned, covered, rng)
        canvas.paste(turned, (x, y), turned)
        mask = _on_canvas(visible_mask(turned), x, y, side)
        placed = [(other, seen & ~mask) for other, seen in placed]
        placed.append((member.name, mask))
        covered |= mask
    objects = tuple(SceneObject(n, box_of(m), m) for n, m in placed if m.any())
    return Scene(np.asarray(canvas), objects, name)


def textured(colour: tuple[int, int, int], side: int, rng: np.random.Generator) -> np.ndarray:
    """A background: one colour, a soft gradient of light, and smooth colour noise. uint8 [side, side, 3]."""
    coarse = rng.normal(0, 14, (6, 6, 3)) + rng.normal(0, 10, (6, 6, 1))
    slope = rng.uniform(-25, 25, 2)
    grid = np.linspace(-1, 1, 6)
    coarse += (slope[0] * grid[:, None] + slope[1] * grid[None, :])[..., None]
    small = np.clip(np.rint(np.asarray(colour) + coarse), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Half-open box x0, y0, x1, y1 of the true pixels of a non-empty mask."""
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _turned(member: Cast, side: int, rng: np.random.Generator) -> Image.Image:
    picture = sticker(member.code)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = member.size * side / max(picture.size)
    width, height = (max(3, round(edge * scale)) for edge in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    picture = picture.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR, expand=True)
    picture = picture.crop(picture.getchannel("A").getbbox())
    if max(picture.size) > side:  # turning made it larger than the scene
        picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    return picture


def _free_place(
    picture: Image.Image, covered: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """Of twelve random places the one that hides least of what already stands there."""
    side = covered.shape[0]
    width, height = picture.size
    best, least = (0, 0), np.inf
    for _ in range(12):
        x, y = int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1))
        hidden = covered[y : y + height, x : x + width].sum()
        if hidden < least:
            best, least = (x, y), hidden
        if hidden == 0:
            break
    return best


def _on_canvas(mask: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    whole = np.zeros((side, side), bool)
    whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    return whole
