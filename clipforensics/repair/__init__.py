"""Repair recipes by name, each in its own file; `load` imports the one asked for."""

from typing import Any

RECIPES = {
    "eftclip": "clipforensics.repair.eftclip:EftClip",
    "safeclip": "clipforensics.repair.safeclip:SafeClip",
    "cleanclip": "clipforensics.repair.cleanclip:CleanClip",
    "roclip": "clipforensics.repair.roclip:RoClip",
    "filter": "clipforensics.repair.filter:FilterRetrain",
    "finetune": "clipforensics.repair.finetune:FineTune",
}
"""Name to place; nothing heavy is imported until a recipe is loaded."""


def load(name: str) -> Any:
    """The recipe class of this name.

    Raises:
        ConfigError: the name is unknown.
    """
    from importlib import import_module

    from clipforensics.errors import ConfigError

    if name not in RECIPES:
        raise ConfigError(f"There is no recipe {name!r}. Choose one of {', '.join(RECIPES)}.")
    module, attribute = RECIPES[name].split(":")
    return getattr(import_module(module), attribute)
