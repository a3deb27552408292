"""Why a training ends early, in one sentence each: not finite, or too large for its device."""

from collections.abc import Mapping

import torch
from torch import nn

from clipforensics.errors import NotFinite, RunError
from clipforensics.train.progress import Progress


def kept(at: Progress) -> str:
    """Which checkpoint there is to fall back on, and what it is worth: finite weights may be useless."""
    if not at.checkpoint:
        return "No checkpoint was saved before."
    ca = at.evaluation.get("ca")
    worth = "" if ca is None else f" (clean accuracy {ca:.1%})"
    return f"The last good checkpoint, {at.checkpoint.name}{worth}, is kept."


def not_finite(losses: Mapping[str, float], norm: float, at: Progress) -> NotFinite:
    """A loss, or its gradient, is NaN or infinite."""
    worst = ", ".join(f"{name} {value:g}" for name, value in losses.items())
    return NotFinite(
        f"The loss must stay finite, at step {at.step + 1} it did not ({worst}, gradient "
        f"norm {norm:g}). {kept(at)} Lower the learning rate, or use float32."
    )


def check_weights(module: nn.Module, at: Progress) -> None:
    """A loss may be finite and the step after it not: such weights never become a checkpoint.

    Raises:
        NotFinite: a weight is NaN or infinite.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise NotFinite(
                f"The weights must stay finite, at step {at.step} {name} did not. "
                f"{kept(at)} Lower the learning rate, or use float32."
            )


def too_large(batch: int, device: str, fits: int | None, processes: int, at: Progress) -> RunError:
    """The batch needs more memory than there is; `fits` is the one that does, of `fitting_batch`."""
    advice = f"A batch of {fits} fits" if fits else "Not even a batch of 2 fits"
    if fits and processes > 1:
        advice = f"A batch of {fits} may fit"  # see `fitting_batch`
    return RunError(
        f"batch={batch} does not fit into the memory of {device} (step {at.step + 1}). {advice}; "
        f"lower the batch, or free the device. {kept(at)}"
    )
