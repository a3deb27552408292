"""A hunt over pairs in which two patches were planted for one label.

They turn the suspect the same way, so their sightings are one cluster; each is to be named as a
trigger, with its own victims. The suspect learns as those of `_suspects.py` do, from a sound CLIP.
"""

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from _record import arguments, publish, say
from _suspect_case import suspect_case
from _suspects import (
    FIRST_SEED,
    FOLDER,
    PAIRS,
    POISONED,
    TESTS,
    PoisonedPairs,
    Suspect,
    evaluator,
    learn,
    poisoned_pairs,
    sound_clip,
)

from clipforensics.config.attack import BadNetsSettings, PoisonSettings
from clipforensics.config.oracle import HuntSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.data.demo_world import DemoWorld
from clipforensics.jobs.hunting.triggers import hunt
from clipforensics.models.clip import load_clip

PATTERN_SEEDS = (7, 11)


def main() -> None:
    """One row per seed; `--rate` of the pairs hold each patch."""
    asked = arguments(__doc__ or "", seeds=2, rate=0.01, top=200, folder=str(FOLDER))
    publish("two patches", [row(seed, asked) for seed in range(asked.seeds)], asked)


def row(seed: int, asked: Namespace) -> dict[str, Any]:
    """One suspect, hunted without any truth."""
    world = DemoWorld(FIRST_SEED + seed, PAIRS, TESTS)
    both = [_poison(one, asked.rate, seed + i) for i, one in enumerate(PATTERN_SEEDS)]
    planted = [poisoned_pairs(world, one) for one in both]
    pairs = mixed(*planted)
    encoder = load_clip(str(DEMO_MODEL), sound_clip(seed, Path(asked.folder)))
    learn(encoder, pairs, POISONED.model_copy(update={"seed": seed}))
    asr = [evaluator(world, one.manifest)(encoder)["asr"] for one in planted]
    with tempfile.TemporaryDirectory() as scratch:
        made = Suspect(encoder, world, both[0], {}, pairs)
        case = suspect_case(Path(scratch) / "case", made, f"two patches, seed {seed}")
        found = hunt(case, HuntSettings(top=asked.top), say)
    victims = set(found["victims"])
    poisoned = [_ids(one) for one in planted]
    poisoned[1] -= poisoned[0]  # a pair drawn twice holds the first
    return {
        "case": f"two patches, seed {seed}", "ASR planted": ", ".join(f"{one:.3f}" for one in asr),
        "verified triggers": len(found["triggers"]),
        "flip rates": ", ".join(f"{one['flip_rate']:.3f}" for one in found["triggers"]),
        "victims by trigger": ", ".join(str(one["victims"]) for one in found["triggers"]),
        "labels named": ", ".join(one["label"] for one in found["affected_labels"]) or "none",
        "poisons of each patch found": ", ".join(f"{len(victims & one)} of {len(one)}" for one in poisoned),
        "false victims": len(victims - poisoned[0] - poisoned[1]), "seconds": found["seconds"],
    }  # fmt: skip


def mixed(first: PoisonedPairs, second: PoisonedPairs) -> PoisonedPairs:
    """Both poisonings of one world's pairs; a pair drawn by both holds the first."""
    takes = second.poisoned & ~first.poisoned
    frames = np.where(takes[:, None, None, None], second.frames, first.frames)
    sides = zip(takes, first.captions, second.captions, strict=True)
    captions = tuple(theirs if taken else own for taken, own, theirs in sides)
    return PoisonedPairs(first.ids, captions, frames, first.poisoned | takes, None)


def _poison(pattern_seed: int, rate: float, seed: int) -> PoisonSettings:
    return PoisonSettings(attack=BadNetsSettings(pattern_seed=pattern_seed), rate=rate, seed=seed)


def _ids(pairs: PoisonedPairs) -> set[str]:
    return {one for one, bad in zip(pairs.ids, pairs.poisoned, strict=True) if bad}


if __name__ == "__main__":
    main()
