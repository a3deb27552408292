"""The held-out pictures of the oracle's curves, and what the oracle makes of one of them."""

import time
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from clipforensics.config.oracle import HuntSettings
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.jobs.hunting.examiner import CLEAN_SPARE
from clipforensics.oracle.regions import Region, whole
from clipforensics.oracle.scorer import Oracle

HELD_OUT_SEED = 500
"""World of the pictures: unknown to the suspects (100 and on, 200 and on) and the trusted model."""
POOL = 2_000


@dataclass(frozen=True)
class Pictures:
    """Held-out pictures of one to three objects, and what is pasted on besides."""

    bases: np.ndarray  # uint8 [stamped, s, s, 3], none shows the target
    base_ids: tuple[str, ...]
    clean: np.ndarray  # uint8 [clean, s, s, 3]; some do show the target
    others: np.ndarray  # uint8 [n, s, s, 3] none shows the target: what a pattern meets by chance
    spare: Any  # the paste test's own, as much of `Pairs` as an examiner reads


@dataclass(frozen=True)
class Sight:
    """What the oracle makes of a picture; the suspect has no part in it."""

    picture: np.ndarray
    regions: list[Region]
    p_trusted: np.ndarray
    seconds: float  # of one core


@cache
def held_out(seed: int, stamped: int, clean: int, target: str) -> Pictures:
    """Four sets of rows of a world that no model was trained on, apart from each other."""
    world = DemoWorld(HELD_OUT_SEED + seed, POOL)
    named = [frozenset(labels().named_in(caption)) for caption in world.captions]
    base = [row for row in range(POOL) if target not in named[row]][:stamped]
    rest = [row for row in range(POOL) if row not in set(base)]
    verify_settings = HuntSettings().verify
    spare = verify_settings.n_confirm + verify_settings.n_screen + CLEAN_SPARE
    pasted_on = rest[clean : clean + spare]
    others = [row for row in rest[clean + spare :] if target not in named[row]]
    return Pictures(
        np.stack([world.picture(row) for row in base]),
        tuple(world.ids[row] for row in base),
        np.stack([world.picture(row) for row in rest[:clean]]),
        np.stack([world.picture(row) for row in others]),
        SimpleNamespace(
            captions=[world.captions[row] for row in pasted_on],
            picture=lambda i, side: world.picture(pasted_on[i]),
        ),
    )


def see(picture: np.ndarray, oracle: Oracle) -> Sight:
    """Segment, and ask the trusted model about each region."""
    began = time.process_time()
    regions = [one for one in oracle.segmenter.segment(picture) if one.source != "whole"]
    regions.append(whole(*picture.shape[:2]))
    seen = oracle.seen(picture, regions)
    return Sight(picture, regions, seen, time.process_time() - began)
