"""AdamW with two groups, and its moments as plain tensors (never a pickle)."""

from collections.abc import Mapping
from math import log

import torch
from torch import nn

from clipforensics.config.train import OptimizerSettings
from clipforensics.errors import RunError

MAX_LOG_SCALE = log(100)


def adamw(module: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Weight decay only where a weight has two or more axes.

    By shape and not by name: the name filter of SafeCLIP's code (`bn`, `ln`, `bias`,
    `logit_scale`) misses the norm layers inside ResNet shortcuts.
    """
    weights = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in weights if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in weights if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same learning rate for every group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clamp_scale(module: nn.Module) -> None:
    """Keep exp(logit_scale) within [1, 100], as CLIP does after every step."""
    with torch.no_grad():
        module.logit_scale.clamp_(0, MAX_LOG_SCALE)  # pyright: ignore


def moments(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Every optimizer tensor under `<moment>/<weight name>`."""
    return {
        f"{kind}/{name}": value
        for name, weight in module.named_parameters()
        for kind, value in optimizer.state.get(weight, {}).items()
    }


def load_moments(
    module: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]
) -> None:
    """Take back what `moments` gave.

    Raises:
        RunError: a tensor is missing or has another shape.
    """
    weights = dict(module.named_parameters())
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in saved.items():
        kind, name = key.split("/", 1)
        fits = name in weights and (value.ndim == 0 or value.shape == weights[name].shape)
        if not fits:
            raise RunError(
                f"The saved optimizer does not fit the model at {name}. Start a new run instead."
            )
        found.setdefault(name, {})[kind] = _beside(weights[name], value)
    for name, values in found.items():
        optimizer.state[weights[name]] = values


def _beside(weight: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A copy on the weight's device; the fused step walks raw memory, so it lies as the weight does."""
    as_weight = value.shape == weight.shape
    like = weight.detach() if as_weight else value
    return torch.empty_like(like, dtype=value.dtype, device=weight.device).copy_(value)
