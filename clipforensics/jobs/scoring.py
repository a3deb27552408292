"""Score a case's pairs, and hold the scores against the truth where it is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, write_json, writing
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect import reference as reference_sets
from clipforensics.detect.metrics import evaluate
from clipforensics.detect.reference import Scores
from clipforensics.errors import DataError, RunError
from clipforensics.jobs.embedding import Progress, Stop, embedding_dir, embeddings, scored_rows
from clipforensics.jobs.run_folder import Stopped

CHECK_ROWS = 65_536


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
        Scores with mean and spread float64 [n]; NaN for bad pictures.

    Raises:
        CaseError: not embedded yet.
        ConfigError: unknown detector, or k does not fit the reference sets.
        DataError: some embeddings are not finite; the first rows are named.
    """
    key = _scores_key(case, detector, density, reference)
    folder = evidence_dir(case, "scores", key)
    if not is_made(folder):
        rows, x = usable(case)
        told = told_as(progress, f"scoring by {detector}")
        try:
            made = reference_sets.score(x, detector, density, reference, told, stop)
        except RunError as problem:
            raise Stopped(str(problem)) from None
        with writing(folder, key) as part:
            _write_scores(part, rows, made)
    return _read_scores(folder, len(case.pairs))


def is_scored(
    case: Case, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> bool:
    """Whether these scores are there already."""
    return is_made(evidence_dir(case, "scores", _scores_key(case, detector, density, reference)))


def truth_figures(case: Case, found: Scores) -> dict[str, Any] | None:
    """AUROC, average precision and recall at budgets; None where the case knows no truth.

    Bad pictures are left out; `n` and `poisoned` say what was measured.
    """
    if case.truth is None:
        return None
    rows = scored_rows(case)
    poisoned = np.array([name in case.truth.poisoned for name in case.pairs.ids])
    return evaluate(found.mean[rows], poisoned[rows])


def usable(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have an embedding, and their embeddings, all finite."""
    x, rows = embeddings(case), scored_rows(case)
    wrong = [
        rows[start : start + CHECK_ROWS][
            ~np.isfinite(x[rows[start : start + CHECK_ROWS]]).all(axis=1)
        ]
        for start in range(0, len(rows), CHECK_ROWS)
    ]
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


def _scores_key(
    case: Case, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> dict[str, Any]:
    # a forest has no neighbours: its scores do not hang on k
    near = {} if detector == "iforest" else {"density": density.model_dump(mode="json")}
    return {
        "embeddings": embedding_dir(case).name,
        "detector": detector,
        "reference": reference.model_dump(mode="json"),
        **near,
    }


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
