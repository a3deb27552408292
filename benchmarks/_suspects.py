"""Suspects for the benchmarks: a clean CLIP trained on with poisoned pairs of the demo world.

The demo's suspect learned its poison from the first step; this is the other road by which a
backdoor comes in, and a shorter one: a sound CLIP is trained on for three epochs with pairs that are
poisoned. Each seed has its own world, its own first weights and its own draws, so that seeds are
independent; weights and figures are kept, so that a stopped benchmark goes on where it was.
"""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.plan import Plan, plan_poison, table_order
from clipforensics.attacks.stamping import row_generator
from clipforensics.attacks.writing import built
from clipforensics.cases.evidence import write_json
from clipforensics.config.attack import PoisonSettings
from clipforensics.config.settings import digest
from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.jobs.attacking.testing import planted_set
from clipforensics.models.clip import OpenClipEncoder, load_clip, new_clip, save_clip
from clipforensics.train.evaluate import Evaluator, TargetedSet, TestSet
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

PAIRS, TESTS = 10_000, 1_000
FIRST_SEED = 100
"""World seed of the first suspect; the demo case and the trusted model have others."""
CLEAN = TrainSettings(epochs=10)
POISONED = TrainSettings(epochs=3, batch=128)
LOOP = LoopSettings(evaluate_every=10**9, evaluate_start=False)
FOLDER = Path("build/suspects")


@dataclass(frozen=True)
class PoisonedPairs:
    """What `poison` would write, in memory.

    Attributes:
        ids, captions: of each row.
        frames: uint8 [n, side, side, 3].
        poisoned: bool [n].
        manifest: the same ground truth without its rows; None for clean pairs.
    """

    ids: tuple[str, ...]
    captions: tuple[str, ...]
    frames: np.ndarray
    poisoned: np.ndarray
    manifest: Manifest | None


@dataclass(frozen=True)
class Suspect:
    """A model, the world and poison it learned from last, and what was measured on held-out pictures.

    Attributes:
        given: the pairs it learned from, where no single poisoning makes them.
    """

    encoder: OpenClipEncoder
    world: DemoWorld
    poison: PoisonSettings | None
    figures: dict[str, Any]

    given: PoisonedPairs | None = None

    @cached_property
    def pairs(self) -> PoisonedPairs:
        """The pairs it learned from last; drawing 10,000 pictures takes a while, so only when asked."""
        return self.given or poisoned_pairs(self.world, self.poison)


def suspect(poison: PoisonSettings | None, seed: int, folder: Path = FOLDER) -> Suspect:
    """The suspect of one attack and seed, from `folder` when it was made before.

    Args:
        poison: the attack; its own seed is replaced by `seed`. None trains on with clean pairs.
        seed: of world, first weights, poisoning and batch order.
        folder: keeps weights and figures.
    """
    world = DemoWorld(FIRST_SEED + seed, PAIRS, TESTS)
    poison = poison and poison.model_copy(update={"seed": seed})
    training = POISONED.model_copy(update={"seed": seed})
    key = {
        "poison": poison and poison.model_dump(mode="json"), "seed": seed,
        "training": training.model_dump(mode="json"), "before": CLEAN.model_dump(mode="json"),
        "pairs": PAIRS,
    }  # fmt: skip
    weights = folder / f"{digest(key)}.safetensors"
    record = weights.with_suffix(".json")
    if record.is_file():
        kept = json.loads(record.read_text(encoding="utf-8"))
        return Suspect(load_clip(str(DEMO_MODEL), weights), world, poison, kept["figures"])
    made = Suspect(load_clip(str(DEMO_MODEL), sound_clip(seed, folder)), world, poison, {})
    learn(made.encoder, made.pairs, training)
    made.figures.update(evaluator(world, made.pairs.manifest)(made.encoder))
    save_clip(made.encoder, weights)
    write_json(record, {**key, "figures": made.figures})
    return Suspect(load_clip(str(DEMO_MODEL), weights), world, poison, made.figures)


