"""Score a case's pairs, and hold the scores against the truth where it is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, write_json, writing
from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.detect.agreement import cosines, mismatch_log_odds
from clipforensics.detect.apart import MEASURES, Apart
from clipforensics.detect.apart import RULE as MEASURED
from clipforensics.detect.combined import RULE as RULE_OF_COMBINED
from clipforensics.detect.combined import Footings, combined
from clipforensics.detect.embeddings import release
from clipforensics.detect.frequent import RULE
from clipforensics.detect.metrics import evaluate
from clipforensics.detect.reference import Scores, score_each
from clipforensics.detect.scales import score_scales
from clipforensics.errors import DataError, RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.copied import copies_of
from clipforensics.jobs.scanning.embedded import (
    embedding_dir,
    embeddings,
    scored_rows,
    text_embeddings,
)
from clipforensics.jobs.scanning.embedding import Progress, Stop
from clipforensics.jobs.scanning.resuming import Keeper
from clipforensics.repair.split import fit_mixture

CHECK_ROWS = 65_536
SCALE_FILES = ("z", "best")
BESIDE = tuple(name for name in MEASURES if name != "scales")
"""Measures that the scan over scales keeps beside its own ranking."""
PARTS = ("scales", "clip")
"""What `combined` joins."""


def scores(
    case: Case,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Scores:
    """One detector's score of every pair, read from evidence or computed and kept.

    Returns:
        Scores with mean and spread float64 [n]; NaN for bad pictures, and where a detector that
        reads angles meets a zero embedding.

    Raises:
        CaseError: not embedded yet.
        ConfigError: unknown detector, or k does not fit the reference sets.
        DataError: some embeddings are not finite; the first rows are named.
    """
    key = scores_key(case, detector, density, reference)
    folder = evidence_dir(case, "scores", key)
    if detector == "combined" and not is_made(folder):
        outlying, odd = (scores(case, one, density, reference, progress, stop) for one in PARTS)
        made = _combined(case, outlying, measures(case, reference), odd)
        with writing(folder, key) as part:
            _write_scores(part, np.arange(len(case.pairs)), made)
    elif not is_made(folder):
        rows, x = usable(case, stop)
        keeper = Keeper(folder)
        told = told_as(progress, f"scoring by {detector}")
        try:
            made, more = _made(case, rows, x, detector, density, reference, told, stop, keeper)
        except RunError as problem:
            raise Stopped(str(problem)) from None
        with writing(folder, key) as part:
            _write_scores(part, rows, made)
            for name, table in more.items():
                np.save(part / f"{name}.npy", table, allow_pickle=False)
        keeper.forget()
    return _read_scores(folder, len(case.pairs))


def scale_scores(
    case: Case, reference: ReferenceSettings
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]] | None:
    """What each scale said, if `scores(case, "scales", ...)` was made with these settings.

    Returns:
        z float32 [scales, m] and best int64 [m] for the m `scored_rows`, and the scales' records.
    """
    folder = evidence_dir(case, "scores", scores_key(case, "scales", DensitySettings(), reference))
    if not is_made(folder):
        return None
    z, best = (np.load(folder / f"{n}.npy", mmap_mode="r", allow_pickle=False) for n in SCALE_FILES)
    info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    return z, best, info["scales"]


def measures(case: Case, reference: ReferenceSettings) -> Apart:
    """How far every pair's picture lies from others, [n] each and NaN without a score.

    Read from what `scores(case, "scales", ...)` keeps, or computed and kept.
    """
    asked = case, "scales", DensitySettings(), reference
    tables = {"scales": scores(*asked).mean}
    folder, rows = evidence_dir(case, "scores", scores_key(*asked)), scored_rows(case)
    for name in BESIDE:
        tables[name] = np.full(len(case.pairs), np.nan)
        tables[name][rows] = np.load(folder / f"{name}.npy", allow_pickle=False)
    return Apart.read(tables)


def _made(
    case: Case,
    rows: np.ndarray,
    x: np.ndarray,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    told: Callable[[int, int], None],
    stop: Stop | None,
    keeper: Keeper,
) -> tuple[Scores, dict[str, np.ndarray]]:
    """The scores of the usable rows, and tables to keep beside them."""
    if detector in ("clip", "gmm"):
        return _by_caption(case, rows, x, detector), {}
    captions = text_embeddings(case)[rows] if reference.captions else None
    copies = copies_of(case, x, reference, stop)
    state, keep = keeper.begun(), keeper.keep
    if detector != "scales":
        (made,) = score_each(
            x, [(detector, density)], reference, told, stop, state, keep, copies, captions
        )
        return made, {}
    cfg = scale_settings(reference)
    found = score_scales(x, cfg, told, stop, state, keep, copies, captions)
    spread = np.take_along_axis(found.spread, found.best[None], 0)[0]
    tables = {"z": found.z.astype(np.float32), "best": found.best}
    tables |= {name: getattr(found.apart, name) for name in BESIDE}
    return Scores(found.combined, spread, found.info), tables


def scale_settings(reference: ReferenceSettings) -> ScaleSettings:
    """A scan over scales with the seed and features of these settings, and at most its own draws.

    Many scales steady the ranking as draws do, and each draw costs as much as several of a score.
    """
    draws = min(reference.draws, ScaleSettings().draws)
    return ScaleSettings(draws=draws, seed=reference.seed, normalize=reference.normalize)


def _by_caption(case: Case, rows: np.ndarray, x: np.ndarray, detector: str) -> Scores:
    """Picture against its own caption: no reference set, so no draws and no spread.

    A zero embedding has no direction, a blank caption says nothing: such a pair gets NaN, and
    `without_direction` and `without_caption` count them.
    """
    captions = text_embeddings(case)
    captions = captions if len(rows) == len(captions) else captions[rows]
    blank = np.array([not case.pairs.captions[row].strip() for row in rows], bool)
    directed = x.any(axis=1) & captions.any(axis=1)
    able = directed & ~blank
    value = np.full(len(rows), np.nan)
    info: dict[str, Any] = {"detector": detector, "rows": len(rows), "features": "normalized",
                            "without_direction": int((~directed).sum()),
                            "without_caption": int(blank.sum())}  # fmt: skip
    if not able.any():
        return Scores(value, np.zeros(len(rows)), info)
    # a few rows at a time: one blank caption must not copy a mapped file
    some = np.array_split(np.flatnonzero(able), -(-int(able.sum()) // CHECK_ROWS))
    found = np.concatenate([cosines(x[part], captions[part]) for part in some])
    if detector == "gmm":
        mixture = fit_mixture(found)
        info |= {"mixture": mixture.record(), "cut_cosine": mixture.tau,
                 "degenerate": mixture.degenerate}  # fmt: skip
        value[able] = mismatch_log_odds(found, mixture.means, mixture.sds, mixture.weights)
    else:
        value[able] = -found
    return Scores(value, np.zeros(len(rows)), info)


def _combined(case: Case, outlying: Scores, apart: Apart, disagreement: Scores) -> Scores:
    """Both parts in one ranking; the spread is that of the density."""
    on = Footings.of(apart, disagreement.mean)
    info = {"detector": "combined", "rows": len(scored_rows(case)), "footings": on.record(),
            **RULE_OF_COMBINED, "scales": outlying.info["scales"],
            "without_caption": disagreement.info.get("without_caption", 0)}  # fmt: skip
    return Scores(combined(apart, disagreement.mean, on), outlying.spread, info)


def is_scored(
    case: Case, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> bool:
    """Whether these scores are there already, or only have to be added up."""
    if detector == "combined":
        return all(is_scored(case, part, density, reference) for part in PARTS)
    return is_made(evidence_dir(case, "scores", scores_key(case, detector, density, reference)))


def truth_figures(case: Case, found: Scores) -> dict[str, Any] | None:
    """AUROC, average precision and recall at budgets; None where the case knows no truth, or where
    all or none of the scored rows are poisoned.

    Bad pictures and rows without a score are left out; `n` and `poisoned` say what was measured.
    """
    if case.truth is None:
        return None
    rows = scored_rows(case)
    rows = rows[np.isfinite(found.mean[rows])]
    poisoned = np.array([case.pairs.ids[row] in case.truth.poisoned for row in rows], bool)
    if not poisoned.any() or poisoned.all():
        return None
    return evaluate(found.mean[rows], poisoned)


def usable(case: Case, stop: Stop | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have an embedding, and their embeddings, all finite; a stop is heard on the way."""
    x, rows, wrong = embeddings(case), scored_rows(case), []
    for start in range(0, len(rows), CHECK_ROWS):
        if stop is not None and stop():
            raise Stopped("Stopped while reading the embeddings; finished stages are kept.")
        some = rows[start : start + CHECK_ROWS]
        wrong.append(some[~np.isfinite(x[some]).all(axis=1)])
        release(x)
    broken = np.concatenate(wrong)
    if len(broken):
        named = ", ".join(f"row {row}, {case.pairs.ids[row]}" for row in broken[:3])
        raise DataError(
            f"{len(broken):,} of {len(rows):,} embeddings contain NaN or infinity (first: {named}). "
            "Remove these images or embed them again."
        )
    return rows, x if len(rows) == len(x) else x[rows]


