"""Invert a trigger: the smallest change of one family that makes the suspect say a label.

Blended, SIG, filters and WaNet leave no region to cut out. For a planted label a much smaller
change suffices than for others; how much smaller is judged in `anomaly`, against control labels.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch.nn import functional as F

from clipforensics.config.inversion import InversionSettings
from clipforensics.errors import ModelError
from clipforensics.models.encoder import Differentiable
from clipforensics.oracle.anomaly import Inverted
from clipforensics.oracle.families import FAMILIES, Family, Free, to_pixels, worn
from clipforensics.oracle.pasting import CleanSet, trusted_answers
from clipforensics.oracle.rates import wilson
from clipforensics.oracle.scorer import Judge

BETAS = (0.5, 0.9)
PATIENCE, FACTOR = 5, 1.5
"""Batches of one kind in a row before the weight of size changes, and by what."""
TOLD_EVERY = 10

Told = Callable[[int], None]


@dataclass(frozen=True)
class Change:
    """The best change of one search.

    Attributes:
        values: of the family, natural units, float32.
        size: in the family's unit.
        reached: whether some batch met the wanted success; else `values` are those of the batch
            that came nearest, and `size` is the largest that was tried in vain.
        success: of that batch.
    """

    values: dict[str, np.ndarray]
    size: float
    reached: bool
    success: float


def generator_of(seed: int, label: str, family: str) -> torch.Generator:
    """Random numbers of one label and family, whichever others are inverted before it."""
    key = hashlib.sha256(f"{seed}\0{family}\0{label}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)


def invert(
    pictures: UInt8[np.ndarray, "n s s 3"],
    index: int,
    suspect: Judge,
    family: Family,
    settings: InversionSettings,
    generator: torch.Generator,
    told: Told | None = None,
) -> Change:
    """Search the smallest change after which the suspect answers one label.

    Minimizes cross-entropy over all labels plus a weight times size. After five batches with the
    wanted success the weight rises by half, after five without it falls; the smallest change that
    succeeded is kept.

    Args:
        pictures: clean, without the label.
        index: the label's place.
        suspect: needs an encoder that gives gradients.
        family: kind of change.
        settings: steps, batch, rate, weight.
        generator: draws start and batches.
        told: called with the steps done, every ten; may raise to break off.

    Raises:
        ModelError: the suspect gives no gradients, or the search met numbers that are not finite.

    Source:
        Wang et al., "Neural Cleanse", IEEE S&P 2019, whose code waits for 5 batches and multiplies
        by 1.5 up, by 1.5 ** 1.5 down; ours is even, and size counts as a share of the whole.
    """
    encoder = _differentiable(suspect)
    side = pictures.shape[1]
    texts = torch.from_numpy(suspect.weights[: len(suspect.labels)])
    free = [one.requires_grad_(True) for one in family.start(side, generator)]
    adam = torch.optim.Adam(free, lr=settings.rate, betas=BETAS)
    weight, run, best, largest = settings.weight, 0, None, 0.0
    for step in range(settings.steps):
        if told is not None and step % TOLD_EVERY == 0:
            told(step)
        rows = torch.randint(len(pictures), (settings.batch,), generator=generator)
        x = to_pixels(pictures[rows.numpy()])
        values = family.values(free)
        features = encoder.pixel_features(family.change(values, x, 1.0))
        cosines = F.normalize(features, dim=1) @ texts.T
        success = float((cosines.argmax(dim=1) == index).float().mean())
        size = family.size(values, side)
        best = _better(best, values, float(size.detach()), success, settings.reached)
        largest = max(largest, float(size.detach()))
        wanted = torch.full((len(x),), index)
        loss = F.cross_entropy(encoder.scale * cosines, wanted)
        loss = loss + weight * size / family.full(side)
        _step(adam, free, loss)
        run = _run_of(run, success >= settings.reached)
        if abs(run) == PATIENCE:
            weight, run = weight * FACTOR ** (1 if run > 0 else -1), 0
    if best is None:
        raise ModelError("The suspect's features are not finite numbers. Check its weights.")
    return best if best.reached else replace(best, size=largest)


def measured(
    change: Change,
    label: str,
    family: Family,
    held_out: CleanSet,
    suspect: Judge,
    trusted: Judge,
) -> Inverted:
    """Wear the change on held-out pictures and ask both models.

    Pictures are rounded to levels first: what vanishes there is no trigger.
    """
    index = suspect.labels.index(label)
    changed = worn(family, change.values, held_out.pictures)
    flips = suspect.answers(changed) == index
    f_t = float((trusted_answers(trusted, changed) == index).mean())
    return Inverted(
        label, family.name, change.size, family.unit, change.reached, float(flips.mean()),
        wilson(int(flips.sum()), len(flips)), len(flips), f_t,
    )  # fmt: skip


def _better(
    best: Change | None, values: dict[str, torch.Tensor], size: float, success: float, wanted: float
) -> Change | None:
    """Whichever is better: reached before not reached, then smaller; unreached by success."""
    if not np.isfinite(size) or not all(bool(one.isfinite().all()) for one in values.values()):
        return best
    reached = success >= wanted
    rank = (reached, 0.0 if reached else success, -size)
    if best is not None:
        held = (best.reached, 0.0 if best.reached else best.success, -best.size)
        if rank <= held:
            return best
    kept = {name: one.detach().clone().numpy() for name, one in values.items()}
    return Change(kept, size, reached, success)


def _step(adam: torch.optim.Adam, free: Free, loss: Float[torch.Tensor, ""]) -> None:
    # gradients of the change alone: the model's weights are shared and stay untouched
    for one, slope in zip(free, torch.autograd.grad(loss, free), strict=True):
        one.grad = slope
    adam.step()


def _run_of(run: int, succeeded: bool) -> int:
    """Length of the run of equal outcomes: positive for successes, negative for failures."""
    if succeeded:
        return max(run, 0) + 1
    return min(run, 0) - 1


def _differentiable(suspect: Judge) -> Differentiable:
    if not isinstance(suspect.encoder, Differentiable):
        raise ModelError(
            "Inversion needs a suspect that gives gradients, this one gives answers only. Open the "
            "case with the model's weights."
        )
    return suspect.encoder


__all__ = ["FAMILIES", "Change", "generator_of", "invert", "measured"]
