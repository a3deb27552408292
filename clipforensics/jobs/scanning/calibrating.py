"""Calibrate a case's scores on clean pairs: what does a cut flag when nothing is wrong?

The clean pairs are embedded by the same suspect and scored against the same reference sets as the
case's own. Their scores say what share of such pairs lies above a cut, and hold for pairs of the same
kind alone. Pairs the suspect was trained on are another kind than fresh ones: on the demo case
pairs held out of the reference sets kept a promise of 1 % (.8 to 1.1 %), fresh ones of the same
world let 1.6 to 1.9 % of the case's clean pairs through, and its simpler test pictures 9 %.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, read_made, writing
from clipforensics.config.detect import (
    DETECTOR_TITLES,
    MANY_SCALES,
    DensitySettings,
    ReferenceSettings,
)
from clipforensics.config.scan import CleanSettings
from clipforensics.config.settings import parse
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs
from clipforensics.detect.agreement import cosines, disagreement, mismatch_log_odds
from clipforensics.detect.apart import Apart
from clipforensics.detect.clean import score_clean, score_clean_scales
from clipforensics.detect.combined import Footings, combined
from clipforensics.detect.embeddings import find_copies
from clipforensics.errors import ConfigError, DataError, RunError
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.copied import copies_of
from clipforensics.jobs.scanning.embedded import embedding_key, read_bad
from clipforensics.jobs.scanning.embedding import Progress, Stop, embed, embed_table
from clipforensics.jobs.scanning.scoring import scale_settings, scores, scores_key, told_as, usable

SCORES = "scores.npy"
WITH_CAPTIONS = ("combined", "clip", "gmm")
NAME = 120  # of a table's path on screen and in the record


@dataclass(frozen=True)
class CleanScores:
    """Scores of clean pairs, on the footing of the case's own.

    Attributes:
        values: float64 [q], finite; pairs without one left out, and copies of an embedding but for
            the first where only the picture is scored: they tell nothing new.
        about: `source`, `rows` of the table, `bad` pictures, `without_direction`, `seconds`.
    """

    values: np.ndarray
    about: dict[str, Any]


def run(context: RunContext) -> dict[str, Any]:
    """The job "calibrate"; its config is a CleanSettings."""
    settings = parse(CleanSettings, context.config)
    case = Case.open(context.case_dir)
    found = calibrate(case, settings, context.progress, context.should_stop)
    return {"clean": len(found.values), **found.about}


def calibrate(
    case: Case,
    settings: CleanSettings,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> CleanScores:
    """Embed the clean pairs and score them; both are evidence, made once.

    Args:
        case: embedded here if it is not yet.
        settings: the table (None: the case's test set), and the detector with its settings.
        progress: told (step, total, message).
        stop: asked often; true ends with Stopped, and embedded batches are kept.

    Raises:
        ConfigError: no test set; captions in the reference are asked for, which this cannot follow.
        DataError: the table cannot be used, or has blank captions where captions are compared.
    """
    _check(settings)
    pairs, source = clean_pairs(case, settings)
    check_captions(pairs, settings.detector)
    embed(case, progress, stop, settings.device)
    key = {
        "clean": pairs.sha256, "pictures": pairs.pictures_sha256(), **embedding_key(case),
    }  # fmt: skip
    place = evidence_dir(case, "clean_embeddings", key)
    made_of = _key(case, place.name, settings)
    folder = evidence_dir(case, "clean_scores", made_of)
    if not is_made(folder):
        embed_table(case, pairs, place, key, progress, stop, settings.device)
        began = time.perf_counter()
        values, lost = _scored(case, pairs, place, settings, progress, stop)
        about = {
            "source": source, "rows": len(pairs), "bad": len(read_bad(place)),
            "without_direction": lost, "seconds": time.perf_counter() - began,
        }  # fmt: skip
        with writing(folder, made_of, about=about) as part:
            np.save(part / SCORES, values, allow_pickle=False)
    found = _read(folder)
    return CleanScores(found.values, found.about | {"source": source})


def clean_pairs(case: Case, settings: CleanSettings) -> tuple[Pairs, str]:
    """The clean pairs, and what to call them.

    Raises:
        ConfigError: no table is named and the case has no test set.
        DataError: the table cannot be read.
    """
    if settings.data is not None:
        root = Path(settings.image_root) if settings.image_root else None
        return read_pairs(Path(settings.data), root), settings.data[-NAME:]
    if case.test is None:
        raise ConfigError(
            f"The case {case.name!r} has no test set to calibrate on. Name a table of clean pairs."
        )
    return case.test, "the case's test set"


def calibrations(
    case: Case, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> list[CleanScores]:
    """Clean scores that are there for these settings, newest first; nothing is computed."""
    wanted = scores_key(case, detector, density, reference)
    found = []
    for path in (case.dir / "evidence" / "clean_scores").glob("*/made.json"):
        if "." in path.parent.name:  # still being filled
            continue
        made = read_made(path.parent)
        if made["key"].get("scores") == wanted:
            found.append((made["made"], path.parent))
    return [_read(folder) for _, folder in sorted(found, reverse=True)]


def _check(settings: CleanSettings) -> None:
    if settings.reference.captions:
        title = ReferenceSettings.model_fields["captions"].title
        raise ConfigError(
            f"Clean pairs cannot be scored with {title!r}: they join no reference set. Turn it off."
        )


def best_detector(pairs: Pairs) -> str:
    """What to calibrate where nobody chose: `combined`, or `scales` where captions are missing."""
    return "combined" if all(caption.strip() for caption in pairs.captions) else "scales"


def check_captions(pairs: Pairs, detector: str) -> None:
    """Before anything is embedded: a blank caption cannot be compared with its picture.

    Raises:
        DataError: the detector reads captions, and some are blank.
    """
    if detector not in WITH_CAPTIONS:
        return
    blank = sum(not caption.strip() for caption in pairs.captions)
    if blank:
        title = next(title for name, title in DETECTOR_TITLES.items() if name == detector)
        raise DataError(
            f"{blank:,} of {len(pairs):,} clean pairs have no caption, which {title!r} compares with "
            f"the picture. Name clean pairs with captions, or choose {DETECTOR_TITLES['scales']!r}."
        )


def _scored(
    case: Case,
    pairs: Pairs,
    place: Path,
    settings: CleanSettings,
    progress: Progress | None,
    stop: Stop | None,
) -> tuple[np.ndarray, int]:
    """Scores of the clean pairs that have one, and how many lack a direction."""
    good = np.ones(len(pairs), bool)
    good[list(read_bad(place))] = False
    images = np.load(place / "images.npy", mmap_mode="r", allow_pickle=False)[good]
    detector, reference = settings.detector, settings.reference
    if detector in WITH_CAPTIONS:
        texts = np.load(place / "texts.npy", mmap_mode="r", allow_pickle=False)[good]
        if detector == "combined":
            apart = _over_scales(case, images, settings, progress, stop)
            return _combined(case, apart, images, texts, settings, progress, stop), 0
        return _by_caption(case, images, texts, settings)
    images = images[find_copies(images, reference.normalize).first]
    if detector in MANY_SCALES:
        return _over_scales(case, images, settings, progress, stop).scales, 0
    return _by_density(case, images, settings, progress, stop), 0


def _by_density(
    case: Case,
    images: np.ndarray,
    settings: CleanSettings,
    progress: Progress | None,
    stop: Stop | None,
) -> np.ndarray:
    """Clean pictures against the case's own reference sets, by one detector."""
    _, x = usable(case)
    detector, reference = settings.detector, settings.reference
    copies = copies_of(case, x, reference, stop)
    told = told_as(progress, f"scoring clean pairs by {detector}")
    try:
        return score_clean(x, images, detector, settings.density, reference, told, stop, copies)
    except RunError as problem:
        raise Stopped(str(problem)) from None


def _over_scales(
    case: Case,
    images: np.ndarray,
    settings: CleanSettings,
    progress: Progress | None,
    stop: Stop | None,
) -> Apart:
    """How far clean pictures lie from the case's own, in its reference sets of every size."""
    _, x = usable(case)
    copies = copies_of(case, x, settings.reference, stop)
    told = told_as(progress, f"scoring clean pairs by {settings.detector}")
    try:
        return score_clean_scales(x, images, scale_settings(settings.reference), told, stop, copies)
    except RunError as problem:
        raise Stopped(str(problem)) from None


def _by_caption(
    case: Case, images: np.ndarray, texts: np.ndarray, settings: CleanSettings
) -> tuple[np.ndarray, int]:
    """As `scoring` does, with the Gaussians that were fitted to the case's own pairs."""
    able = images.any(axis=1) & texts.any(axis=1)
    found = cosines(images[able], texts[able])
    if settings.detector == "clip":
        return -found, int((~able).sum())
    fitted = scores(case, "gmm", settings.density, settings.reference).info["mixture"]
    odds = mismatch_log_odds(found, fitted["means"], fitted["sds"], fitted["weights"])
    return odds, int((~able).sum())


def _combined(
    case: Case,
    apart: Apart,
    images: np.ndarray,
    texts: np.ndarray,
    settings: CleanSettings,
    progress: Progress | None,
    stop: Stop | None,
) -> np.ndarray:
    """Both parts, put on the footing of the case's own pairs."""
    able = images.any(axis=1) & texts.any(axis=1)
    told = np.full(len(images), np.nan)
    told[able] = disagreement(images[able], texts[able])
    asked = settings.density, settings.reference
    kept = scores(case, "combined", *asked, progress, stop).info["footings"]
    return combined(apart, told, Footings.read(kept))


def _key(case: Case, clean: str, settings: CleanSettings) -> dict[str, Any]:
    own = scores_key(case, settings.detector, settings.density, settings.reference)
    return {"clean": clean, "scores": own}


def _read(folder: Path) -> CleanScores:
    values = np.load(folder / SCORES, allow_pickle=False)
    return CleanScores(values, read_made(folder)["about"])
