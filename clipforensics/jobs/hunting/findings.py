"""What a hunt found, in JSON types, and what must be said beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from clipforensics.attacks.manifest import Manifest
from clipforensics.jobs.hunting.examiner import Examiner, wanted_clean
from clipforensics.jobs.hunting.examining import Tried
from clipforensics.jobs.hunting.hunts import outcomes
from clipforensics.oracle.affected import Suspicion, affected_labels
from clipforensics.oracle.bank import Sighting, Trigger
from clipforensics.oracle.competence import UNDECIDED
from clipforensics.oracle.scorer import kin_warning
from clipforensics.oracle.verify import Verification


def findings(
    bank: Sequence[Trigger],
    seen: Sequence[Sighting],
    tried: dict[int, list[Tried]],
    suspicions: Sequence[Suspicion],
) -> dict[str, Any]:
    """What a hunt found, in JSON types; see `triggers.hunt`.

    Args:
        bank: its clusters, best first.
        seen: regions that passed the first paste test.
        tried: per inspected row all that were pasted.
        suspicions: of pairs.
    """
    verified = [t for t in bank if t.figures.status == "verified"]
    undecided = [t for t in bank if t.figures.status in UNDECIDED]
    rejected = [t for t in bank if t.figures.status not in ("verified", *UNDECIDED)]
    number = {(pair, t.label): i for i, t in reversed(list(enumerate(bank))) for pair in t.pairs}
    of_kind = {
        kind: [s.pair for s in suspicions if s.kind == kind]
        for kind in ("victim", "carrier", "probable")
    }
    statuses = Counter(one.screened.status for several in tried.values() for one in several)
    return {
        "triggers": [
            _trigger_row(t) | {"victims": sum(s.trigger == i and s.kind == "victim" for s in suspicions)}
            for i, t in enumerate(verified)
        ],
        "rejected": [_trigger_row(t) for t in rejected],
        "undecided": [_trigger_row(t) for t in undecided],
        "unjudged": _unjudged(bank, tried),
        "sightings": [
            {
                "pair": s.pair, "box": list(s.box_xyxy), "label": s.label,
                "flip_rate": s.screened.flip_rate, "n": s.screened.n,
                "entropy": s.screened.entropy, "trigger": (found := number.get((s.pair, s.label))),
                "verified": found is not None and bank[found].figures.status == "verified",
            }
            for s in seen
        ],
        "affected_labels": [asdict(one) for one in affected_labels(bank, suspicions)],
        "victims": list(dict.fromkeys(of_kind["victim"])),
        "carriers": list(dict.fromkeys(of_kind["carrier"])),
        "probable": list(dict.fromkeys(of_kind["probable"])),
        "suspicions": [asdict(s) for s in suspicions],
        "inspected": len(tried),
        "with_candidates": sum(bool(several) for several in tried.values()),
        "statuses": outcomes(statuses),
    }  # fmt: skip


def against_truth(found: Mapping[str, Any], truth: Manifest | None) -> dict[str, Any] | None:
    """The victims that a hunt names held against the ground truth, which no hunt reads.

    Returns:
        victims, poisoned, right: counts; precision, None where no victim is named; recall. None
        without a truth, or where it knows no poison.
    """
    if truth is None or not truth.poisoned:
        return None
    victims = set(found["victims"])
    right = len(victims & truth.poisoned)
    return {
        "victims": len(victims), "poisoned": len(truth.poisoned), "right": right,
        "precision": right / len(victims) if victims else None,
        "recall": right / len(truth.poisoned),
    }  # fmt: skip


def _unjudged(bank: Sequence[Trigger], tried: dict[int, list[Tried]]) -> list[dict[str, Any]]:
    """Labels of which nothing could be judged, why, and how many regions say them."""
    asked = [(one.candidate.label, one.screened) for several in tried.values() for one in several]
    asked += [(one.label, one.figures) for one in bank]
    left = [(label, figures) for label, figures in asked if figures.status in UNDECIDED]
    count = Counter(label for label, _ in left)
    why = {label: _why_open(label, figures) for label, figures in left}
    return [{"label": name, "regions": n, "why": why[name]} for name, n in count.most_common()]


def _why_open(label: str, figures: Verification) -> str:
    """Why a paste test decided nothing, and what would help."""
    if figures.status == "untested":
        return (
            f"only {figures.n:,} clean pictures that show something else were left to paste it on; "
            "add pairs of other labels"
        )
    known = figures.objects or figures.recall
    return f"{known.told(label)}; take a better trusted model" if known else ""


def _trigger_row(trigger: Trigger) -> dict[str, Any]:
    figures = trigger.figures
    return {
        "pair": trigger.pair, "box": list(trigger.box_xyxy), "label": trigger.label,
        "flip_rate": figures.flip_rate, "entropy": figures.entropy, "n": figures.n,
        "interval": list(figures.interval), "flips": figures.flips,
        "flip_rate_trusted": figures.flip_rate_trusted, "p_value": figures.p_value,
        "controls": figures.controls, "controls_as_good": figures.controls_as_good,
        "control_pictures": figures.control_pictures,
        "objects": figures.objects and asdict(figures.objects),
        "recall": figures.recall and asdict(figures.recall),
        "p_trusted": figures.p_trusted, "area_share": figures.area_share,
        "labels_tested": figures.labels_tested,
        "labels_flipped": figures.labels_flipped, "status": figures.status,
        "large": figures.large, "consensus": trigger.consensus, "pairs": list(trigger.pairs),
    }  # fmt: skip


def notes(examiner: Examiner) -> list[str]:
    """What must be known of the models and pictures before any figure is believed."""
    said = [kin_warning(examiner.oracle.trusted.encoder, examiner.suspect.encoder)]
    wanted = wanted_clean(examiner.settings)
    if len(examiner.clean) < wanted:
        said.append(
            f"Triggers were tried on {len(examiner.clean):,} clean pictures, fewer than the {wanted:,} "
            "with which screen, confirmation and controls have pictures of their own: n and p say "
            "less than they seem to. Add pairs."
        )
    return [one for one in said if one]
