"""What the outliers have in common: labels and caption terms that the top-scored share too often.

A name that leads here is a *suspected* target label: a candidate for the trigger test, no more.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.detect.terms import (
    Term,
    benjamini_hochberg,
    over_represented,
    over_represented_names,
    terms_of,
)
from clipforensics.detect.thresholds import top_n

CUTS = (25, 50, 100, 200, 400, 800)
"""Rows from the top that are looked at; what hides at one cut may show at another."""
MAX_CUT_SHARE = 0.05
MAX_Q = 0.01
SHOWN = 8
EXAMPLES = 12


def suspected_labels(case: Case, rankings: dict[str, np.ndarray]) -> dict[str, Any]:
    """Labels and terms over-represented among the top of some rankings, most surprising first.

    Every label (term) is tested by the hypergeometric tail at every cut of every ranking, and all
    these tests are corrected together (Benjamini-Hochberg); a label keeps its most surprising one.

    Args:
        case: the case; its truth is never read.
        rankings: float [n] scores by detector name, NaN for bad pictures.

    Returns:
        `labels` and `terms`: records with `name`, `detector`, `top` (rows looked at), `flagged`,
        `captions` (how many hold the name at all), `lift`, `log10_p`, `q`, `cuts` (counts by cut
        in that detector's ranking) and `examples` (ids); `tests` (how many were made) and `max_q`.
        Labels of q above .01 are left out.
    """
    captions = case.pairs.captions
    named = [tuple(case.labels.named_in(caption)) for caption in captions]
    kept = {name: _different(score, captions) for name, score in rankings.items()}
    labels = _ranked(
        rankings, kept, lambda rows, flags: over_represented_names([named[r] for r in rows], flags)
    )
    terms = _ranked(
        rankings, kept, lambda rows, flags: over_represented([captions[r] for r in rows], flags)
    )
    tests = len(labels) + len(terms)
    return {
        "labels": _records(case, labels, rankings, lambda row, name: name in named[row]),
        "terms": _records(case, terms, rankings, lambda row, name: name in terms_of(captions[row])),
        "tests": tests,
        "max_q": MAX_Q,
    }


def _different(score: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Scored rows, those of equal score and caption once: copies must not vote twice."""
    rows = np.flatnonzero(np.isfinite(score))
    seen: dict[tuple[float, str], int] = {}
    for row in rows:
        seen.setdefault((float(score[row]), captions[row]), int(row))
    return np.fromiter(seen.values(), np.int64, len(seen))


def _ranked(rankings: dict[str, np.ndarray], kept: dict[str, np.ndarray], test: Any) -> list[Any]:
    """(detector, cut, Term) of every test made."""
    made: list[tuple[str, int, Term]] = []
    for detector, score in rankings.items():
        rows = kept[detector]
        for cut in CUTS:
            if cut > max(CUTS[0], MAX_CUT_SHARE * len(rows)) or cut >= len(rows):
                continue
            flags = np.zeros(len(rows), bool)
            flags[top_n(score[rows], cut)] = True
            made += [(detector, cut, term) for term in test(rows, flags)]
    return made


def _records(
    case: Case, made: list[tuple[str, int, Term]], rankings: dict[str, np.ndarray], holds: Any
) -> list[dict[str, Any]]:
    if not made:
        return []
    log_p = np.array([term.log10_p for _, _, term in made])
    q = benjamini_hochberg(log_p)
    best: dict[str, int] = {}
    for at in np.lexsort(([-term.lift for _, _, term in made], log_p)):
        if q[at] <= MAX_Q:
            best.setdefault(made[at][2].text, int(at))
    return [
        _record(case, made, at, float(q[at]), rankings, holds) for at in list(best.values())[:SHOWN]
    ]


def _record(
    case: Case,
    made: list[tuple[str, int, Term]],
    at: int,
    q: float,
    rankings: dict[str, np.ndarray],
    holds: Any,
) -> dict[str, Any]:
    detector, cut, term = made[at]
    order = top_n(np.nan_to_num(rankings[detector], nan=-np.inf), cut)
    examples = [case.pairs.ids[row] for row in order if holds(row, term.text)][:EXAMPLES]
    cuts = {
        str(n): one.flagged for name, n, one in made if (name, one.text) == (detector, term.text)
    }
    return {
        "name": term.text, "detector": detector, "top": cut, "flagged": term.flagged,
        "captions": term.captions, "lift": term.lift,
        "log10_p": max(term.log10_p, -1e4),  # a chance of 0 has no place in JSON
        "q": q, "cuts": cuts, "examples": examples,
    }  # fmt: skip