def told_as(
    progress: Progress | None, message: str, stop: Stop | None = None
) -> Callable[[int, int], None]:
    """Progress as the detectors tell it, with our message; a stop ends them between two reports."""

    def tell(done: int, total: int) -> None:
        if stop is not None and stop():
            raise Stopped(f"Stopped while {message}; finished stages are kept.")
        if progress is not None:
            progress(done, total, message)

    return tell


def scores_key(
    case: Case, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> dict[str, Any]:
    """What decides a detector's scores, as the key of their evidence."""
    key: dict[str, Any] = {"embeddings": embedding_dir(case).name, "detector": detector}
    if detector in ("clip", "gmm"):  # they read a pair alone
        return key | {"blank": "no score"} | ({"fit": "sorted"} if detector == "gmm" else {})
    if detector == "combined":
        return (
            key
            | RULE_OF_COMBINED
            | {part: scores_key(case, part, density, reference) for part in PARTS}
        )
    # scores of another rule are others; where none is asked for they are those of every version
    rule = {"copies": RULE} if reference.collapse else {}
    if detector == "scales":  # it tries sizes and neighbours of its own
        shared = reference.model_dump(mode="json", include={"captions", "collapse"})
        asked = scale_settings(reference)
        # few rows once had the whole set as their only scale; many are not scored anew for that
        few = {"few_rows": 2} if len(case.pairs) < 8 * min(asked.reference_sizes) else {}
        return (
            key
            | shared
            | rule
            | few
            | {"scales": asked.model_dump(mode="json"), "beside": MEASURED}
        )
    key |= {"reference": reference.model_dump(mode="json"), **rule}
    # a forest has no neighbours: its scores do not hang on k
    return key if detector == "iforest" else key | {"density": density.model_dump(mode="json")}


def _write_scores(part: Path, rows: np.ndarray, made: Scores) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"row": rows, "score": made.mean, "spread": made.spread})
    pyarrow.parquet.write_table(table, part / "scores.parquet")
    write_json(part / "info.json", made.info)


def _read_scores(folder: Path, count: int) -> Scores:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "scores.parquet")
    rows = table["row"].to_numpy()
    mean, spread = np.full(count, np.nan), np.full(count, np.nan)
    mean[rows], spread[rows] = table["score"].to_numpy(), table["spread"].to_numpy()
    return Scores(mean, spread, json.loads((folder / "info.json").read_text(encoding="utf-8")))
