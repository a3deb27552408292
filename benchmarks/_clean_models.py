"""What would be flagged when nothing is wrong: a sound model and its own clean pairs, cut by every cut."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _attack_table import embedded
from _suspects import FIRST_SEED, PAIRS, Suspect, suspect

from clipforensics.config.detect import ReferenceSettings
from clipforensics.data.demo_world import DemoWorld
from clipforensics.detect.agreement import disagreement
from clipforensics.detect.clean import score_clean_scales
from clipforensics.detect.combined import Footings, combined
from clipforensics.detect.frequent import counted
from clipforensics.detect.scales import score_scales
from clipforensics.detect.thresholds import (
    count_flagged,
    cut_at_percentile,
    cut_from_clean,
    top_n,
)
from clipforensics.jobs.scanning.scoring import scale_settings

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
PERCENTILE, BUDGET = 99.0, 100
"""What the Map page offers first."""
FALSE_RATE, HELD_OUT = 0.01, 2000


def clean_rows(seeds: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One row per sound model: the default ranking's quantiles, and what each cut flags."""
    for seed in range(seeds):
        made = suspect(None, seed, folder)
        x, captions = embedded(made)
        score, _ = ranked(x, captions, seed)
        held = np.random.default_rng(seed).permutation(len(x))
        kept, out = np.sort(held[HELD_OUT:]), np.sort(held[:HELD_OUT])
        own, theirs = ranked(
            x[kept], captions[kept], seed, x[out], captions[out]
        )  # the held-out pairs, which the model has learned from, too
        fresh = embedded(_fresh(made, seed))
        yield {
            "model": f"sound, seed {seed}", "pairs": len(x), "ca": made.figures["ca"],
            **{f"q{share:g}": float(np.quantile(score, share)) for share in QUANTILES},
            f"percentile {PERCENTILE:g}": count_flagged(score, cut_at_percentile(score, PERCENTILE)),
            f"budget {BUDGET}": len(top_n(score, BUDGET)),
            f"held-out cut at {FALSE_RATE:.0%}": _flagged(own, theirs),
            f"fresh cut at {FALSE_RATE:.0%}": _flagged(score, ranked(x, captions, seed, *fresh)[1]),
        }  # fmt: skip


def ranked(
    x: np.ndarray,
    captions: np.ndarray,
    seed: int,
    clean: np.ndarray | None = None,
    their_captions: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The default ranking of pairs, as a case's, and of clean pairs that join no reference set."""
    reference = ReferenceSettings(seed=seed)
    copies, _ = counted(x, reference)
    scales = scale_settings(reference)
    apart, far = score_scales(x, scales, copies=copies).apart, disagreement(x, captions)
    on = Footings.of(apart, far)
    own = combined(apart, far, on)
    if clean is None or their_captions is None:
        return own, np.empty(0)
    away = score_clean_scales(x, clean, scales, copies=copies)
    return own, combined(away, disagreement(clean, their_captions), on)


def _flagged(own: np.ndarray, clean: np.ndarray) -> str:
    """What the cut that clean pairs give flags among pairs that are as clean, and what it promises."""
    cut = cut_from_clean(clean, FALSE_RATE)
    found = count_flagged(own, cut.cut)
    return f"{found} of {len(own):,} ({found / len(own):.2%}; {cut.expected(len(own))[0]:.0f} expected)"


def _fresh(made: Suspect, seed: int) -> Suspect:
    """The same model, and pairs of a world it has not seen."""
    world = DemoWorld(3 * FIRST_SEED + seed, min(HELD_OUT, PAIRS))
    return Suspect(made.encoder, world, None, made.figures)
