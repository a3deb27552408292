"""What a repair will cost, before it starts: in plain CLIP epochs over the case, and in seconds."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.config.recipes import (
    CleanClipSettings,
    EftClipSettings,
    EpochsSettings,
    FilterSettings,
    FineTuneSettings,
    SafeClipSettings,
)
from clipforensics.config.repair import RepairSettings, recipe_settings
from clipforensics.errors import DataError
from clipforensics.jobs.repairing.measuring import FOUND_SHOWN

FORWARD, VIEW, UNIMODAL = 0.25, 0.11, 1.31
"""Of a CLIP step over the same pair: a forward pass, one augmented view, and L_uni, whose first view
needs no gradient (measured on one thread with the demo's model at 64 pixels)."""
GUESSED_FIRST_SHARE = 0.3
PROBE_PAIRS = 512


@dataclass(frozen=True)
class Estimate:
    """`epochs` of plain CLIP training over all pairs, evaluations included; `steps` of the run, and in
    how many `rounds` it is measured."""

    steps: int
    epochs: float
    rounds: int


def estimate(
    repair: RepairSettings, pairs: int, tests: int, triggers: int, held_out: int = 0
) -> Estimate:
    """Count a run's work without starting it.

    Args:
        repair: recipe, preset and changes.
        pairs: of the case.
        tests: test pictures at hand.
        triggers: verified ones; the first three, and a planted one, are stamped and measured.
        held_out: pairs that a retraining does not learn from, see `measuring.most_held_out`.

    Raises:
        ConfigError: the settings contradict each other.
    """
    settings = recipe_settings(repair)
    steps, work = (
        _tuning(settings)
        if isinstance(settings, FineTuneSettings)
        else _retraining(settings, pairs - held_out)
    )
    measured = min(tests, repair.test_pictures) * (2 + min(triggers, FOUND_SHOWN))
    rounds = -(-steps // settings.evaluate_every)  # every so many steps, and at the end
    return Estimate(steps, (work + FORWARD * measured * (1 + rounds)) / pairs, rounds)


def seconds_of_plain_epoch(runs: Sequence[Any]) -> float | None:
    """The middle figure that earlier runs of this case timed; None where none did."""
    found = [(run.result() or {}).get("plain_epoch_seconds") for run in runs]
    known = [seconds for seconds in found if seconds]
    return float(np.median(known)) if known else None


def time_plain_epoch(case: Case, device: str = "auto") -> float:
    """Seconds of a plain CLIP epoch over all pairs, from a few real steps on a copy of the suspect.

    Raises:
        DataError: no picture can be read.
    """
    import torch

    from clipforensics.config.train import OptimizerSettings
    from clipforensics.train.pace import plain_epoch_seconds
    from clipforensics.train.recipe import TrainingData

    suspect = case.suspect(device)
    frames, captions = [], []
    for row in range(min(PROBE_PAIRS, len(case.pairs))):
        with suppress(DataError):  # a run leaves unreadable pictures out, too
            frames.append(case.pairs.picture(row, suspect.side))
            captions.append(case.pairs.captions[row])
    if not frames:
        raise DataError(f"None of the first {PROBE_PAIRS:,} pictures can be read. Restore some.")
    data = TrainingData(torch.from_numpy(np.stack(frames)), suspect.tokenize(captions))
    return plain_epoch_seconds(suspect, data, OptimizerSettings(), len(case.pairs))


def _tuning(s: FineTuneSettings) -> tuple[int, float]:
    """Steps, and work in CLIP steps of one pair."""
    each = 1.0
    if isinstance(s, CleanClipSettings):
        each = 2 + VIEW  # both views go through both towers
    anchors = FORWARD * s.pairs if isinstance(s, EftClipSettings) else 0.0
    return s.steps, s.steps * s.batch * each + anchors


def _retraining(s: SafeClipSettings | EpochsSettings, pairs: int) -> tuple[int, float]:
    if isinstance(s, FilterSettings):
        kept = round(pairs * (1 - s.drop_share))
        return s.epochs * (kept // s.batch), s.epochs * kept
    if isinstance(s, EpochsSettings):
        return s.epochs * (pairs // s.batch), s.epochs * pairs * (1 + VIEW)
    return _safeclip(s, pairs)


def _safeclip(s: SafeClipSettings, pairs: int) -> tuple[int, float]:
    from clipforensics.repair.split import size_at

    fresh = s.start == "random"
    before, slow = (s.unimodal_epochs, len(s.slow_rates)) if fresh else (0, 0)
    first = int((s.first_share or GUESSED_FIRST_SHARE) * pairs)
    safe = [size_at(e, first, pairs, s.growth, s.cap) for e in range(s.main_epochs)]
    views = 2 if s.both_views else 1
    work = pairs * (before * (UNIMODAL + 2 * VIEW) + slow * views * (1 + VIEW))
    for size in safe:
        risky = (pairs - size) * (UNIMODAL + 2 * VIEW)
        work += FORWARD * pairs + risky + size * views * (1 + VIEW)
    steps = (before + slow) * (pairs // s.batch)
    return steps + sum(n // s.batch + (pairs - n) // s.batch for n in safe), work
