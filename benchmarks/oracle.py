"""The hunt on the demo case against the truth: target label, triggers, victims, and every poison inspected.

The hunt itself sees no truth: it reads the scan's ranking, the segmenter, the trusted model and
the suspect.
"""

from typing import Any

from _record import arguments, demo_case, publish, say

from clipforensics.attacks.manifest import Manifest
from clipforensics.cases.case import Case
from clipforensics.config.oracle import HuntSettings
from clipforensics.jobs.triggers import hunt


def main() -> None:
    """One hunt over the `--top` most suspicious pairs."""
    asked = arguments(__doc__ or "", top=200)
    with demo_case(asked.case) as case:
        found = hunt(case, HuntSettings(top=asked.top), say)
        assert case.truth is not None
        publish(
            "oracle", [figures(case, case.truth, found)], asked,
            affected=[one["label"] for one in found["affected_labels"]],
            target=case.truth.target,
            best_flip_rate=max((one["flip_rate"] for one in found["triggers"]), default=0.0),
        )  # fmt: skip


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
