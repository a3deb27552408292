"""Finished inversions of a case: which there are, what they found, and how long a search took."""

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import Listed, latest, listed, reading
from clipforensics.config.inversion import FamilyName, InversionSettings
from clipforensics.config.settings import parse
from clipforensics.jobs.hunting.inverting import RESULT, result_of
from clipforensics.oracle.anomaly import Inverted, compared
from clipforensics.oracle.competence import Recall

PACED = 200
"""Searches whose seconds are looked at, the newest."""


def kept_inversions(case: Case) -> tuple[list[Listed], int]:
    """Comparisons for this suspect, that asked for last first; and how many records are damaged."""
    found, damaged = listed(case, "inverted", suspect=case.fingerprints["weights"])
    return found, len(damaged)


def read_inversion(folder: Path) -> dict[str, Any]:
    """One comparison, as `inverting.invert_case` returned it.

    One of an older version, which counted controls that were not reached with the largest change
    tried, is compared anew from its kept figures; `anew` is true then.

    Raises:
        CaseError: it was changed since, or is damaged.
    """
    with reading(folder):
        result = dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))
        if all("status" in row for row in result["rows"]):
            return result
        return _compared_anew(result)


def latest_inversion(case: Case) -> dict[str, Any] | None:
    """The comparison for this suspect that was asked for last, or None before the first.

    Raises:
        CaseError: it was changed since, or is damaged.
    """
    newest = latest(case, "inverted", suspect=case.fingerprints["weights"])
    return None if newest is None else read_inversion(newest)


def seconds_of_search(
    case: Case, families: Sequence[FamilyName], settings: InversionSettings
) -> float | None:
    """What one search of these families takes, by earlier ones of this suspect; None without any.

    The middle pace of each family, or of all where it was never searched; a pace is seconds by
    steps and pictures a step, since forward and backward passes are nearly all.
    """
    found, _ = listed(case, "inversions", suspect=case.fingerprints["weights"])
    paces: dict[str, list[float]] = {}
    for one in found[:PACED]:
        key = one.made["key"]
        try:
            work = int(key["settings"]["steps"]) * int(key["settings"]["batch"])
            pace = float(one.made["seconds"]) / work
        except (LookupError, TypeError, ValueError, ArithmeticError):  # of another version
            continue
        if np.isfinite(pace) and pace > 0:
            paces.setdefault(str(key.get("family")), []).append(pace)
    known = [pace for some in paces.values() for pace in some]
    if not known:
        return None
    each = [float(np.median(paces.get(family, known))) for family in families]
    return float(np.mean(each)) * settings.steps * settings.batch


def _compared_anew(result: dict[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in result["settings"].items() if k in InversionSettings.model_fields}
    settings = parse(InversionSettings, known)
    rows = [
        compared(_figures(row), [_figures(one) for one in row["controls"]], settings, _recall(row))
        for row in result["rows"]
    ]
    seconds, inversions = float(result["seconds"]), int(result["inversions"])
    anew = result_of(rows, settings, tuple(result["labels"]), seconds, inversions)
    for new, old in zip(anew["rows"], result["rows"], strict=True):
        new["evidence"] = old["evidence"]
    return result | anew | {"seconds_each": result["seconds_each"], "anew": True}


def _recall(row: dict[str, Any]) -> Recall | None:
    return Recall(**row["recall"]) if row.get("recall") else None


def _figures(row: dict[str, Any]) -> Inverted:
    figures: dict[str, Any] = {one.name: row[one.name] for one in fields(Inverted)}
    return Inverted(**{**figures, "interval": tuple(row["interval"])})
