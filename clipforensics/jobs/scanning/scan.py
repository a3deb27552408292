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
from clipforensics.cases.evidence import (
    ask_again,
    evidence_dir,
    is_made,
    latest,
    read_made,
    write_json,
    writing,
)
from clipforensics.config.detect import MapSettings
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import digest, parse
from clipforensics.detect.apart import RULE as MEASURED
from clipforensics.detect.combined import RULE as RULE_OF_COMBINED
from clipforensics.detect.density import SCORES as DENSITIES
from clipforensics.detect.density import neighbours_needed
from clipforensics.detect.neighbours import check_k, whole_set_graph
from clipforensics.detect.projection import umap_2d
from clipforensics.detect.reference import Scores
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.copied import copies_of
from clipforensics.jobs.scanning.duplicated import duplicates
from clipforensics.jobs.scanning.embedded import (
    bad_pictures,
    embedding_dir,
    embedding_record,
    embeddings,
    is_embedded,
    scored_rows,
    text_embeddings,
)
from clipforensics.jobs.scanning.embedding import Progress, Stop, embed
from clipforensics.jobs.scanning.scoring import (
    is_scored,
    measures,
    scale_scores,
    scores,
    told_as,
    truth_figures,
    usable,
)
from clipforensics.jobs.scanning.suspects import suspected_labels

__all__ = [
    "bad_pictures", "embed", "embeddings", "graph", "is_embedded", "is_scored", "latest_scan",
    "map_settings", "measures", "neighbours_of", "projection", "run", "scale_scores", "scan", "scored_rows", "scores", "text_embeddings",
    "truth_figures",
]  # fmt: skip

TELLING = ("scales", "clip")
"""Rankings whose top is asked what it has in common; the first detector where neither was run."""


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
        evidence was there costs its reading), `seconds_total`, the `settings`, `suspects` (see
        `jobs.scanning.suspects`), `duplicates`, `counted_once`
        (groups of copies that had one score each, and their rows), `without_direction` (rows with a zero embedding, by the
        detectors that left them out), `without_caption` (rows with a blank one; `combined` ranks
        them by their pictures alone), `scales` where they were tried, and where the case knows the
        truth its `target` and `figures` by detector.
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
        if name == "embed":
            _check_neighbours(case, settings)
        seconds[name] = time.perf_counter() - began
        if journal is not None:
            journal({"stage": name, "seconds": seconds[name]})
    return _kept(case, settings, _summary(case, settings, found, seconds))


def graph(
    case: Case, k: int | None = None, progress: Progress | None = None, stop: Stop | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The whole-set neighbour graph: for the map and the gallery, never for ranking.

    Args:
        case: the case.
        k: neighbours; None means as many as the latest scan's map took.
        progress: told (step, total, message).
        stop: asked between blocks of rows.

    Returns:
        Distances float32 [m, k] and ids int64 [m, k], memory-mapped. Rows and ids count the m
        embedded pictures only: `scored_rows(case)` translates them into rows of the pairs.
    """
    k = k or map_settings(case).n_neighbours
    key = {"embeddings": embedding_dir(case).name, "k": k}
    folder = evidence_dir(case, "graph", key)
    if not is_made(folder):
        _, x = usable(case)
        dist, ids = whole_set_graph(x, k, told_as(progress, "finding neighbours", stop))
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
    """The map, float32 [n, 2], memory-mapped; NaN for bad pictures. Settings: the latest scan's."""
    settings = settings or map_settings(case)
    key = {"embeddings": embedding_dir(case).name, "map": settings.model_dump(mode="json")}
    folder = evidence_dir(case, "map", key)
    if not is_made(folder):
        rows, x = usable(case)
        near = graph(case, settings.n_neighbours, progress, stop)
        told = told_as(progress, "drawing the map", stop)
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


def latest_scan(case: Case) -> dict[str, Any] | None:
    """What the newest scan of these embeddings said, or None before the first."""
    newest = latest(case, "scan", embeddings=embedding_dir(case).name)
    return newest and read_made(newest)["figures"]


def _check_neighbours(case: Case, settings: ScanSettings) -> None:
    """Refuse the largest number of neighbours that is asked for, not the first one met."""
    near = [
        neighbours_needed(name, settings.density)
        for name in settings.detectors
        if name in DENSITIES
    ]
    check_k(max(settings.map.n_neighbours, *near, 1), len(scored_rows(case)))


def map_settings(case: Case) -> MapSettings:
    """How the latest scan drew the map; the default before the first."""
    kept = latest_scan(case)
    return parse(MapSettings, kept["settings"]["map"]) if kept else MapSettings()


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
        "settings": settings.model_dump(mode="json"),
        "seconds": seconds,
        "seconds_total": sum(seconds.values()),
    }
    if found:
        told = {name: found[name].mean for name in TELLING if name in found}
        first = settings.detectors[0]
        summary["suspects"] = suspected_labels(case, told or {first: found[first].mean})
        rows, x = usable(case)
        near = np.asarray(graph(case, settings.map.n_neighbours)[1])
        summary["duplicates"] = duplicates(case, rows, x, near, found[first].mean)
        counted = copies_of(case, x, settings.reference)
        if counted is not None:
            sizes = [len(one) for one in counted.groups()]
            summary["counted_once"] = {"groups": len(sizes), "rows": sum(sizes)}
    for lack in ("without_direction", "without_caption"):
        lacking = {name: made.info.get(lack, 0) for name, made in found.items()}
        if any(lacking.values()):
            summary[lack] = {name: count for name, count in lacking.items() if count}
    if "scales" in found:
        summary["scales"] = found["scales"].info["scales"]
    if case.truth is not None:
        figures = {name: truth_figures(case, made) for name, made in found.items()}
        summary["target"] = case.truth.target
        summary["figures"] = figures
    return summary


def _kept(case: Case, settings: ScanSettings, summary: dict[str, Any]) -> dict[str, Any]:
    """Keep the first summary of these settings: later ones only read what it made."""
    asked = settings.model_dump(mode="json", exclude={"device"})
    # a scan of an older version ranked by another rule, did not look for exact copies, or list
    # captions: it is made again
    key = {"embeddings": embedding_dir(case).name, "settings": digest(asked), "exact_copies": True,
           "captions_listed": True, "ranked_by": digest([RULE_OF_COMBINED, MEASURED])}  # fmt: skip
    folder = evidence_dir(case, "scan", key)
    if is_made(folder):
        ask_again(folder)
    else:
        with writing(folder, key, figures=summary) as part:
            write_json(part / "settings.json", asked)
    return summary
