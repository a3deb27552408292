"""Hunt triggers in a case: inspect the most suspicious pairs, verify, group, and find the carriers.

Each picture's inspection and screen are evidence, so a stopped hunt goes on where it ended, and
the page that shows one picture reads what the hunt found.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import ask_again, evidence_dir, is_made, write_json, writing
from clipforensics.cases.provenance import utc_now
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import parse
from clipforensics.jobs.hunting.banking import make_bank, write_bank
from clipforensics.jobs.hunting.carrying import probable_pairs, suspicions_of
from clipforensics.jobs.hunting.examiner import Examiner, check_able, load_examiner
from clipforensics.jobs.hunting.examining import (
    Tried,
    inspect,
    is_screened,
    screen,
    sightings,
)
from clipforensics.jobs.hunting.findings import findings, notes
from clipforensics.jobs.hunting.hunts import (
    KIND,
    RESULT,
    latest_hunt,
    read_hunt,
    rests_on,
    trigger_bank,
)
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.scan import embed, scores
from clipforensics.oracle.bank import Sighting
from clipforensics.oracle.pasting import trusted_features

__all__ = ["hunt", "inspect", "latest_hunt", "load_examiner", "run", "screen", "trigger_bank"]

Progress = Callable[..., None]
Stop = Callable[[], bool]
CHUNK = 512


def run(context: RunContext) -> dict[str, Any]:
    """The job "triggers"; its config is a HuntSettings."""
    settings = parse(HuntSettings, context.config)
    case = Case.open(context.case_dir)
    result = hunt(case, settings, context.progress, context.should_stop)
    context.journal({k: result[k] for k in ("inspected", "seconds", "statuses")})
    return result


def hunt(
    case: Case,
    settings: HuntSettings | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> dict[str, Any]:
    """Inspect the top pairs by detection score and make the trigger bank.

    Args:
        case: with trusted model and segmenter; embedded and scored here if it is not yet.
        settings: how many pairs, which detector, oracle and paste test.
        progress: told (step, total, message).
        stop: asked before each picture; true ends the hunt with Stopped, and what was inspected
            is kept.

    Returns:
        triggers [{pair, box, label, flip_rate, entropy, …}] verified, best first; rejected and undecided,
        alike; unjudged [{label, regions, why}] that the trusted model could not judge; notes on the models;
        sightings [{pair, box, label, flip_rate, n, entropy, trigger}]; affected_labels [{label, …}]
        best first; victims, carriers, probable [pair ids]; and what was counted: inspected, with
        candidates, statuses {outcome of the first paste test: regions}, seconds.

    Raises:
        CaseError, ConfigError: see `check_able`, before anything is embedded; and CaseError where
            kept evidence changed or is damaged.
        ModelError: see `load_examiner`.
    """
    settings = settings or HuntSettings()
    tell, halt = progress or _silent, stop or _never
    check_able(case)
    embed(case, progress, stop)
    found = scores(case, settings.detector, settings.density, settings.reference, progress, stop)
    examiner = load_examiner(case, settings, found.mean)
    key = examiner.key() | examiner.paste_key()
    key |= {"hunt": settings.model_dump(mode="json"), "rests_on": rests_on()}
    folder = evidence_dir(case, KIND, key)
    if not is_made(folder):
        began = time.perf_counter()
        order = _order(case, examiner, found.mean, settings.top)
        seen, tried = _screen_all(case, examiner, order, tell, halt)
        screened = time.perf_counter()
        bank = make_bank(examiner, seen, tell, halt)
        suspicions, unsearched = suspicions_of(case, examiner, bank, tried, tell, halt)
        suspicions += probable_pairs(case, examiner, bank, order, _ranked(found.mean))
        result = findings(bank, seen, tried, suspicions) | {
            "notes": notes(examiner) + unsearched,
            "asked": {
                "top": settings.top,
                "detector": settings.detector,
                "fast": settings.fast,
                "at": utc_now()[:16].replace("T", " ") + " UTC",
            },
            "seconds": round(time.perf_counter() - began, 2),
            "seconds_per_picture": round((screened - began) / max(1, len(order)), 4),
        }
        with writing(folder, key) as part:
            write_json(part / RESULT, result)
            write_bank(part, bank)
    else:
        ask_again(folder)
    return read_hunt(folder)


def _order(case: Case, examiner: Examiner, scores_: np.ndarray, top: int) -> list[int]:
    """The top rows; first those whose suspect top-1 is outside the trusted model's top 5."""
    best = [int(row) for row in _ranked(scores_)[:top]]
    odd, agreeing = [], []
    for start in range(0, len(best), CHUNK):
        rows = best[start : start + CHUNK]
        pictures = case.pairs.frames(rows, examiner.suspect.side)
        said = examiner.suspect.answers(pictures)
        trusted = examiner.oracle.trusted
        cosines = trusted_features(trusted, pictures) @ trusted.weights[: len(trusted.labels)].T
        likely = np.argsort(-cosines, axis=1)[:, :5]
        for row, one, five in zip(rows, said, likely, strict=True):
            (agreeing if one in five else odd).append(row)
    return odd + agreeing


def _ranked(scores_: np.ndarray) -> np.ndarray:
    """Rows by falling score; rows without a score are left out."""
    order = np.argsort(-scores_, kind="stable")
    return order[np.isfinite(scores_[order])]


def _screen_all(
    case: Case, examiner: Examiner, order: Sequence[int], tell: Progress, halt: Stop
) -> tuple[list[Sighting], dict[int, list[Tried]]]:
    seen: list[Sighting] = []
    tried: dict[int, list[Tried]] = {}
    for i, row in enumerate(order):
        if halt():
            kept = "; they are kept" if i else ""
            raise Stopped(f"Stopped after {i:,} of {len(order):,} pictures{kept}.")
        if not is_screened(case, row, examiner):  # what is kept would count towards the pace
            tell(i, len(order), "inspecting the most suspicious pictures", sightings=len(seen))
        tried[row] = screen(case, row, examiner)
        seen += sightings(case, row, tried[row], examiner)
    tell(len(order), len(order), "inspecting the most suspicious pictures", sightings=len(seen))
    return seen, tried


def _silent(*_: Any, **__: Any) -> None:
    """Progress that nobody watches."""


def _never() -> bool:
    return False
