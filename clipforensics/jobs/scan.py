"""Scan a case: embed its pairs, find neighbours, draw the map, score by each detector.

Every result is evidence, made once for its settings and then read. Rows are rows of the pairs;
what belongs to a picture that could not be read is NaN.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, read_made, write_json, writing
from clipforensics.config.detect import DensitySettings, MapSettings, ReferenceSettings
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import digest, parse
from clipforensics.detect import reference as reference_sets
from clipforensics.detect.metrics import evaluate
from clipforensics.detect.neighbours import whole_set_graph
from clipforensics.detect.projection import umap_2d
from clipforensics.detect.reference import Scores
from clipforensics.errors import DataError, RunError
from clipforensics.jobs.context import RunContext
from clipforensics.jobs.embedding import (
    Progress,
    Stop,
    bad_pictures,
    embed,
    embedding_dir,
    embedding_record,
    embeddings,
    is_embedded,
    scored_rows,
    text_embeddings,
)
from clipforensics.jobs.run_folder import Stopped

__all__ = [
    "bad_pictures", "embed", "embeddings", "graph", "is_embedded", "is_scored", "latest_scan",
    "neighbours_of", "projection", "run", "scan", "scored_rows", "scores", "text_embeddings",
    "truth_figures",
]  # fmt: skip

CHECK_ROWS = 65_536


def run(context: RunContext) -> dict[str, Any]:
    """The job "scan"; its config is a ScanSettings."""
    settings = parse(ScanSettings, context.config)
    case = Case.open(context.case_dir)
    return scan(case, settings, context.progress, context.should_stop, context.journal)


def scan(
    case: Case,
    settings: ScanSettings,
    progress: Progress | None = None,
    stop: Stop | None = None,
    journal: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Do whatever of the scan is not done yet, and say what came out.

    Args:
        case: the case.
        settings: detectors, density, reference sets, map.
        progress: told (step, total, message) all along.
        stop: asked often; true ends the scan with Stopped, and a later one goes on from there.
        journal: told one record after each stage: stage and seconds.

    Returns:
        `rows`, `scored`, `bad`, `detector` (which ranks), `seconds` by stage (a stage whose
        evidence was there costs its reading), `seconds_total`, and where the case knows the truth
        `figures` by detector.
    """
    stages: dict[str, Callable[[], Any]] = {
        "embed": lambda: embed(case, progress, stop, settings.device),
        "neighbours": lambda: graph(case, settings.map.n_neighbours, progress, stop),
        "map": lambda: projection(case, settings.map, progress, stop),
    }
    found: dict[str, Scores] = {}
    for name in settings.detectors:
        stages[name] = lambda name=name: found.update(
            {name: scores(case, name, settings.density, settings.reference, progress, stop)}
        )
    seconds = {}
    for name, stage in stages.items():
        began = time.perf_counter()
        if stop is not None and stop():
            raise Stopped(f"The scan was stopped before {name}; finished stages are kept.")
        stage()
        seconds[name] = time.perf_counter() - began
        if journal is not None:
            journal({"stage": name, "seconds": seconds[name]})
    return _kept(case, settings, _summary(case, settings, found, seconds))


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
        rows, x = _usable(case)
        told = _told(progress, f"scoring by {detector}")
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


