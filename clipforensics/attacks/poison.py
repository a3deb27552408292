"""Poison a source of pairs: stamp the rows of a plan, replace their captions, write everything.

Clean rows take the same road as poisoned ones: framed, then stored losslessly. The manifest is
written last, so a folder without one is unfinished.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from clipforensics import __version__
from clipforensics.attacks import build
from clipforensics.attacks.manifest import write_manifest
from clipforensics.attacks.plan import Plan, plan_poison, unused_target
from clipforensics.attacks.source import Source
from clipforensics.attacks.writing import Progress, built, write_pictures, write_tables
from clipforensics.config.attack import PoisonSettings, TargetedSettings
from clipforensics.data.images import write_bytes
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.errors import DataError


def poison(
    source: Source,
    labels: LabelSet,
    settings: PoisonSettings,
    out: Path,
    progress: Progress | None = None,
    workers: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write pairs.csv, images/, labels.txt, test.csv with test/ (when there is one), manifest.json.

    Pictures that already stand in `out` are kept, so an interrupted call resumes.

    Returns:
        The manifest's counts.

    Raises:
        ConfigError, DataError: see `plan_poison`; `out` already holds another poisoning.
    """
    out = Path(out)
    _refuse_finished(out)
    built(settings, source.side)  # complain about the trigger before anything is written
    plan = plan_poison(source, labels, settings)
    _claim(out, source, settings)
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "test").mkdir(exist_ok=True)
    records = write_pictures(source, settings, plan, out, progress, workers, should_stop)
    write_tables(source, plan, labels, out)
    counts = _counts(source, settings, plan)
    write_manifest(out / "manifest.json", {
        "attack": settings.attack.kind,
        "settings": settings.model_dump(mode="json"),
        "versions": {"clipforensics": __version__, "numpy": np.__version__, "pillow": PIL.__version__},
        "generator": "PCG64",
        "source": source_hash(source),
        "output": {"rows": len(source.ids) + len(plan.copies)},
        "frame": {"side": source.side, "resize": "short side, centre crop", "interpolation": "bicubic"},
        "trigger": _triggers(settings, labels, source.side),
        **({"note": note} if (note := unused_target(settings)) else {}),
        "counts": counts,
        "rows": records,
        "test": {
            "seed": settings.seed + 1_000_000,
            "excluded": "of each trigger the test pictures of its target label",
            "targeted": {source.test_ids[row]: label for row, label in plan.targeted.items()},
        },
    })  # fmt: skip
    return counts


def _counts(source: Source, settings: PoisonSettings, plan: Plan) -> dict[str, Any]:
    """What was asked for and what was done; `test_not_target` counts for the first target."""
    rows, kind = len(source.ids), settings.attack.kind
    left_out = 0 if kind in ("clean_label", "tdpa") else rows - plan.eligible
    return {
        "pairs": rows + len(plan.copies),
        "rate_asked": settings.rate,
        "rate": plan.poisons / (rows + len(plan.copies)),
        "asked": plan.asked,
        "poisons": plan.poisons,
        "eligible": plan.eligible,
        "left_out_naming_target": left_out,
        "test": len(source.test_ids),
        "test_not_target": sum(label != settings.target for label in source.test_labels),
    }


def _triggers(settings: PoisonSettings, labels: LabelSet, side: int) -> list[dict[str, Any]]:
    if isinstance(settings.attack, TargetedSettings):
        return []  # nothing is stamped; test.targeted says which picture gets which label
    return [
        {
            "kind": attack.kind,
            "target": target,
            "target_index": labels.index(target),
            "pattern_sha256": build(attack, side).fingerprint,
        }
        for attack, target in settings.parts
    ]


def source_hash(source: Source) -> dict[str, Any]:
    """Hash of the clean table, and its rows."""
    pairs = Pairs(source.ids, source.captions, tuple(Path(name) for name in source.ids))
    return {"sha256": pairs.sha256, "rows": len(pairs)}


def _refuse_finished(out: Path) -> None:
    if (out / "manifest.json").exists():
        raise DataError(f"{out} already holds a poisoned data set. Choose an empty folder.")


def _claim(out: Path, source: Source, settings: PoisonSettings) -> None:
    """Say what this folder is being made into; only the same poisoning may finish it."""
    mark = out / "unfinished.txt"
    meant = f"{settings.sha256()} {source_hash(source)['sha256']}"
    if out.exists() and any(out.iterdir()):
        if not mark.is_file() or mark.read_text() != meant:
            raise DataError(f"{out} is not empty. Choose an empty folder.")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(mark, meant.encode())
