"""What the outliers have in common: labels and caption terms that the top-scored share too often.

A name that leads here is a *suspected* target label: a candidate for the trigger test, no more.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.detect.terms import (
    MAX_SHARE,
    Term,
    benjamini_hochberg,
    over_represented_names,
    terms_of,
)
from clipforensics.detect.thresholds import top_n

CUTS = (25, 50, 100, 200, 400, 800)
"""Rows from the top that are looked at; what hides at one cut may show at another."""
MAX_CUT_SHARE = 0.05
MAX_LABEL_SHARE = 0.5  # a label in more of the captions is not tested
MAX_Q = 0.01
SHOWN = 8
EXAMPLES = 12


def suspected_labels(case: Case, rankings: dict[str, np.ndarray]) -> dict[str, Any]:
    """Labels and terms over-represented among the top of some rankings, the greatest lift first.

    Every label (term) is tested by the hypergeometric tail at every cut of every ranking, and all
    these tests are corrected together (Benjamini-Hochberg). Those that pass are ranked by the lift
    that they have at least, each at the cut where that is greatest. Not by p: a label that is
    sparse by nature has a lift of 3 to 5 down to the 400th row, in models without any backdoor,
    and its p beats that of a target label with thirty poisons.

    Args:
        case: the case; its truth is never read.
        rankings: float [n] scores by detector name, NaN for bad pictures.

    Returns:
        `labels` and `terms`: records with `name`, `detector`, `top` (rows looked at), `flagged`,
        `captions` (how many hold the name at all), `lift`, `lift_low`, `log10_p`, `q`, `cuts`
        (counts by cut in that detector's ranking) and `examples` (ids); `tests` (how many were made) and `max_q`.
        Labels of q above .01 are left out.
    """
    captions = case.pairs.captions
    labelled = {one: tuple(case.labels.named_in(one)) for one in set(captions)}
    named = [labelled[one] for one in captions]
    held = {one: terms_of(one) for one in labelled}
    words = [held[one] for one in captions]
    labels, terms = [], []
    for detector, score in rankings.items():
        labels += _tested(detector, score, _different(score, captions), named, MAX_LABEL_SHARE)
        terms += _tested(detector, score, _one_each(score, captions), words, MAX_SHARE)
    q = benjamini_hochberg(np.array([term.log10_p for _, _, term in labels + terms]))
    return {
        "labels": _records(case, labels, q[: len(labels)], rankings, named),
        "terms": _records(case, terms, q[len(labels) :], rankings, words),
        "tests": len(q),
        "max_q": MAX_Q,
    }


def _different(score: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Scored rows, those of equal score and caption once: copies must not vote twice."""
    rows = np.flatnonzero(np.isfinite(score))
    seen: dict[tuple[float, str], int] = {}
    for row in rows:
        seen.setdefault((float(score[row]), captions[int(row)]), int(row))
    return np.fromiter(seen.values(), np.int64, len(seen))


def _one_each(score: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """For every different caption its highest-scored row: a template counts once."""
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    first: dict[str, int] = {}
    for row in order[: int(np.isfinite(score).sum())]:
        first.setdefault(captions[int(row)], int(row))
    return np.fromiter(first.values(), np.int64, len(first))


def _tested(
    detector: str,
    score: np.ndarray,
    rows: np.ndarray,
    names: Sequence[Collection[str]],
    max_share: float,
) -> list[tuple[str, int, Term]]:
    """(detector, cut, Term) of every test made."""
    made: list[tuple[str, int, Term]] = []
    for cut in CUTS:
        if cut > max(CUTS[0], MAX_CUT_SHARE * len(rows)) or cut >= len(rows):
            continue
        flags = np.zeros(len(rows), bool)
        flags[top_n(score[rows], cut)] = True
        found = over_represented_names([names[row] for row in rows], flags, max_share)
        made += [(detector, cut, term) for term in found]
    return made


def _records(
    case: Case,
    made: list[tuple[str, int, Term]],
    q: np.ndarray,
    rankings: dict[str, np.ndarray],
    names: Sequence[Collection[str]],
) -> list[dict[str, Any]]:
    if not made:
        return []
    low, log_p = np.array([(term.lift_low, term.log10_p) for _, _, term in made]).T
    best: dict[str, int] = {}
    for at in np.lexsort((log_p, -low)):
        if q[at] <= MAX_Q:
            best.setdefault(made[at][2].text, int(at))
    return [
        _record(case, made, at, float(q[at]), rankings, names) for at in list(best.values())[:SHOWN]
    ]


def _record(
    case: Case,
    made: list[tuple[str, int, Term]],
    at: int,
    q: float,
    rankings: dict[str, np.ndarray],
    names: Sequence[Collection[str]],
) -> dict[str, Any]:
    detector, cut, term = made[at]
    order = top_n(np.nan_to_num(rankings[detector], nan=-np.inf), cut)
    examples = [case.pairs.ids[row] for row in order if term.text in names[row]][:EXAMPLES]
    cuts = {
        str(n): one.flagged for name, n, one in made if (name, one.text) == (detector, term.text)
    }
    return {
        "name": term.text, "detector": detector, "top": cut, "flagged": term.flagged,
        "captions": term.captions, "lift": term.lift, "lift_low": term.lift_low,
        "log10_p": max(term.log10_p, -1e4),  # a chance of 0 has no place in JSON
        "q": q, "cuts": cuts, "examples": examples,
    }  # fmt: skip
