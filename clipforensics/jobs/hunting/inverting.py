"""Invert triggers in a case: suspected labels against control labels, on pairs of the case itself.

Each finished label and family is evidence of its own, so a stopped run goes on where it ended, and
control labels are inverted once however many labels are compared with them.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import (
    ask_again,
    evidence_dir,
    is_made,
    write_json,
    writing,
)
from clipforensics.config.inversion import FamilyName, InversionSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError
from clipforensics.jobs.hunting.inverter import Inverter, inverted, load_inverter, worn_examples
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.scan import is_embedded, latest_scan
from clipforensics.oracle.anomaly import Compared, by_chance, compared, control_labels, untested
from clipforensics.oracle.scorer import kin_warning

__all__ = ["invert_case", "load_inverter", "result_of", "run", "suspected", "worn_examples"]

Progress = Callable[..., None]
Stop = Callable[[], bool]
RESULT = "result.json"
NONE_FOUND = "none found for these labels and families"
NONE_TESTED = "none of these labels and families could be tested"


def run(context: RunContext) -> dict[str, Any]:
    """The job "invert"; its config is an InversionSettings."""
    settings = parse(InversionSettings, context.config)
    case = Case.open(context.case_dir)
    result = invert_case(case, settings, context.progress, context.should_stop)
    context.journal({"flagged": len(result["flagged"]), "seconds": result["seconds"]})
    return result


def invert_case(
    case: Case,
    settings: InversionSettings | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Invert each asked label and its controls, in each family, and compare.

    Args:
        case: with a trusted model; no segmenter is needed.
        settings: labels, families, search and limits.
        progress: told (step, total, message) in steps of Adam.
        stop: asked every ten steps; true ends with Stopped, and finished inversions are kept.

    Returns:
        `labels` asked, `families`, `rows` (one per label and family: size, unit, reached, success
        with interval and n, f_t, status, anomaly_index, rank, checks, flagged, recall, controls), `flagged`
        [{label, family}], `verdict` (a sentence), `untested` (families, in words), `chance` (`anomaly.by_chance`: of sizes as odd
        with nothing planted), `notes` on the models, `seconds`, `seconds_each`, `settings`.

    Raises:
        ConfigError: no label is asked and none suspected, one is unknown, or too few are left.
        CaseError, ModelError: see `load_inverter`. DataError: too few clean pictures.
    """
    settings = settings or InversionSettings()
    tell, halt = progress or _silent, stop or _never
    asked = settings.labels or suspected(case, settings.most_labels)
    if not asked:
        raise ConfigError(
            "No label to invert: none is named, and the latest scan suspects none. Scan the case, "
            "or name a label."
        )
    inverter = load_inverter(case, settings)
    controls = control_labels(asked, inverter.frequency, settings.controls, settings.seed)
    everyone = list(
        dict.fromkeys([*controls, *(one for some in controls.values() for one in some)])
    )
    began, made = time.perf_counter(), {}
    jobs: list[tuple[FamilyName, str]] = [
        (family, label) for family in settings.families for label in everyone
    ]
    for place, (family, label) in enumerate(jobs):
        say = _telling(
            tell, halt, place, len(jobs), settings.steps, f"inverting {label} by {family}"
        )
        say(0)
        made[family, label] = inverted(inverter, label, family, say)
    tell(len(jobs) * settings.steps, len(jobs) * settings.steps, "inverted")
    rows = [
        compared(
            made[family, label],
            [made[family, one] for one in controls[label]],
            settings,
            inverter.recall(label),
        )
        for label in controls
        for family in settings.families
    ]
    seconds = time.perf_counter() - began
    said = kin_warning(inverter.trusted.encoder, inverter.suspect.encoder)
    result = result_of(rows, settings, tuple(controls), seconds, len(jobs))
    return _kept(inverter, result | {"notes": [said] if said else []})


def suspected(case: Case, most: int) -> tuple[str, ...]:
    """Labels that the latest scan suspects, most surprising first; none before a scan."""
    if not is_embedded(case):
        return ()
    found = (latest_scan(case) or {}).get("suspects") or {"labels": []}
    known = set(case.labels.names)
    return tuple(one["name"] for one in found["labels"] if one["name"] in known)[:most]


def result_of(
    rows: Sequence[Compared],
    settings: InversionSettings,
    labels: tuple[str, ...],
    seconds: float,
    inversions: int,
) -> dict[str, Any]:
    """What is kept of a comparison; each row's evidence is named later."""
    flagged = [one.found for one in rows if one.flagged]
    named = ", ".join(f"{one.label} by {one.family}" for one in flagged)
    return {
        "labels": list(labels), "families": list(settings.families),
        "flagged": [{"label": one.label, "family": one.family} for one in flagged],
        "verdict": f"oddly small trigger: {named}" if flagged else _none_found(rows),
        "untested": untested(rows),
        "chance": by_chance(rows, settings),
        "rows": [
            asdict(one.found) | {
                "status": one.status, "anomaly_index": one.anomaly_index, "rank": one.rank,
                "checks": one.checks, "flagged": one.flagged,
                "recall": one.recall and asdict(one.recall),
                "controls": [asdict(other) for other in one.controls],
            }
            for one in rows
        ],
        "inversions": inversions, "seconds": round(seconds, 2),
        "seconds_each": round(seconds / max(1, inversions), 3),
        "settings": settings.model_dump(mode="json"),
    }  # fmt: skip


def _none_found(rows: Sequence[Compared]) -> str:
    """A verdict without a flag; it names what was not tested at all."""
    missed = untested(rows)
    if all(one.status != "compared" for one in rows):
        return f"{NONE_TESTED}: {missed}"
    return f"{NONE_FOUND}; could not be tested: {missed}" if missed else NONE_FOUND


def _kept(inverter: Inverter, result: dict[str, Any]) -> dict[str, Any]:
    """Name each row's evidence, and keep the comparison; a repeated one is read."""
    for row in result["rows"]:
        key = inverter.key(row["label"], row["family"])
        row["evidence"] = evidence_dir(inverter.case, "inversions", key).name
    key = {
        "suspect": inverter.suspect.encoder.fingerprint, "rows": [row["evidence"] for row in result["rows"]],
        "settings": result["settings"], "labels": result["labels"],
    }  # fmt: skip
    folder = evidence_dir(inverter.case, "inverted", key)
    if is_made(folder):
        ask_again(folder)
    else:
        with writing(folder, key) as part:
            write_json(part / RESULT, result)
    return result


def _telling(
    tell: Progress, halt: Stop, place: int, jobs: int, steps: int, message: str
) -> Callable[[int], None]:
    """Progress of one inversion within all of them; it also asks whether to stop."""

    def told(step: int) -> None:
        if halt():
            raise Stopped(f"Stopped after {place:,} of {jobs:,} inversions; they are kept.")
        tell(place * steps + step, jobs * steps, message)

    return told


def _silent(*_: Any, **__: Any) -> None:
    """Progress that nobody watches."""


def _never() -> bool:
    return False
