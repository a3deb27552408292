"""One label's inversion in one case: models, clean pictures, and the evidence that is kept of it."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import (
    evidence_dir,
    is_made,
    read_made,
    reading,
    write_json,
    writing,
)
from clipforensics.config.inversion import FamilyName, InversionSettings
from clipforensics.config.oracle import HuntSettings
from clipforensics.errors import DataError
from clipforensics.jobs.hunting.clean_pictures import clean_pictures, shuffled
from clipforensics.jobs.scanning.scan import is_scored, scores
from clipforensics.oracle.anomaly import Inverted
from clipforensics.oracle.competence import Recall, trusted_recall
from clipforensics.oracle.pasting import CleanSet
from clipforensics.oracle.scorer import Judge, refuse_accomplice, suspect_judge

FIGURES, VALUES = "figures.json", "values.npz"
SPARE = 1.25  # pictures of the label itself are left out
LEAST = 8
LOOKED_AT = 50


@dataclass(frozen=True)
class Inverter:
    """A case with its two models and clean pictures, loaded once.

    Attributes:
        frequency: how many captions name each label.
        clean_rows: pairs that pictures are taken from, in the order of a keyed hash of their ids.
    """

    case: Case
    settings: InversionSettings
    suspect: Judge
    trusted: Judge
    frequency: dict[str, int]
    clean_rows: tuple[int, ...]

    @cached_property
    def clean(self) -> CleanSet:
        """Pictures that both models have been asked about; unreadable ones are left out."""
        return clean_pictures(self.case, self.clean_rows, self.suspect, self.trusted)

    def recall(self, label: str) -> Recall:
        """How well the trusted model knows a label, on the clean pictures."""
        clean = self.clean
        return trusted_recall(clean.named, clean.trusted_before, self.case.labels.names, label)

    def parts(self, label: str) -> tuple[CleanSet, CleanSet]:
        """Pictures without the label: to fit a change to, and held out to measure it on.

        Raises:
            DataError: fewer than 8 of either.
        """
        usable = self.clean.rows(self.clean.without(label, self.suspect.labels.index(label)))
        asked = self.settings
        share = asked.pictures / (asked.pictures + asked.held_out)
        fitted = min(asked.pictures, int(len(usable) * share))
        rest = usable.rows(np.arange(len(usable)) >= fitted).first(asked.held_out)
        if min(fitted, len(rest)) < LEAST:
            raise DataError(
                f"Inverting {label!r} needs at least {LEAST} clean pictures without it to fit and "
                f"{LEAST} to measure, got {fitted} and {len(rest)}. Add pairs of other labels."
            )
        return usable.first(fitted), rest

    def key(self, label: str, family: FamilyName) -> dict[str, Any]:
        """Everything that decides one inversion."""
        prints = self.case.fingerprints
        asked = self.settings.model_dump(
            mode="json", include={"steps", "batch", "rate", "pictures", "held_out", "weight", "reached", "seed"},
        )  # fmt: skip
        ids = "\0".join(self.case.pairs.ids[row] for row in self.clean_rows)
        return {
            "data": prints["data"], "labels": prints["labels"],
            "suspect": self.suspect.encoder.fingerprint,
            "trusted": self.trusted.encoder.fingerprint,
            "clean": hashlib.sha256(ids.encode()).hexdigest(),
            "settings": asked, "label": label, "family": family,
        }  # fmt: skip


def load_inverter(case: Case, settings: InversionSettings) -> Inverter:
    """Load both models and choose clean pairs: of the lower half by detection score, if there is one.

    Raises:
        CaseError: the case has no trusted model.
        ModelError: the trusted model is the suspect, or weights cannot be loaded.
    """
    trusted, suspect = case.trusted(), case.suspect()
    refuse_accomplice(trusted, suspect)
    named = Counter(name for text in case.pairs.captions for name in case.labels.named_in(text))
    frequency = {name: named[name] for name in case.labels.names}
    rows = _clean_rows(case, settings)
    judges = suspect_judge(suspect, case.labels), suspect_judge(trusted, case.labels)
    return Inverter(case, settings, *judges, frequency, rows)


def inverted(
    inverter: Inverter, label: str, family: FamilyName, told: Callable[[int], None] | None = None
) -> Inverted:
    """One label's figures in one family, from evidence or searched now and kept."""
    key = inverter.key(label, family)
    folder = evidence_dir(inverter.case, "inversions", key)
    if not is_made(folder):
        from clipforensics.oracle.families import FAMILIES
        from clipforensics.oracle.inversion import generator_of, invert, measured

        fit, held_out = inverter.parts(label)
        kind, asked = FAMILIES[family], inverter.settings
        began = time.perf_counter()
        change = invert(
            fit.pictures, inverter.suspect.labels.index(label), inverter.suspect, kind, asked,
            generator_of(asked.seed, label, family), told,
        )  # fmt: skip
        found = measured(change, label, kind, held_out, inverter.suspect, inverter.trusted)
        with writing(folder, key, seconds=time.perf_counter() - began) as part:
            write_json(part / FIGURES, asdict(found))
            np.savez_compressed(part / VALUES, allow_pickle=False, **change.values)
    with reading(folder):
        content = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
        return Inverted(**{**content, "interval": tuple(content["interval"])})


def worn_examples(
    case: Case, evidence: str, side: int, count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Some pictures of the case that do not name the label, and the same with the found change.

    Args:
        case: the case.
        evidence: name of the inversion's folder.
        side: of the suspect's pictures, px.
        count: pictures wanted; fewer where fewer can be read.

    Returns:
        Pictures before and after, uint8 [side, side, 3] each.

    Raises:
        CaseError: the evidence is gone, changed or damaged. DataError: no picture without the label can be read.
    """
    from clipforensics.oracle.families import FAMILIES, worn

    folder = case.dir / "evidence" / "inversions" / Path(evidence).name
    key = read_made(folder)["key"]
    with reading(folder), np.load(folder / VALUES, allow_pickle=False) as kept:
        values = {name: kept[name] for name in kept.files}
    before = []
    for row in np.unique(np.linspace(0, len(case.pairs) - 1, LOOKED_AT).astype(int)):
        if len(before) == count:
            break
        if key["label"] in case.labels.named_in(case.pairs.captions[row]):
            continue
        try:
            before.append(case.pairs.picture(int(row), side))
        except DataError:
            continue
    if not before:
        raise DataError(
            f"No picture without {key['label']!r} can be read. Check the picture files."
        )
    return before, list(worn(FAMILIES[key["family"]], values, np.stack(before)))


def _clean_rows(case: Case, settings: InversionSettings) -> tuple[int, ...]:
    """In the order of a keyed hash of the ids, so that the order of the table changes nothing."""
    rows: Sequence[int] = range(len(case.pairs))
    hunt = HuntSettings()
    if is_scored(case, hunt.detector, hunt.density, hunt.reference):
        found = scores(case, hunt.detector, hunt.density, hunt.reference).mean
        rows = [int(row) for row in np.flatnonzero(found <= np.nanmedian(found))]
    wanted = int((settings.pictures + settings.held_out) * SPARE)
    return tuple(shuffled(case.pairs.ids, rows, settings.seed)[:wanted])
