"""Train the bundled small SAM from nothing, on a CPU.

    python -m clipforensics.oracle.sam_training --out small_sam.safetensors --seed 0

Progress goes to stderr. Every half minute a checkpoint is written beside the output; the same
command resumes from it. Batches are made from (seed, step), so a resumed run sees what an
unbroken one would have seen. `--seconds` ends the schedule early on a slow machine.
"""

import argparse
import json
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from clipforensics.data.images import write_bytes
from clipforensics.models.weights import save_state
from clipforensics.oracle.sam_scenes import Prompted, prompted_batch
from clipforensics.oracle.small_sam import (
    MASK_SIDE,
    Sam,
    decode,
    encode,
    prompt,
    small_sam,
)

RECIPE = {
    "pictures": 32, "prompts": 4, "learning_rate": 8e-4, "weight_decay": 0.05,
    "warm_up_steps": 100, "clip_norm": 1.0, "focal_weight": 20.0, "focal_gamma": 2.0,
    "mean_weight": 0.05, "iou_weight": 1.0, "checkpoint_every_s": 30,
}  # fmt: skip


def mask_losses(
    logits: torch.Tensor, truth: torch.Tensor, predicted_iou: torch.Tensor
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """What is optimized, and what is only shown.

    Args:
        logits: float [n, 3, m, m], three masks a prompt.
        truth: bool [n, m, m].
        predicted_iou: float [n, 3].

    Returns:
        losses `mask` (20 focal + dice, the best of three plus .05 x their mean) and `iou` (mean
        squared error against the real IoU), and a report with the mean best IoU.
    """
    target = truth[:, None].expand_as(logits).float()
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid()
    missed = target * (1 - p) + (1 - target) * p
    focal = (missed ** RECIPE["focal_gamma"] * cross).mean((2, 3))
    overlap = (p * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (p.sum((2, 3)) + target.sum((2, 3)) + 1)
    each = RECIPE["focal_weight"] * focal + dice
    best = each.min(dim=1).values.mean() + RECIPE["mean_weight"] * each.mean()
    real = iou(logits.detach() > 0, truth[:, None])
    losses = {"mask": best, "iou": RECIPE["iou_weight"] * F.mse_loss(predicted_iou, real)}
    return losses, {"best_iou": float(real.max(dim=1).values.mean())}


def iou(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Intersection over union of bool masks over their last two axes; 0 where both are empty."""
    both = (found & truth).sum((-2, -1))
    return both / (found | truth).sum((-2, -1)).clamp(min=1)


def step_losses(
    sam: Sam, batch: Prompted, bf16: bool
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Forward pass of one batch: every picture embedded once, all its prompts decoded together."""
    b, p = batch.masks.shape[:2]
    boxes = batch.boxes_xyxy
    # the prompt encoder writes in place and stays in float32
    sparse, dense = prompt(
        sam,
        torch.from_numpy(batch.points_xy.reshape(b * p, 2)),
        None if boxes is None else torch.from_numpy(boxes.reshape(b * p, 4)),
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        embedded = encode(sam, torch.from_numpy(batch.pictures))
        logits, predicted = decode(sam, embedded.repeat_interleave(p, 0), sparse, dense)
    truth = torch.from_numpy(batch.masks.reshape(b * p, MASK_SIDE, MASK_SIDE))
    return mask_losses(logits.float(), truth, predicted.float())


def rate_at(step: int, share: float) -> float:
    """Learning rate: linear warm-up over steps, then a cosine over the share that is done."""
    warm = min(1.0, (step + 1) / RECIPE["warm_up_steps"])
    return RECIPE["learning_rate"] * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def batches(seed: int, first: int, workers: int) -> Iterator[Prompted]:
    """Batches `first`, `first + 1`, … of a seed, made ahead of need in other processes."""
    if workers == 0:
        index = first
        while True:
            yield prompted_batch(seed, index, RECIPE["pictures"], RECIPE["prompts"])
            index += 1
    from multiprocessing import get_context

    with get_context("spawn").Pool(workers, initializer=os.nice, initargs=(1,)) as pool:
        waiting = deque(_ask(pool, seed, first + i) for i in range(4 * workers))
        index = first + len(waiting)
        while True:
            yield waiting.popleft().get()
            waiting.append(_ask(pool, seed, index))
            index += 1


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, or so many seconds if they are over first."""

    steps: int = 3000
    seconds: float = math.inf

    def share(self, step: int, spent: float) -> float:
        """How much of it is used, 1 at the end."""
        return max(step / self.steps, spent / self.seconds)


def train(
    out: Path, budget: Budget, seed: int, bf16: bool, workers: int, say: Callable[[str], None]
) -> dict:
    """Train until the budget is used, resuming from `out`'s checkpoint if present.

    Returns:
        what was done: steps, scenes, seconds, mean loss and IoU of the last 100 steps.
    """
    torch.manual_seed(seed)  # initial weights; every batch has its own generator
    sam = small_sam().train()
    optimizer = _optimizer(sam)
    state_path = out.with_suffix(".checkpoint.pt")
    step, spent = _resume(state_path, sam, optimizer, seed)
    recent: deque[tuple[float, float]] = deque(maxlen=100)
    saved, last = time.monotonic(), time.monotonic()
    for batch in batches(seed, step, workers):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, budget.share(step, spent))
        losses, report = step_losses(sam, batch, bf16)
        loss = sum(losses.values(), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), RECIPE["clip_norm"])
        optimizer.step()
        step += 1
        now = time.monotonic()
        spent, last = spent + now - last, now
        recent.append((loss.item(), report["best_iou"]))
        if step % 20 == 0:
            say(_line(step, spent, budget, recent))
        if now - saved > RECIPE["checkpoint_every_s"]:
            _save(state_path, sam, optimizer, step, spent, seed)
            saved = now
        if budget.share(step, spent) >= 1:
            break
    _save(state_path, sam, optimizer, step, spent, seed)
    save_state(out, sam.state_dict(), half=True)
    means = np.mean(recent, axis=0)
    return {
        "steps": step, "scenes": step * RECIPE["pictures"], "seconds": round(spent, 1),
        "last_loss": round(float(means[0]), 4), "last_best_iou": round(float(means[1]), 4),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Train, measure on unseen stickers and an unseen patch family, write weights and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=Budget.steps)
    parser.add_argument("--seconds", type=float, default=math.inf, help="end earlier than this")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument("--test-scenes", type=int, default=400)
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    budget = Budget(asked.steps, asked.seconds)
    done = train(asked.out, budget, asked.seed, not asked.float32, asked.workers, _to_stderr)
    from clipforensics.oracle.sam_evaluation import provenance

    record = provenance(asked.out, done, asked.seed, not asked.float32, RECIPE, asked.test_scenes)
    write_bytes(asked.out.with_suffix(".json"), json.dumps(record, indent=2).encode() + b"\n")
    asked.out.with_suffix(".checkpoint.pt").unlink(missing_ok=True)
    _to_stderr(json.dumps(record["measured"]))
    return 0


def _optimizer(sam: Sam) -> torch.optim.AdamW:
    decayed = [p for p in sam.parameters() if p.ndim >= 2]
    plain = [p for p in sam.parameters() if p.ndim < 2]
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=RECIPE["learning_rate"], weight_decay=RECIPE["weight_decay"]
    )


def _ask(pool, seed: int, index: int):
    return pool.apply_async(prompted_batch, (seed, index, RECIPE["pictures"], RECIPE["prompts"]))


def _line(step: int, spent: float, budget: Budget, recent: deque) -> str:
    (loss, best), share = np.mean(recent, axis=0), budget.share(step, spent)
    return (
        f"step {step}  loss {loss:.3f}  best IoU {best:.3f}  "
        f"{step * RECIPE['pictures'] / spent:.0f} scenes/s  {spent / share - spent:.0f} s left"
    )


def _save(path: Path, sam: Sam, optimizer, step: int, spent: float, seed: int) -> None:
    import io

    buffer = io.BytesIO()
    state = {"sam": sam.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state | {"step": step, "spent": spent, "seed": seed}, buffer)
    write_bytes(path, buffer.getvalue())


def _resume(path: Path, sam: Sam, optimizer, seed: int) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["seed"] != seed:
        return 0, 0.0
    sam.load_state_dict(state["sam"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["spent"]


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
