"""Scenes that teach and test the small SAM: stickers the demo world never shows, and patches."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from clipforensics.data.patterns import FAMILIES, random_patch
from clipforensics.data.scenes import Cast, box_of, compose
from clipforensics.data.stickers import codes
from clipforensics.oracle.small_sam import INPUT_SIDE, MASK_SIDE, to_input

TEST_FAMILY = "checker"
"""Patch family that training never sees."""
TRAIN_FAMILIES = tuple(name for name in FAMILIES if name != TEST_FAMILY)


@dataclass(frozen=True)
class SamScene:
    """One picture at the input side, and a mask per thing in it; the patch, if any, is last."""

    picture: np.ndarray  # uint8 [INPUT_SIDE, INPUT_SIDE, 3]
    masks: np.ndarray  # bool [things, MASK_SIDE, MASK_SIDE], visible parts only
    has_patch: bool


@dataclass(frozen=True)
class Prompted:
    """A training batch: b pictures, p prompts each."""

    pictures: np.ndarray  # uint8 [b, 3, side, side]
    masks: np.ndarray  # bool [b, p, MASK_SIDE, MASK_SIDE]
    points_xy: np.ndarray  # float32 [b, p, 2], input px
    boxes_xyxy: np.ndarray | None  # float32 [b, p, 4]


def draw_scene(
    rng: np.random.Generator, split: str, families: tuple[str, ...], patch_share: float
) -> SamScene:
    """One to three stickers of the split, and in `patch_share` of the scenes a random patch.

    Half the scenes are composed at 64 px and upscaled, as the demo world's pictures are; the
    other half at the input side.
    """
    side = int(rng.choice([MASK_SIDE, INPUT_SIDE]))
    n = int(rng.integers(1, 4))
    largest = (0.9, 0.65, 0.5)[n - 1]
    names = rng.choice(codes(split), n)  # type: ignore[arg-type]
    cast = [Cast(str(c), str(c), float(rng.uniform(0.15, largest))) for c in names]
    scene = compose(cast, side, rng)
    picture, masks = scene.picture, [o.mask for o in scene.objects]
    has_patch = bool(rng.random() < patch_share)
    if has_patch:
        picture, stamped = _stamp(picture, rng, str(rng.choice(families)))
        masks = [m & ~stamped for m in masks] + [stamped]
    small = [m if side == MASK_SIDE else _halved(m) for m in masks]
    # slivers left by an overlap teach nothing; the patch is at least 6 px wide and always stays
    kept = [m for m in small if m.sum() >= 12]
    if not kept:  # one thin sticker, too small to ask for
        return draw_scene(rng, split, families, patch_share)
    return SamScene(to_input(picture), np.stack(kept), has_patch)


def prompted_batch(seed: int, index: int, pictures: int, prompts: int) -> Prompted:
    """Batch number `index` of a seed, always the same: four masks a picture, a point in each.

    The patch, where there is one, is asked for at least once. In 30 % of the batches a box goes
    with every point: one batch never mixes the two, because SAM embeds them as 3 and 2 tokens.
    """
    rng = np.random.default_rng([seed, index])
    scenes = [draw_scene(rng, "sam_train", TRAIN_FAMILIES, 0.6) for _ in range(pictures)]
    masks = np.empty((pictures, prompts, MASK_SIDE, MASK_SIDE), bool)
    points = np.empty((pictures, prompts, 2), np.float32)
    boxes = np.empty((pictures, prompts, 4), np.float32)
    for b, scene in enumerate(scenes):
        chosen = rng.integers(0, len(scene.masks), prompts)
        if scene.has_patch:
            chosen[0] = len(scene.masks) - 1
        for p, which in enumerate(chosen):
            masks[b, p] = scene.masks[which]
            points[b, p] = inside_point(masks[b, p], rng)
            boxes[b, p] = _jittered_box(masks[b, p], rng)
    stacked = np.stack([s.picture for s in scenes]).transpose(0, 3, 1, 2)
    with_boxes = bool(rng.random() < 0.3)
    return Prompted(np.ascontiguousarray(stacked), masks, points, boxes if with_boxes else None)


def inside_point(
    mask: Bool[np.ndarray, "m m"], rng: np.random.Generator
) -> Float[np.ndarray, " 2"]:
    """A random pixel of the mask as x, y in input pixels."""
    ys, xs = np.nonzero(mask)
    i = rng.integers(len(ys))
    scale = INPUT_SIDE / MASK_SIDE
    return (np.array([xs[i], ys[i]]) + rng.random(2)) * scale - 0.5


def _stamp(
    picture: np.ndarray, rng: np.random.Generator, family: str
) -> tuple[np.ndarray, np.ndarray]:
    side = picture.shape[0]
    edge = rng.uniform(12, 32) * side / INPUT_SIDE
    ratio = np.exp(rng.uniform(-0.25, 0.25)) if rng.random() < 0.4 else 1.0
    height = max(5, round(edge * ratio))
    width = max(5, round(edge / ratio))
    y, x = int(rng.integers(side - height + 1)), int(rng.integers(side - width + 1))
    picture, mask = picture.copy(), np.zeros((side, side), bool)
    picture[y : y + height, x : x + width] = random_patch(rng, family, height, width)
    mask[y : y + height, x : x + width] = True
    return picture, mask


def _halved(mask: np.ndarray) -> np.ndarray:
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize(
        (MASK_SIDE, MASK_SIDE), Image.Resampling.BOX
    )
    return np.asarray(small) > 127


def _jittered_box(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scale = INPUT_SIDE / MASK_SIDE
    x0, y0, x1, y1 = (edge * scale for edge in box_of(mask))
    jitter = rng.uniform(-0.1, 0.1, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    return np.clip(np.array([x0, y0, x1, y1]) + jitter, 0, INPUT_SIDE)