def sound_clip(seed: int, folder: Path = FOLDER) -> Path:
    """Weights of a CLIP trained from nothing on clean pairs of yet another world."""
    training = CLEAN.model_copy(update={"seed": seed, "model_seed": FIRST_SEED + seed})
    path = folder / f"sound-{seed}-{digest(training.model_dump(mode='json'))}.safetensors"
    if not path.is_file():
        encoder = new_clip(str(DEMO_MODEL), training.model_seed)
        learn(encoder, poisoned_pairs(DemoWorld(2 * FIRST_SEED + seed, PAIRS), None), training)
        save_clip(encoder, path)
    return path


def poisoned_pairs(world: DemoWorld, poison: PoisonSettings | None) -> PoisonedPairs:
    """The rows of a poisoned table in its order; the pixels are those that `poison` writes."""
    if poison is None:
        none = np.zeros(world.n_pairs, bool)
        return PoisonedPairs(world.ids, world.captions, clean_frames(world), none, None)
    plan = plan_poison(world, labels(), poison)
    attacks = built(poison, world.side)
    clean = clean_frames(world)
    ids, captions, frames, poisoned = [], [], [], []
    for what, at in table_order(world, plan):
        if what == "copy":
            copy = plan.copies[at]
            ids.append(copy.id)
            captions.append(copy.caption)
            frames.append(world.test_picture(copy.test_row))
        else:
            ids.append(world.ids[at])
            captions.append(plan.captions.get(at, world.captions[at]))
            frames.append(clean[at])
            if at in plan.captions:
                rng = row_generator(poison.seed, world.ids[at])
                frames[-1] = attacks[plan.parts[at]].stamp(clean[at], rng)[0]
        poisoned.append(what == "copy" or at in plan.captions)
    truth = manifest(
        world, poison, plan, [one for one, bad in zip(ids, poisoned, strict=True) if bad]
    )
    return PoisonedPairs(tuple(ids), tuple(captions), np.stack(frames), np.array(poisoned), truth)


def truth_of(world: DemoWorld, poison: PoisonSettings) -> Manifest:
    """The manifest alone; no picture is drawn."""
    plan = plan_poison(world, labels(), poison)
    bad = [one.id for one in plan.copies] + [world.ids[row] for row in plan.captions]
    return manifest(world, poison, plan, bad)


def manifest(world: DemoWorld, poison: PoisonSettings, plan: Plan, poisoned: list[str]) -> Manifest:
    """The ground truth that `poison` would write, without its rows."""
    return Manifest(
        settings=poison, side=world.side, poisoned=frozenset(poisoned), rows=(),
        counts={"poisons": plan.poisons}, test_seed=poison.seed + 1_000_000,
        pattern_sha256=tuple(one.fingerprint for one in built(poison, world.side)),
        targeted={world.test_ids[row]: label for row, label in plan.targeted.items()},
    )  # fmt: skip


def evaluator(world: DemoWorld, truth: Manifest | None) -> Evaluator:
    """CA, and ASR of the planted attack or PSR, on the world's held-out pictures."""
    taken = truth.targeted if truth else {}
    free = [row for row, name in enumerate(world.test_ids) if name not in taken]
    frames = test_frames(world)
    names, true = labels(), [labels().index(one) for one in world.test_labels]
    test = TestSet(frames[free], np.array(true)[free])
    if truth is None:
        return Evaluator(names, test)
    planted = planted_set(truth, names, test, [world.test_ids[row] for row in free])
    targeted = None
    if taken:
        rows = [world.test_ids.index(name) for name in taken]
        targeted = TargetedSet(frames[rows], np.array([names.index(one) for one in taken.values()]))
    return Evaluator(names, test, [planted] if planted else [], targeted=targeted)


@cache
def clean_frames(world: DemoWorld) -> np.ndarray:
    """Training pictures, uint8 [n, side, side, 3]; several attacks share them."""
    return np.stack([world.picture(row) for row in range(world.n_pairs)])


@cache
def test_frames(world: DemoWorld) -> np.ndarray:
    """Test pictures, uint8 [n, side, side, 3]."""
    return np.stack([world.test_picture(row) for row in range(world.n_test)])


def learn(encoder: OpenClipEncoder, pairs: PoisonedPairs, settings: TrainSettings) -> None:
    """Train on with these pairs by plain CLIP training."""
    data = TrainingData(torch.from_numpy(pairs.frames), encoder.tokenize(list(pairs.captions)))
    train(encoder, data, PlainClip(np.arange(len(data)), settings), settings, LOOP)
