"""Algorithm 2: which labels the triggers force, and which training pairs carry them.

A victim here is a poisoned training pair, never a person or a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from clipforensics.oracle.bank import SAME_COSINE, Trigger
from clipforensics.oracle.finding import Inspection

Kind = Literal["victim", "probable", "carrier"]
TOP_SHARE = 0.01


@dataclass(frozen=True)
class AffectedLabel:
    """A label that a verified trigger forces; sure flips first, then victims."""

    label: str
    flip_rate_low: float  # Wilson's lower end of its best trigger
    n: int  # pictures that this trigger was pasted on
    triggers: int
    victims: int


@dataclass(frozen=True)
class Suspicion:
    """Why a pair counts as poisoned."""

    pair: str
    label: str
    kind: Kind
    reasons: tuple[str, ...]  # of match, effect, disagreement
    match: float | None  # peak correlation with the trigger, where it was looked for
    trigger: int | None = None  # which of the verified ones, in the hunt's order; None: none was

    @property
    def strength(self) -> tuple[bool, float]:
        """A match tells more of which trigger it is than an effect, which two triggers may share."""
        return "match" in self.reasons, self.match or 0.0


def affected_labels(
    triggers: Sequence[Trigger], suspicions: Sequence[Suspicion]
) -> list[AffectedLabel]:
    """Labels with a verified trigger, best first."""
    found = []
    verified = [t for t in triggers if t.figures.status == "verified"]
    for label in dict.fromkeys(t.label for t in verified):
        own = [t for t in verified if t.label == label]
        victims = sum(s.label == label and s.kind == "victim" for s in suspicions)
        best = max(own, key=lambda t: t.figures.interval[0]).figures
        found.append(AffectedLabel(label, best.interval[0], best.n, len(own), victims))
    return sorted(found, key=lambda one: (-one.flip_rate_low, -one.victims, one.label))


def carriers(
    trigger: Trigger,
    ids: Sequence[str],
    named: Sequence[frozenset[str]],
    match: Float[np.ndarray, " n"] | None,
    floor: float | None,
    effects: Mapping[str, Float[np.ndarray, " d"]],
) -> list[Suspicion]:
    """Pairs that carry one verified trigger.

    Args:
        trigger: what is looked for.
        ids, named: of all pairs, with the labels each caption names.
        match: peak correlation per pair, NaN where the picture cannot be read.
        floor: correlation that counts; None when the pattern is too flat to be looked for.
        effects: signatures of the regions for which Algorithm 1 named this label, by pair id.

    Returns:
        `victim` where the caption names the trigger's label and the pattern matches or a region
        has its effect; `carrier` where it matches without the caption.
    """
    found = []
    for row, pair in enumerate(ids):
        peak = None if match is None or np.isnan(match[row]) else float(match[row])
        matches = floor is not None and peak is not None and peak > floor
        effect = pair in effects and float(effects[pair] @ trigger.signature) >= SAME_COSINE
        names_it = trigger.label in named[row]
        reasons = tuple(w for w, yes in (("match", matches), ("effect", effect)) if yes)
        if reasons and (names_it or matches):
            kind: Kind = "victim" if names_it else "carrier"
            found.append(Suspicion(pair, trigger.label, kind, reasons, peak))
    return found


def probable(
    pair: str,
    named: frozenset[str],
    inspection: Inspection,
    score_rank_share: float,
) -> Suspicion | None:
    """The weakest sign, for triggers that leave no region: caption and suspect agree against sight.

    The caption names what the suspect answers first, the oracle sees it nowhere, and the detection
    score is in the top 1 %. Listed only when no localised trigger was verified.
    """
    label = inspection.said[0][0]
    unseen = label in {name for name, _ in inspection.suspicious}
    if label in named and unseen and score_rank_share <= TOP_SHARE:
        return Suspicion(pair, label, "probable", ("disagreement",), None)
    return None
