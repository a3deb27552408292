"""The hunt on the demo case against the truth: target label, triggers, victims, and every poison inspected.

The hunt itself sees no truth: it reads the scan's ranking, the segmenter, the trusted model and
the suspect. The same hunt over a suspect and pairs with nothing planted must name no trigger and no
label; `--clean no` leaves it out.
"""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _clean_case import clean_case
from _record import arguments, demo_case, publish, say

from clipforensics.attacks.manifest import Manifest
from clipforensics.cases.case import Case
from clipforensics.config.oracle import HuntSettings
from clipforensics.jobs.hunting.triggers import hunt


def main() -> None:
    """One hunt over the `--top` most suspicious pairs of the demo case, one of the clean case."""
    asked = arguments(
        __doc__ or "", top=200, clean="yes", clean_case=Path(), suspects=Path("build/suspects"),
        seed=0,
    )  # fmt: skip
    settings = HuntSettings(top=asked.top)
    with demo_case(asked.case) as case:
        found = hunt(case, settings, say)
        assert case.truth is not None
        rows = [{"case": "demo", **figures(case, case.truth, found)}]
    if asked.clean == "yes":
        rows.append({"case": "nothing planted", **without_truth(hunt_clean(asked, settings))})
    publish(
        "oracle", rows, asked,
        affected=[one["label"] for one in found["affected_labels"]], target=case.truth.target,
        best_flip_rate=max((one["flip_rate"] for one in found["triggers"]), default=0.0),
    )  # fmt: skip


def hunt_clean(asked: Any, settings: HuntSettings) -> dict[str, Any]:
    """The hunt over the case at `--clean-case`, or over a fresh one that is removed afterwards."""
    with ExitStack() as stack:
        folder = asked.clean_case
        if not folder.name:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "clean"
        return hunt(clean_case(folder, asked.seed, asked.suspects), settings, say)


def without_truth(found: dict[str, Any]) -> dict[str, Any]:
    """What a hunt named, where all of it would be wrong."""
    return {
        "inspected": found["inspected"],
        "verified triggers": len(found["triggers"]),
        "labels named": ", ".join(one["label"] for one in found["affected_labels"]) or "none",
        "rejected": len(found["rejected"]),
        "clean pairs sighted": len({one["pair"] for one in found["sightings"]}),
        "victims": len(found["victims"]),
        "seconds": found["seconds"],
        "seconds a picture": found["seconds_per_picture"],
    }


def figures(case: Case, truth: Manifest, found: dict[str, Any]) -> dict[str, Any]:
    """Victims, and sightings among the inspected, against the manifest."""
    poisoned, victims = set(truth.poisoned), set(found["victims"])
    right = len(victims & poisoned)
    sighted = {one["pair"] for one in found["sightings"]}
    boxes = {row["id"]: row["box_xyxy"] for row in truth.rows}
    best = found["triggers"][0] if found["triggers"] else None
    return {
        "inspected": found["inspected"],
        "verified triggers": len(found["triggers"]),
        "rejected": len(found["rejected"]),
        "best flip rate": best["flip_rate"] if best else None,
        "n": best["n"] if best else None,
        "best box IoU": best_iou(best, boxes),
        "poisons sighted": f"{len(sighted & poisoned)} of {len(poisoned)}",
        "clean pairs sighted": len(sighted - poisoned),
        "victims": len(victims),
        "victim precision": right / len(victims) if victims else None,
        "victim recall": right / len(poisoned),
        "seconds": found["seconds"],
        "seconds a picture": found["seconds_per_picture"],
    }


def best_iou(best: dict[str, Any] | None, boxes: dict[str, Any]) -> float | None:
    """Overlap of the best trigger's box with the nearest true one; None where there is none."""
    true = boxes.get(best["pair"]) if best else None
    return max(iou(best["box"], one) for one in true) if best and true else None


def iou(a: list[int], b: list[int]) -> float:
    """Overlap of two boxes [x0, y0, x1, y1], as a share of their union."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    return wide * high / (sum(areas) - wide * high)


if __name__ == "__main__":
    main()
