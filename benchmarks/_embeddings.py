"""Real embeddings for the speed benchmark: pictures of the demo world, as its suspect sees them."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from clipforensics.data.demo_case import DEMO_MODEL, SUSPECT_WEIGHTS
from clipforensics.data.demo_world import DemoWorld
from clipforensics.detect.workers import cores

WORLD_SEED = 9  # a world that neither suspect nor trusted model has seen
PART = 500
FOLDER = Path("build/embeddings")


def demo_embeddings(n: int, folder: Path = FOLDER) -> np.ndarray:
    """float32 [n, 128], raw; drawn and encoded on all cores, and kept in `folder` for next time."""
    from clipforensics.models.clip import load_clip

    path = folder / f"demo-world-{WORLD_SEED}-{n}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    encoder = load_clip(str(DEMO_MODEL), SUSPECT_WEIGHTS)
    starts = range(0, n, PART)
    fresh = multiprocessing.get_context("spawn")  # a fork could inherit a held lock
    with ProcessPoolExecutor(cores(), fresh) as drawers:
        parts = drawers.map(_frames, starts, [min(start + PART, n) for start in starts])
        table = np.concatenate([encoder.encode_pictures(frames) for frames in parts])
    folder.mkdir(parents=True, exist_ok=True)
    half_made = path.with_suffix(".part.npy")
    np.save(half_made, table, allow_pickle=False)
    os.replace(half_made, path)
    return table


def _frames(start: int, stop: int) -> np.ndarray:
    world = DemoWorld(WORLD_SEED, stop)
    return np.stack([world.picture(row) for row in range(start, stop)])
