"""A case with its two models, its segmenter and its clean pictures, ready to look at pairs."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.config.oracle import SEGMENTER_PRESETS, HuntSettings
from clipforensics.data.labels import refuse_single
from clipforensics.jobs.hunting.clean_pictures import (
    Naming,
    clean_pictures,
    label_recall,
    readable,
    rows_naming,
    shuffled,
)
from clipforensics.jobs.hunting.masking import KeptMasks
from clipforensics.oracle.competence import Recall
from clipforensics.oracle.objects import RealObject, working_objects
from clipforensics.oracle.pasting import CleanSet
from clipforensics.oracle.scorer import Judge, Oracle, make_oracle, suspect_judge

SIGNATURE_PICTURES = 40
CLEAN_SPARE = 120
MOST_TRIED = 3
"""Pictures of a label that are looked at for each real object wanted: of many, none works."""


@dataclass(frozen=True)
class Examiner:
    """A case with its two models, its segmenter and its clean pictures, loaded once."""

    case: Case
    settings: HuntSettings
    suspect: Judge
    oracle: Oracle
    clean_rows: tuple[int, ...]
    low: np.ndarray  # int64: rows of the lower half by score, in the order they are taken
    rest: np.ndarray  # int64: all others, likewise

    @cached_property
    def clean(self) -> CleanSet:
        """Pictures to paste on: pairs of the case itself with a low detection score."""
        return clean_pictures(self.case, self.clean_rows, self.suspect, self.oracle.trusted)

    def recall(self, label: str) -> Recall:
        """How well the trusted model knows a label on pictures that name it; asked once."""
        if label not in self._recalls:
            low, rest = self._naming.alone[label], self._naming_rest.alone[label]
            trusted = self.oracle.trusted
            self._recalls[label] = label_recall(self.case, low, rest, label, self.clean, trusted)
        return self._recalls[label]

    def knows(self, label: str) -> bool:
        """Whether its recall is not surely too low."""
        return not self.recall(label).too_low(self.settings.verify)

    def objects(self, label: str, heard: Callable[[], None]) -> list[RealObject]:
        """Real objects of a label that turn the suspect when pasted, looked for once.

        In the lower half by score alone: above it lies the label's poison, which would make the
        trusted model look as if it did not know the label. (Of a patch drawn anew for each picture,
        poisons are not told from real objects by their pattern; with those of the upper half 15 of
        20 had been known, and the trigger was left unjudged.)

        Args:
            label: what they are.
            heard: called before each picture; whoever has waited enough raises in it.
        """
        if label not in self._objects:
            asked, oracle = self.settings, self.oracle
            own = [*self._naming.alone[label], *self._naming.among[label]]
            shown = readable(self.case, own, self.suspect.side)

            def tried() -> Iterator[np.ndarray]:
                for picture, _ in islice(shown, MOST_TRIED * asked.verify.objects):
                    heard()
                    yield picture

            self._objects[label] = working_objects(
                tried(), label, oracle.segmenter, self.clean, self.suspect, oracle.trusted,
                asked.verify, asked.oracle.refeed,
            )  # fmt: skip
        return self._objects[label]

    @cached_property
    def _naming(self) -> Naming:
        return rows_naming(self.case, self.low)

    @cached_property
    def _naming_rest(self) -> Naming:
        return rows_naming(self.case, self.rest)

    @cached_property
    def _objects(self) -> dict[str, list[RealObject]]:
        return {}

    @cached_property
    def _recalls(self) -> dict[str, Recall]:
        return {}

    @cached_property
    def _halves_digest(self) -> str:
        halves = (hashlib.sha256(rows.astype("<i8").tobytes()) for rows in (self.low, self.rest))
        return "".join(one.hexdigest()[:32] for one in halves)

    @cached_property
    def unpasted(self) -> np.ndarray:
        """The suspect's unit embeddings of the pictures that signatures are taken on."""
        return self.suspect.features(self.clean.pictures[:SIGNATURE_PICTURES])

    def key(self) -> dict[str, Any]:
        """What every result of this examiner depends on, the picture apart."""
        prints = self.case.fingerprints
        return {
            "data": prints["data"], "labels": prints["labels"],
            "suspect": self.suspect.encoder.fingerprint,
            "trusted": self.oracle.trusted.encoder.fingerprint,
            "segmenter": self.oracle.segmenter.fingerprint,
            "oracle": self.settings.oracle.model_dump(mode="json"),
        }  # fmt: skip

    def paste_key(self) -> dict[str, Any]:
        """What the paste test depends on besides."""
        verify_settings = self.settings.verify.model_dump(mode="json")
        rows = list(self.clean_rows)
        return {"verify": verify_settings, "clean": rows, "halves": self._halves_digest}


def check_able(case: Case) -> None:
    """Whether the case has what a hunt needs, before anything slow; no weights are read.

    Raises:
        CaseError: it has no trusted model or no segmenter, or their weights are gone.
        ConfigError: there is only one label.
    """
    case.check_oracle()
    refuse_single(case.labels)


def load_examiner(
    case: Case, settings: HuntSettings | None = None, scores: np.ndarray | None = None
) -> Examiner:
    """Load models and segmenter, and choose the clean rows.

    Args:
        case: needs a trusted model and a segmenter.
        settings: see `HuntSettings`.
        scores: detection score per pair, if known: clean rows come from its lower half. Without
            it they are drawn from all pairs, a few of which may be poisoned.

    Raises:
        CaseError: the case has no trusted model or no segmenter.
        ModelError: the trusted model is the suspect, or weights cannot be loaded.
    """
    settings = settings or HuntSettings()
    trusted, segmenter = case.trusted(), case.segmenter()
    if settings.fast:
        segmenter = segmenter.with_settings(SEGMENTER_PRESETS["fast"])
    suspect = suspect_judge(case.suspect(), case.labels)
    kept = KeptMasks(case, segmenter)
    oracle = make_oracle(kept, trusted, case.labels, settings.oracle, suspect.encoder)
    low, rest = halves(case.pairs.ids, scores, settings)
    clean = clean_rows(low, settings)
    return Examiner(
        case, settings, suspect, oracle, clean, np.array(low, np.int64), np.array(rest, np.int64)
    )


def clean_rows(low: Sequence[int], settings: HuntSettings) -> tuple[int, ...]:
    """The first of the low rows: as many as the paste test may want to paste on."""
    return tuple(low[: wanted_clean(settings)])


def wanted_clean(settings: HuntSettings) -> int:
    """Clean pictures with which each part of the paste test has its own, whichever the label."""
    return settings.verify.n_confirm + settings.verify.n_screen + CLEAN_SPARE


def halves(
    ids: Sequence[str], scores: np.ndarray | None, settings: HuntSettings
) -> tuple[list[int], list[int]]:
    """The lower half of the scores, and the rest with what has no score; without scores all are low.

    Each in the order of a keyed hash of the ids.
    """
    seed, low = settings.verify.seed, np.ones(len(ids), bool)
    if scores is not None:
        low = scores <= np.nanmedian(scores)
    return shuffled(ids, np.flatnonzero(low), seed), shuffled(ids, np.flatnonzero(~low), seed)
