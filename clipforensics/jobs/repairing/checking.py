"""What a repair must have before it starts: asked before a process is made, and again as it begins."""

from pathlib import Path

import psutil

from clipforensics.cases.case import Case
from clipforensics.config.recipes import FilterSettings, FineTuneSettings, RetrainSettings
from clipforensics.config.repair import RecipeSettings, RepairSettings, recipe_settings
from clipforensics.errors import ConfigError, RunError
from clipforensics.jobs.repairing.curating import NO_TRIGGER, triggers_to_heal
from clipforensics.jobs.repairing.measuring import most_held_out
from clipforensics.repair.start import check_start

FAIR_SHARE = 0.02
"""Of all pairs: what a reviewer can look through, and the budget the recipes are compared at."""


def check_may_start(case: Case, repair: RepairSettings) -> RecipeSettings:
    """Refuse what is known to fail before a picture is read.

    Returns:
        The recipe's settings.

    Raises:
        ConfigError: the settings contradict each other; EftCLIP has no trigger to heal; a retraining
            would start from the suspect, or from a trusted model that is not there or built otherwise; less
            than one batch is there to learn from, or more is asked for than there is; no such device.
    """
    settings = recipe_settings(repair)
    if repair.device != "auto":  # that one is there
        from clipforensics.models.clip import pick_device

        pick_device(repair.device)
    if isinstance(settings, RetrainSettings):
        check_start(settings.start, None, None)
        if settings.start == "trusted":
            _check_trusted_start(case)
        _check_retraining(case, repair, settings)
        return settings
    if repair.recipe == "eftclip" and not triggers_to_heal(case):
        raise ConfigError(NO_TRIGGER)
    _check_pool(case, repair, settings)
    return settings


def beyond_fair(case: Case, repair: RepairSettings) -> str | None:
    """One sentence where more clean pairs are asked for than the recipes are compared at."""
    most, asked = int(FAIR_SHARE * len(case.pairs)), repair.changes.get("pairs", 0)
    if asked <= most:
        return None
    return (
        f"{asked:,} clean pairs are more than {FAIR_SHARE:.0%} of the data ({most:,}): no fair "
        "comparison with a repair that has fewer."
    )


def _check_trusted_start(case: Case) -> None:
    """What is trained from the trusted model takes the suspect's place, so it must be built alike."""
    from clipforensics.models.clip import read_model_config

    asked = case.settings
    if asked.trusted_model is None:
        raise ConfigError(
            "A start from the trusted model needs one, and this case names none. Make a case with "
            "--trusted-model and --trusted-weights, or start from random weights."
        )
    if read_model_config(asked.trusted_model) != read_model_config(asked.model):
        raise ConfigError(
            f"The trusted model ({Path(asked.trusted_model).name}) is built otherwise than the suspect "
            f"({Path(asked.model).name}), and what is trained from it could not take the suspect's place. "
            "Start from random weights."
        )


def _check_pool(case: Case, repair: RepairSettings, settings: FineTuneSettings) -> None:
    if "pairs" in repair.changes and settings.pairs > len(case.pairs):
        raise ConfigError(
            f"{settings.pairs:,} clean pairs are asked for, and the case has {len(case.pairs):,} pairs in all. "
            f"Ask for about {int(FAIR_SHARE * len(case.pairs)):,}."
        )
    if settings.pairs < settings.batch:
        raise ConfigError(
            f"A batch of {settings.batch:,} needs at least as many clean pairs, {settings.pairs:,} are asked "
            f"for. Lower the batch to {settings.pairs:,} or less, or ask for more clean pairs."
        )


def _check_retraining(case: Case, repair: RepairSettings, settings: RetrainSettings) -> None:
    n, held = len(case.pairs), most_held_out(case, repair.test_pictures, repair.retrieval_pairs)
    left, why = n - held, f"{held:,} of {n:,} are held out to measure on"
    if isinstance(settings, FilterSettings):
        dropped = round(settings.drop_share * left)
        left, why = left - dropped, f"{why} and {dropped:,} dropped"
    if left < settings.batch:
        raise ConfigError(
            f"A batch of {settings.batch:,} needs at least as many pairs, {left:,} are left to learn from: "
            f"{why}. Lower the batch to {max(left, 0):,} or less."
        )


def check_room(pairs: int, side: int) -> None:
    """Training anew keeps all pictures in memory; say so before it is full.

    Raises:
        RunError: they take more than is free.
    """
    need, free = pairs * side * side * 3, psutil.virtual_memory().available
    if need > free:
        raise RunError(
            f"Training anew keeps all pictures in memory: {pairs:,} of {side} x {side} pixels take "
            f"{need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. Close other programs, or choose a recipe "
            "that fine-tunes: it needs a few hundred pictures."
        )
