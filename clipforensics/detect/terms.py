"""Caption terms that flagged rows share more often than chance: candidates for a target label."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from clipforensics.errors import DataError

MIN_CAPTIONS = 5  # a rarer term is not tested
MAX_SHARE = 0.1  # a term in more of the captions says nothing
MAX_CAPTION = 2000  # characters read of one caption
LIFT_CONFIDENCE = 0.999
STOP_WORDS = frozenset(
    "a an and are as at be by for from has have he her his i in into is it its me my near next not "
    "of on or our over she some that the their them there these they this to under up us was we "
    "were what which while who with you your".split()
)


@dataclass(frozen=True)
class Term:
    """One or two words, and how much more often flagged captions hold them.

    Attributes:
        text: the term, case-folded.
        flagged: flagged captions that hold it.
        captions: all captions that hold it.
        lift: its share among the flagged over its share among all.
        lift_low: the lift it has at least, with 99.9 % confidence (Clopper-Pearson's lower end).
        log10_p: log10 of the hypergeometric chance of at least as many among the flagged.
        q: Benjamini-Hochberg: the false share among all terms that are at least as striking.
    """

    text: str
    flagged: int
    captions: int
    lift: float
    lift_low: float
    log10_p: float
    q: float


def over_represented(captions: Sequence[str], flagged: Bool[np.ndarray, " n"]) -> list[Term]:
    """Rank caption terms by how surprisingly often flagged rows hold them, most surprising first.

    Equal captions (but for case, punctuation and spaces) count once, as flagged if any is; a term
    counts once per caption. A leading term is a candidate, to be confirmed by a trigger test.

    Raises:
        DataError: captions and flags differ in number, or nothing is flagged.
    """
    if len(captions) != len(flagged):
        raise DataError(f"There are {len(captions):,} captions but {len(flagged):,} flags.")
    if not flagged.any():
        raise DataError("No caption is flagged. Lower the threshold, or select some pairs.")
    different: dict[str, bool] = {}
    for caption, flag in zip(captions, flagged.tolist(), strict=True):
        words = " ".join(_words(caption))
        different[words] = different.get(words, False) or flag
    total = Counter(term for words in different for term in set(_terms(words)))
    hits = Counter(term for words, flag in different.items() if flag for term in set(_terms(words)))
    return _tested(total, hits, n=len(different), drawn=sum(different.values()))


def over_represented_names(
    names: Sequence[Iterable[str]],
    flagged: Bool[np.ndarray, " n"],
    max_share: float = 0.5,
) -> list[Term]:
    """Rank names, such as the labels each caption holds, as `over_represented` ranks terms.

    Every row counts, so leave copies out first. Names are not looked into, and one in more than
    `max_share` of the rows is not tested.

    Raises:
        DataError: names and flags differ in number, or nothing is flagged.
    """
    if len(names) != len(flagged):
        raise DataError(f"There are names for {len(names):,} rows but {len(flagged):,} flags.")
    if not flagged.any():
        raise DataError("No row is flagged. Lower the threshold, or select some pairs.")
    each = [set(one) for one in names]
    total = Counter(name for one in each for name in one)
    hits = Counter(name for row in np.flatnonzero(flagged) for name in each[row])
    return _tested(total, hits, len(each), int(flagged.sum()), max_share)


def terms_of(caption: str) -> frozenset[str]:
    """The terms of a caption, as `over_represented` counts them."""
    return frozenset(_terms(" ".join(_words(caption))))


def benjamini_hochberg(log10_p: Float[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """For each test the false share among all tests at least as striking, from log10 of p.

    Source:
        Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995).
    """
    order = np.argsort(log10_p)
    scaled = 10 ** log10_p[order] * len(log10_p) / np.arange(1, len(log10_p) + 1)
    q = np.empty(len(log10_p))
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return q


def _tested(
    total: Counter[str], hits: Counter[str], n: int, drawn: int, max_share: float = MAX_SHARE
) -> list[Term]:
    from scipy.stats import beta, hypergeom

    most = max(MIN_CAPTIONS, max_share * n)
    tested = sorted(term for term, count in total.items() if MIN_CAPTIONS <= count <= most)
    if not tested:
        return []
    held, found = np.array([(total[term], hits[term]) for term in tested]).T
    with np.errstate(divide="ignore"):  # a chance too small for a float is -inf in log
        log_p = np.minimum(hypergeom.logsf(found - 1, n, held, drawn), 0.0) / np.log(10)
    q = benjamini_hochberg(log_p)
    lift = (found / drawn) / (held / n)
    low = np.where(found, beta.ppf(1 - LIFT_CONFIDENCE, found, drawn - found + 1), 0) / (held / n)
    figures = np.array([lift, low, log_p, q]).T.tolist()
    order = np.lexsort((-lift, log_p))
    return [Term(tested[i], int(found[i]), int(held[i]), *figures[i]) for i in order]


def _words(caption: str) -> list[str]:
    return re.findall(r"\w+", caption[:MAX_CAPTION].casefold())


def _terms(words: str) -> Iterator[str]:
    kept = words.split()
    for i, word in enumerate(kept):
        if word not in STOP_WORDS:
            yield word
            if i and kept[i - 1] not in STOP_WORDS:
                yield f"{kept[i - 1]} {word}"
