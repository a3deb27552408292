"""A batch that is too large for its device: noticed, and answered with one that fits."""

import gc
from dataclasses import replace

import torch

from clipforensics.models.clip import OpenClipEncoder
from clipforensics.train.recipe import Batch, Recipe

LEAST = 2
CPU_SAYS = ("can't allocate memory", "not enough memory")


def out_of_memory(problem: BaseException) -> bool:
    """Is this the device, or the machine, saying that its memory is full?"""
    if isinstance(problem, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(problem, RuntimeError) and any(one in str(problem) for one in CPU_SAYS)


def fitting_batch(
    encoder: OpenClipEncoder,
    recipe: Recipe,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    processes: int = 1,
) -> int | None:
    """The largest halving of the batch whose losses and gradients fit, found by trying.

    The run is over when this is asked: what the recipe remembers may change. Where the optimizer
    has no moments yet, room for them is kept.

    Args:
        encoder: its gradients are thrown away.
        recipe: the run's.
        batch: the one that did not fit; one process's share of it.
        optimizer: the run's.
        processes: several cannot try alone, they would wait for each other: half is guessed.

    Returns:
        Pairs for all processes together, or None where not even 2 fit.
    """
    size = len(batch.rows) // 2
    if processes > 1:
        return size * processes or None
    while size >= LEAST:
        optimizer.zero_grad(set_to_none=True)
        _forget()
        if _fits(encoder, recipe, batch, size, bool(optimizer.state)):
            return size
        size //= 2
    return None


def _fits(
    encoder: OpenClipEncoder, recipe: Recipe, batch: Batch, size: int, has_moments: bool
) -> bool:
    weights = [p for p in encoder.module.parameters() if p.requires_grad]
    try:
        room = [] if has_moments else [torch.empty_like(p) for p in weights for _ in range(2)]
        part = replace(
            batch, rows=batch.rows[:size], frames=batch.frames[:size], tokens=batch.tokens[:size]
        )
        losses, _ = recipe.losses(encoder, part)
        torch.stack(list(losses.values())).sum().backward()
        del room
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
        return False
    return True


def _forget() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