def graph(
    case: Case, k: int | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The whole-set neighbour graph: for the map and the gallery, never for ranking.

    Returns:
        Distances float32 [m, k] and ids int64 [m, k], memory-mapped. Rows and ids count the m
        embedded pictures only: `scored_rows(case)` translates them into rows of the pairs.
    """
    k = k or MapSettings().n_neighbours
    key = {"embeddings": embedding_dir(case).name, "k": k}
    folder = evidence_dir(case, "graph", key)
    if not is_made(folder):
        _, x = _usable(case)
        dist, ids = whole_set_graph(x, k, _told(progress, "finding neighbours", stop))
        with writing(folder, key) as part:
            np.save(part / "dist.npy", dist, allow_pickle=False)
            np.save(part / "ids.npy", ids, allow_pickle=False)
    return _load(folder / "dist.npy"), _load(folder / "ids.npy")


def projection(
    case: Case,
    settings: MapSettings | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> np.ndarray:
    """The map, float32 [n, 2], memory-mapped; NaN for bad pictures."""
    settings = settings or MapSettings()
    key = {"embeddings": embedding_dir(case).name, "map": settings.model_dump(mode="json")}
    folder = evidence_dir(case, "map", key)
    if not is_made(folder):
        rows, x = _usable(case)
        near = graph(case, settings.n_neighbours, progress, stop)
        told = _told(progress, "drawing the map", stop)
        places = np.full((len(case.pairs), 2), np.nan, np.float32)
        places[rows] = umap_2d(x, near, settings.seed, settings.n_neighbours, told)
        with writing(folder, key) as part:
            np.save(part / "projection.npy", places, allow_pickle=False)
    return _load(folder / "projection.npy")


def neighbours_of(case: Case, row: int, count: int = 8) -> list[tuple[int, float]]:
    """The nearest pairs of a pair, nearest first: row and distance; none for a bad picture."""
    rows = scored_rows(case)
    place = int(np.searchsorted(rows, row))
    if place == len(rows) or rows[place] != row:
        return []
    dist, ids = graph(case)
    near = zip(rows[ids[place, :count]], dist[place, :count], strict=True)
    return [(int(other), float(far)) for other, far in near]


def truth_figures(case: Case, found: Scores) -> dict[str, Any] | None:
    """AUROC, average precision and recall at budgets; None where the case knows no truth.

    Bad pictures are left out; `n` and `poisoned` say what was measured.
    """
    if case.truth is None:
        return None
    rows = scored_rows(case)
    poisoned = np.array([name in case.truth.poisoned for name in case.pairs.ids])
    return evaluate(found.mean[rows], poisoned[rows])


def latest_scan(case: Case) -> dict[str, Any] | None:
    """What the newest scan of these embeddings said, or None before the first."""
    folders = [path.parent for path in (case.dir / "evidence" / "scan").glob("*/made.json")]
    made = [(read_made(folder), folder) for folder in folders if "." not in folder.name]
    own = [one for one in made if one[0]["key"].get("embeddings") == embedding_dir(case).name]
    if not own:
        return None
    newest, _ = max(own, key=lambda one: one[0]["made"])
    return newest["figures"]


def _usable(case: Case) -> tuple[np.ndarray, np.ndarray]:
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


def _told(
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
    import json

    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "scores.parquet")
    rows = table["row"].to_numpy()
    mean, spread = np.full(count, np.nan), np.full(count, np.nan)
    mean[rows], spread[rows] = table["score"].to_numpy(), table["spread"].to_numpy()
    return Scores(mean, spread, json.loads((folder / "info.json").read_text(encoding="utf-8")))


def _load(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _summary(
    case: Case, settings: ScanSettings, found: dict[str, Scores], seconds: dict[str, float]
) -> dict[str, Any]:
    record, bad = embedding_record(case), bad_pictures(case)
    summary: dict[str, Any] = {
        "rows": len(case.pairs),
        "scored": len(case.pairs) - len(bad),
        "bad": len(bad),
        "detector": settings.detectors[0],
        "device": record["device"],
        "seconds": seconds,
        "seconds_total": sum(seconds.values()),
    }
    if case.truth is not None:
        figures = {name: truth_figures(case, made) for name, made in found.items()}
        summary["target"] = case.truth.target
        summary["figures"] = figures
    return summary


def _kept(case: Case, settings: ScanSettings, summary: dict[str, Any]) -> dict[str, Any]:
    """Keep the first summary of these settings: later ones only read what it made."""
    asked = settings.model_dump(mode="json", exclude={"device"})
    key = {"embeddings": embedding_dir(case).name, "settings": digest(asked)}
    folder = evidence_dir(case, "scan", key)
    if not is_made(folder):
        with writing(folder, key, figures=summary) as part:
            write_json(part / "settings.json", asked)
    return summary
