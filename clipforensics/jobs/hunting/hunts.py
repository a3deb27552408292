"""Finished hunts of a case: which there are, what they found, and what sets them apart from one made now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import REVISIONS, Listed, evidence_dir, latest, listed, reading
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError
from clipforensics.jobs.hunting.banking import read_bank
from clipforensics.oracle.bank import Trigger
from clipforensics.oracle.segmenter import fingerprint_of, preset_of

KIND, RESULT = "hunts", "result.json"
PASSED = "passed the screen"
"""What a region did that passed the first paste test; that test verifies nothing."""
CHOSEN = ("top", "detector", "fast")
"""Settings that whoever hunts chooses, and the page says beside the hunt."""
SILENT = {"screens": 3}
"""What a hunt rests on whose record does not say so."""


def rests_on() -> dict[str, int]:
    """Revisions of the evidence that a hunt made now would be made of; they stand in its key."""
    return {kind: REVISIONS[kind] for kind in SILENT if kind in REVISIONS}


def kept_hunts(case: Case) -> list[Listed]:
    """Hunts for this suspect, that asked for last first.

    Raises:
        CaseError: a record is damaged: it could be that of the newest.
    """
    found, damaged = listed(case, KIND, suspect=case.fingerprints["weights"])
    if damaged:
        latest(case, KIND)  # says what is wrong
    return found


def read_hunt(folder: Path) -> dict[str, Any]:
    """One hunt, as `triggers.hunt` returned it.

    Raises:
        CaseError: it was changed since, or is damaged.
    """
    with reading(folder):
        result = dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))
        if "statuses" in result:
            result["statuses"] = outcomes(result["statuses"])
        return {"undecided": [], "unjudged": [], "notes": []} | result  # older ones lack these


def latest_hunt(case: Case) -> dict[str, Any] | None:
    """Of this suspect's finished hunts the one asked for last, or None before the first.

    Raises:
        CaseError: it was changed since, or is damaged.
    """
    folder = _latest_folder(case)
    return None if folder is None else read_hunt(folder)


def trigger_bank(case: Case) -> list[Trigger]:
    """The newest hunt's triggers, verified and rejected, best first; empty before the first.

    Raises:
        CaseError: see `read_bank`.
    """
    folder = _latest_folder(case)
    return [] if folder is None else read_bank(folder)


def outdated(case: Case, hunt: Listed) -> str | None:
    """How a hunt differs from one made now, as the end of a sentence about it; None where it does not.

    Compared are the revisions of the search, which the folder's name and the record tell; the pairs, the
    labels, both models and the segmenter with the case's; and all settings that nobody chooses
    with today's. Nothing is loaded.
    """
    key = hunt.made["key"]
    old = evidence_dir(case, KIND, key).name != hunt.folder.name
    old = old or key.get("rests_on", SILENT) != rests_on()
    other = [what for differs, what in _inputs(case, key) if differs]
    said = []
    if old:
        said.append("by an earlier version of the search")
    if other:
        said.append(f"with {_joined(other)} than the case has now")
    if unlike := _other_settings(key.get("hunt")):
        said.append(f"with other settings than a hunt has now ({unlike})")
    return f"was made {' and '.join(said)}" if said else None


def newest_outdated(case: Case) -> str | None:
    """`outdated` of the newest hunt, which repairs and the Map use; None where there is no hunt."""
    found = kept_hunts(case)
    return outdated(case, found[0]) if found else None


def outcomes(statuses: Mapping[str, int]) -> dict[str, int]:
    """Outcomes of the screen; older results call those that passed it verified."""
    return {PASSED if one == "verified" else one: count for one, count in statuses.items()}


def _latest_folder(case: Case) -> Path | None:
    return latest(case, KIND, suspect=case.fingerprints["weights"])


def _inputs(case: Case, key: Mapping[str, Any]) -> list[tuple[bool, str]]:
    """Of each thing a hunt is made with whether it was another than the case's, and its name."""
    prints = case.fingerprints
    return [
        (key.get("data") != prints.get("data"), "other pairs"),
        (key.get("labels") != prints.get("labels"), "other labels"),
        (key.get("trusted") != prints.get("trusted_weights"), "another trusted model"),
        (key.get("segmenter") not in _segmenters(case), "another segmenter"),
    ]


def _segmenters(case: Case) -> list[str]:
    """Fingerprints of the case's segmenter, as it is and in the fast mode."""
    name, weights = case.settings.segmenter, case.fingerprints.get("segmenter_weights")
    if name is None or weights is None:
        return []
    return [fingerprint_of(name, preset_of(name, fast), weights) for fast in (False, True)]


def _other_settings(asked: Any) -> str:
    """Titles of the settings that are not today's; empty where all are."""
    today = HuntSettings()
    try:
        then = parse(HuntSettings, asked)
    except (ConfigError, TypeError, ValueError):  # no settings at all, or of another version
        return "unknown to this version"
    names = [name for name in HuntSettings.model_fields if name not in CHOSEN]
    return ", ".join(
        str(HuntSettings.model_fields[name].title).lower()
        for name in names
        if getattr(then, name) != getattr(today, name)
    )


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
