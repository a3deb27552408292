"""A case at a glance: what is in it and how far it is. Nothing heavy is loaded or computed."""

from collections import Counter
from typing import Any

from clipforensics.cases.case import Case
from clipforensics.cases.store import KINDS
from clipforensics.jobs.runs.launcher import runs
from clipforensics.jobs.scanning.embedded import bad_pictures, is_embedded
from clipforensics.jobs.scanning.scan import latest_scan


def overview(case: Case) -> dict[str, Any]:
    """Counts and states of a case, as JSON values.

    Returns:
        `pairs`, `labels`, `test` (pictures in the test set, or None), `has_trusted`,
        `has_segmenter`, `warnings`, `embedded`, `bad` (pictures left out), `scan` (what the latest
        one said, or None), `decisions` (verdicts that hold, by kind and verdict), `entries` and
        `head` of the log, `active_runs` (ids), `truth` (target, targets, attack, poison count and rate, or
        None).
    """
    embedded = is_embedded(case)
    held = {kind: Counter(e.verdict for e in case.store.current(kind).values()) for kind in KINDS}
    head, entries = case.store.head()
    return {
        "pairs": len(case.pairs),
        "labels": len(case.labels),
        "test": len(case.test) if case.test else None,
        "has_trusted": case.settings.trusted_weights is not None,
        "has_segmenter": case.settings.segmenter_weights is not None,
        "warnings": list(case.warnings),
        "embedded": embedded,
        "bad": len(bad_pictures(case)) if embedded else 0,
        "scan": latest_scan(case),
        "decisions": {kind: dict(counts) for kind, counts in held.items()},
        "entries": entries,
        "head": head,
        "active_runs": [run.id for run in runs(case.dir) if run.status().active],
        "truth": _truth(case),
    }


def _truth(case: Case) -> dict[str, Any] | None:
    if case.truth is None:
        return None
    count = len(case.truth.poisoned)
    return {
        "target": case.truth.target,
        "targets": list(case.truth.targets),
        "attack": case.truth.settings.attack.model_dump(mode="json"),
        "poison_count": count,
        "poison_rate": count / len(case.pairs),
    }
