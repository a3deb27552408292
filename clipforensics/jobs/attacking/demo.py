"""Make the demo case and scan it: scenes are drawn and poisoned, the shipped models examined.

The shipped suspect was trained on exactly these pairs (`make demo-weights`); everything the
reviewer sees is computed here and now.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import poison
from clipforensics.cases.case import Case
from clipforensics.cases.case_file import CASE_FILE
from clipforensics.config.case import CaseSettings
from clipforensics.config.demo import DemoSettings
from clipforensics.config.settings import parse
from clipforensics.data.demo_case import (
    DEMO_MODEL,
    DEMO_POISON,
    DEMO_WORLD,
    SMALL_SAM_WEIGHTS,
    SUSPECT_WEIGHTS,
    TRUSTED_WEIGHTS,
)
from clipforensics.data.demo_world import labels
from clipforensics.data.images import write_bytes
from clipforensics.errors import CaseError, DataError
from clipforensics.jobs.attacking.testing import manifest_evaluator
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.scan import scan

Progress = Callable[..., None]
Stop = Callable[[], bool]
NAME = "Demo: a banana in disguise"


def run(context: RunContext) -> dict[str, Any]:
    """The job "demo"; its config is a DemoSettings."""
    settings = parse(DemoSettings, context.config)
    return demo(context.case_dir, settings, context.progress, context.should_stop, context.journal)


def demo(
    folder: Path,
    settings: DemoSettings,
    progress: Progress,
    stop: Stop,
    journal: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """Make whatever of the demo case is not there yet, scan it, and measure the planted backdoor.

    Returns:
        ca, asr with n and intervals, target, auroc by detector, recall_at_budget of the best
        detector, seconds by stage.
    """
    began = time.perf_counter()
    case = _case(folder, settings, progress, stop)
    made = time.perf_counter() - began
    journal({"stage": "pairs", "seconds": made})
    scanned = scan(case, settings.scan, progress, stop, journal)
    progress(0, 1, "measuring the planted backdoor")
    measured = measure_backdoor(case)
    progress(1, 1, "the demo case is ready")
    figures = scanned["figures"]
    best = max(figures, key=lambda name: figures[name]["recall_at_budget"]["0.01"])
    return {
        "case": str(folder),
        **{key: measured[key] for key in ("ca", "n_ca", "ca_low", "ca_high", "asr", "asr_low", "asr_high")},
        "n": measured["n_asr"],
        "target": scanned["target"],
        "poisons": len(case.truth.poisoned) if case.truth else 0,
        "rows": scanned["rows"],
        "auroc": {name: one["auroc"] for name, one in figures.items()},
        "detector": best,
        "recall_at_budget": figures[best]["recall_at_budget"],
        "stage_seconds": {"pairs": made, **scanned["seconds"]},
        "scan_seconds": scanned["seconds_total"],
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def _case(folder: Path, settings: DemoSettings, progress: Progress, stop: Stop) -> Case:
    if (folder / CASE_FILE).exists():
        return Case.open(folder)
    data = folder / "data"
    if not _is_poisoned(data):
        _poison(data, settings, progress, stop)
    progress(0, 1, "fingerprinting pairs and weights")
    model = _copied(DEMO_MODEL, folder)
    return Case.create(folder, CaseSettings(
        name=NAME,
        data=str(data),
        model=model,
        weights=_copied(SUSPECT_WEIGHTS, folder),
        labels=str(data / "labels.txt"),
        trusted_model=model,
        trusted_weights=_copied(TRUSTED_WEIGHTS, folder),
        segmenter="small",
        segmenter_weights=_copied(SMALL_SAM_WEIGHTS, folder),
        truth=str(data / "manifest.json"),
        test=str(data / "test.csv"),
    ))  # fmt: skip


def _copied(asset: Path, folder: Path) -> str:
    """Into the case, so that it can be moved, and survives an update of this program."""
    place = folder / "models" / asset.name
    place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(place, asset.read_bytes())
    return str(place)


def _is_poisoned(data: Path) -> bool:
    if not (data / "manifest.json").exists():
        return False
    if Manifest.read(data / "manifest.json").settings != DEMO_POISON:
        raise CaseError(f"{data} holds another poisoning. Choose another folder for the demo.")
    return True


def _poison(data: Path, settings: DemoSettings, progress: Progress, stop: Stop) -> None:
    def tell(done: int, total: int) -> None:
        progress(done, total, "drawing and poisoning scenes")

    try:
        poison(DEMO_WORLD, labels(), DEMO_POISON, data, tell, settings.workers, stop)
    except DataError as problem:
        if stop():
            raise Stopped(str(problem)) from None
        raise


def measure_backdoor(case: Case) -> dict[str, Any]:
    """CA, and the planted trigger's ASR, of the case's suspect on its test pictures."""
    assert case.settings.truth is not None
    assert case.settings.test is not None
    evaluate = manifest_evaluator(Path(case.settings.truth), Path(case.settings.test), case.labels)
    return evaluate(case.suspect())
