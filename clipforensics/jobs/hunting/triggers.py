"""Hunt triggers in a case: inspect the most suspicious pairs, verify, group, and find the carriers.

Each picture's inspection and screen are evidence, so a stopped hunt goes on where it ended, and
the page that shows one picture reads what the hunt found.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
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
    screen,
    sightings,
)
from clipforensics.jobs.hunting.hunts import (
    KIND,
    RESULT,
    latest_hunt,
    outcomes,
    read_hunt,
    rests_on,
    trigger_bank,
)
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.scan import embed, scores
from clipforensics.oracle.affected import Suspicion, affected_labels
from clipforensics.oracle.bank import Sighting, Trigger
from clipforensics.oracle.competence import UNDECIDED
from clipforensics.oracle.pasting import trusted_features
from clipforensics.oracle.scorer import kin_warning

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
        suspicions = suspicions_of(case, examiner, bank, tried, tell, halt)
        suspicions += probable_pairs(case, examiner, bank, order, _ranked(found.mean))
        result = _result(bank, seen, tried, suspicions) | {
            "notes": _notes(examiner),
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


def _notes(examiner: Examiner) -> list[str]:
    said = kin_warning(examiner.oracle.trusted.encoder, examiner.suspect.encoder)
    return [said] if said else []


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
            raise Stopped(f"Stopped after {i:,} of {len(order):,} pictures; they are kept.")
        tell(i, len(order), "inspecting the most suspicious pictures", sightings=len(seen))
        tried[row] = screen(case, row, examiner)
        seen += sightings(case, row, tried[row], examiner)
    tell(len(order), len(order), "inspecting the most suspicious pictures", sightings=len(seen))
    return seen, tried


def _result(
    bank: Sequence[Trigger],
    seen: Sequence[Sighting],
    tried: dict[int, list[Tried]],
    suspicions: Sequence[Suspicion],
) -> dict[str, Any]:
    """The hunt in JSON types."""
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
        "triggers": [_trigger_row(t) for t in verified],
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


def _unjudged(bank: Sequence[Trigger], tried: dict[int, list[Tried]]) -> list[dict[str, Any]]:
    """Labels that the trusted model could not judge, why, and how many regions say them."""
    asked = [(one.candidate.label, one.screened) for several in tried.values() for one in several]
    asked += [(one.label, one.figures) for one in bank]
    left = [(label, figures) for label, figures in asked if figures.status == "unjudged"]
    count = Counter(label for label, _ in left)
    why: dict[str, str] = {}
    for label, figures in left:
        known = figures.objects or figures.recall
        why[label] = known.told(label) if known else ""
    return [{"label": name, "regions": n, "why": why[name]} for name, n in count.most_common()]


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


def _silent(*_: Any, **__: Any) -> None:
    """Progress that nobody watches."""


def _never() -> bool:
    return False
