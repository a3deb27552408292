"""Hunts against the truth: on the demo case, on other planted patches, and where nothing is planted.

A hunt sees no truth: it reads the scan's ranking, the segmenter, the trusted model and the suspect.
Beside the demo stand suspects with worlds, weights and poison of their own (`_suspects.py`), each
as a case of its pairs alone; of a sound one every trigger, label and victim named is false. The
figures of a hunt are kept, so that a stopped benchmark goes on where it was.
"""

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from _attack_table import poisoning
from _record import RECORDED, arguments, demo_case, keep, kept, publish, say
from _suspect_case import suspect_case
from _suspects import FOLDER, suspect

from clipforensics.attacks.manifest import Manifest
from clipforensics.cases.evidence import REVISIONS
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.settings import digest
from clipforensics.jobs.hunting.triggers import hunt

SUSPECTS = "badnets:0.01,badnets_corner:0.01,badnets_redrawn:0.03,clean:0"


def main() -> None:
    """One row per hunt over the `--top` most suspicious pairs; `--seeds` of each suspect."""
    asked = arguments(
        __doc__ or "",
        top=200,
        demo="yes",
        suspects=SUSPECTS,
        seeds=3,
        folder=FOLDER,
        records=RECORDED / "hunts",
    )
    settings = HuntSettings(top=asked.top)
    rows = [hunted_demo(asked, settings)] if asked.demo == "yes" else []
    for one in filter(None, asked.suspects.split(",")):
        name, rate = one.rsplit(":", 1)
        rows += kept(
            [hunted(name, float(rate), seed, settings, asked) for seed in range(asked.seeds)]
        )
    shown = [{k: v for k, v in row.items() if k not in ("made", "versions")} for row in rows]
    publish("oracle", shown, asked)


def hunted_demo(asked: Namespace, settings: HuntSettings) -> dict[str, Any]:
    """The demo case, `--case` or a fresh one."""
    with demo_case(asked.case) as case:
        found = hunt(case, settings, say)
        return {"case": "demo", **figures(found, case.truth)}


def hunted(name: str, rate: float, seed: int, settings: HuntSettings, asked: Namespace) -> Path:
    """The record of one suspect's hunt, made now unless it was hunted before."""
    key = digest([settings.sha256(), REVISIONS])[:12]  # what an earlier search found is not kept
    record = asked.records / f"{name}-{rate:g}-{seed}-{key}.json"
    if not record.is_file():
        made = suspect(poisoning(name, rate), seed, asked.folder)
        with tempfile.TemporaryDirectory() as scratch:
            case = suspect_case(Path(scratch) / "case", made, f"{name} {rate:g}, seed {seed}")
            found = hunt(case, settings, say)
        about = {"case": case.name, "asr": made.figures.get("asr")}
        keep(record, about | figures(found, made.pairs.manifest))
    return record


def figures(found: dict[str, Any], truth: Manifest | None) -> dict[str, Any]:
    """What a hunt named, against the manifest; without one all of it is false."""
    poisoned = set(truth.poisoned) if truth else set()
    victims, sighted = set(found["victims"]), {one["pair"] for one in found["sightings"]}
    right = len(victims & poisoned)
    best = found["triggers"][0] if found["triggers"] else {}
    boxes = {row["id"]: row["box_xyxy"] for row in truth.rows} if truth else {}
    return {
        "inspected": found["inspected"],
        "verified triggers": len(found["triggers"]),
        "rejected": len(found["rejected"]),
        "labels named": ", ".join(one["label"] for one in found["affected_labels"]) or "none",
        "best flip rate": best.get("flip_rate"),
        "n": best.get("n"),
        "best box IoU": best_iou(best, boxes),
        "poisons sighted": f"{len(sighted & poisoned)} of {len(poisoned)}",
        "clean pairs sighted": len(sighted - poisoned),
        "victims": len(victims),
        "victim precision": right / len(victims) if victims else None,
        "victim recall": right / len(poisoned) if poisoned else None,
        "seconds": found["seconds"],
        "seconds a picture": found["seconds_per_picture"],
    }


def best_iou(best: dict[str, Any], boxes: dict[str, Any]) -> float | None:
    """Overlap of the best trigger's box with the nearest true one; None where there is none."""
    true = boxes.get(best.get("pair", ""))
    return max(iou(best["box"], one) for one in true) if true else None


def iou(a: list[int], b: list[int]) -> float:
    """Overlap of two boxes [x0, y0, x1, y1], as a share of their union."""
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (a, b)]
    return wide * high / (sum(areas) - wide * high)


if __name__ == "__main__":
    main()
