"""What filter-then-retrain learns from: the case's pairs less those that score highest."""

from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.config.recipes import FilterSettings
from clipforensics.jobs.repairing.curating import names_per_row
from clipforensics.jobs.scanning.scan import scores

LABELS_SHOWN = 10


def filtered_rows(
    case: Case, rows: np.ndarray, settings: FilterSettings
) -> tuple[np.ndarray, dict[str, Any]]:
    """The rows the filter keeps, and what it dropped, for the journal and the page.

    Args:
        case: embedded.
        rows: int64 [m], rows that may be learned from; those without a score are left out.
        settings: share, detector, and whether it is the control.
    """
    from clipforensics.repair.bylabel import LabelCounter
    from clipforensics.repair.filter import drop_highest, dropped_by_label

    found = scores(case, settings.detector, settings.density, settings.reference).mean
    made = drop_highest(
        found,
        rows[np.isfinite(found[rows])],
        settings.drop_share,
        settings.at_random,
        settings.seed,
    )
    table = dropped_by_label(made, LabelCounter(names_per_row(case), case.labels.names))
    report = {
        "kept": len(made.kept), "dropped": len(made.dropped), "threshold": made.threshold,
        "by": "a random draw" if settings.at_random else settings.detector,
        "emptied": [line["label"] for line in table if line["share"] == 1],
        "worst_labels": table[:LABELS_SHOWN],
    }  # fmt: skip
    if case.truth is not None:
        bad = np.array([name in case.truth.poisoned for name in case.pairs.ids], bool)
        report["truth"] = {
            "poisoned": int(bad.sum()),
            "poisoned_kept": int(bad[made.kept].sum()),
        }
    return made.kept, {"filter": report}


def used_pairs(n: int, pairs: int, report: dict[str, Any]) -> list[dict[str, Any]]:
    """What a retraining learns from, for page and report."""
    made = report.get("filter")
    if made is None:
        return [{"kind": "all pairs", "pairs": n, "share_of_all_pairs": n / pairs}]
    return [
        {"kind": kind, "pairs": made[kind], "share_of_all_pairs": made[kind] / pairs,
         "check": f"by {made['by']}"}
        for kind in ("kept", "dropped")
    ]  # fmt: skip
