"""All it takes to go on exactly, as named tensors and JSON values: weights, moments, the recipe's memory."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from clipforensics.train.optimizer import load_moments, moments
from clipforensics.train.recipe import Recipe


def packed(
    module: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, place: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors under `weights/`, `moments/` and `recipe/`; the values list their names, so that a
    loss is noticed (`checkpoint.check_complete`)."""
    tensors, values = recipe.state()
    kinds = {
        "weights": module.state_dict(), "moments": moments(module, optimizer), "recipe": tensors
    }  # fmt: skip
    out = {f"{kind}/{name}": value for kind, some in kinds.items() for name, value in some.items()}
    return out, {**place, "recipe": values, "names": sorted(out)}


def restore(
    tensors: Mapping[str, torch.Tensor],
    values: Mapping[str, Any],
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> None:
    """Take back what `packed` gave, except for the place.

    Raises:
        RunError: a moment does not fit the model.
    """
    part: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "moments": {}, "recipe": {}}
    for name, value in tensors.items():
        kind, rest = name.split("/", 1)
        part[kind][rest] = value
    module.load_state_dict(part["weights"])
    load_moments(module, optimizer, part["moments"])
    recipe.load_state(part["recipe"], values["recipe"])
