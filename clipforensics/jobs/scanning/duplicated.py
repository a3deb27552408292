"""Pairs that repeat: nearly the same pictures, and captions that occur more than once."""

from collections import Counter
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.detect.embeddings import find_copies
from clipforensics.detect.groups import (
    LEAST_COSINE,
    caption_groups,
    near_copies,
    picture_groups,
)
from clipforensics.detect.thresholds import cut_at_percentile, percentile_ranks
from clipforensics.errors import DataError

SHOWN, EXAMPLES = 50, 12  # groups of each kind, and pairs of a group
TOP = 0.01  # of the ranking, where a group's pairs are counted
LONGEST = 300  # characters of a caption


def duplicates(
    case: Case, rows: np.ndarray, x: np.ndarray, near: np.ndarray, score: np.ndarray
) -> dict[str, Any]:
    """Groups of nearly the same pictures, and captions that repeat.

    Args:
        case: the case.
        rows: rows that have an embedding.
        x: their embeddings; zero rows have no direction, and no groups are then looked for.
        near: their whole-set neighbours, as rows of x.
        score: float [n] of every pair, NaN for those without one.

    Returns:
        `least_cosine`, `groups` and `rows` (how many there are, exact copies in a larger group not
        counted again), `shown` (records of the first: `rows`, `captions`, `caption`, `labels`,
        `striking`, `examples`, and how they score), `repeated_captions` (how many occur more than once,
        but for case, punctuation and spaces), `repeated_pairs` (pairs that have one of these),
        `most_repeated` (how often the first one occurs), `captions_shown` (records of the most
        frequent: `pairs`, `caption` in its most frequent wording, `wordings`, `examples`, and how
        they score) and `top_share`. How a group scores: `scored`, `middle_rank` (of its middle pair,
        the share of all scored pairs that score lower, in (0, 1); None where none is scored)
        and `in_top` (pairs among the `top_share` of all).
    """
    captions, places = case.pairs.captions, _Places(score)
    repeated = caption_groups(captions)
    record: dict[str, Any] = {
        "least_cosine": LEAST_COSINE, "groups": 0, "rows": 0, "shown": [],
        "repeated_captions": len(repeated), "repeated_pairs": sum(map(len, repeated)),
        "most_repeated": len(repeated[0]) if repeated else 0,
        "captions_shown": [_said(case, own, places) for own in repeated[:SHOWN]],
        "top_share": TOP,
    }  # fmt: skip
    try:
        exact = find_copies(x, normalize=True)
        alike = near_copies(x, near, exact=exact)
    except DataError:
        return record
    own = [captions[row] for row in rows]
    groups = picture_groups(alike, own, case.labels.named_in, exact)
    shown = [
        {
            "rows": len(one.rows), "captions": one.captions, "caption": one.caption[:LONGEST],
            "labels": one.labels, "striking": one.striking,
            "examples": [case.pairs.ids[rows[at]] for at in one.rows[:EXAMPLES]],
            **places.of(rows[one.rows]),
        }
        for one in groups[:SHOWN]
    ]  # fmt: skip
    sizes = [len(one) for one in alike.groups()]
    return record | {"groups": len(sizes), "rows": sum(sizes), "shown": shown}


def _said(case: Case, rows: np.ndarray, places: "_Places") -> dict[str, Any]:
    """What is told of one caption that repeats."""
    wordings = Counter(case.pairs.captions[int(row)] for row in rows)
    ((caption, _),) = wordings.most_common(1)
    return {
        "pairs": len(rows), "caption": caption[:LONGEST], "wordings": len(wordings),
        "examples": [case.pairs.ids[row] for row in rows[:EXAMPLES]], **places.of(rows),
    }  # fmt: skip


class _Places:
    """Where rows stand in a ranking."""

    def __init__(self, score: np.ndarray) -> None:
        scored = np.isfinite(score)
        self.rank = np.full(len(score), np.nan)
        self.top = np.zeros(len(score), bool)
        if scored.any():
            self.rank[scored] = percentile_ranks(score[scored]) / 100
            cut = cut_at_percentile(score[scored], 100 * (1 - TOP))
            self.top[scored] = score[scored] >= cut

    def of(self, rows: np.ndarray) -> dict[str, Any]:
        rank = self.rank[rows]
        rank = rank[np.isfinite(rank)]
        middle = float(np.median(rank)) if len(rank) else None
        return {
            "scored": len(rank), "middle_rank": middle, "in_top": int(self.top[rows].sum()),
        }  # fmt: skip
