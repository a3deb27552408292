"""What the cells of the attack table say: rows by attack, rate and detector, and the conclusions."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from _attack_table import BUDGETS, PAST_CONCEPT, TARGETS
from _record import spread

from clipforensics.config.attack import WORKING_ATTACK
from clipforensics.data.demo_world import TARGET

NEAR = 0.02
"""Of AUROC: how far below the best single scale a ranking may lie."""
JOINED = ("scales", "clip", "combined")
Records = list[dict[str, Any]]


def shown(records: Records) -> Iterator[dict[str, Any]]:
    """One row per attack, rate and detector: mean and deviation over the seeds."""
    for attack, rate, own in by_row(poisoned(records)):
        success = spread([succeeded(one) for one in own])
        for detector in own[0]["detectors"]:
            found = [one["detectors"][detector] for one in own]
            yield {
                "attack": attack, "rate": rate, "poisons": own[0]["poisons"], "seeds": len(own),
                "asr_or_psr": success["mean"], "asr_sd": success["sd"],
                "ca": float(np.mean([one["figures"]["ca"] for one in own])),
                "working": success["mean"] >= WORKING_ATTACK, "detector": detector,
                **_figures(found), "target_first": sum(target_first(one) for one in own),
            }  # fmt: skip


def by_row(records: Records) -> Iterator[tuple[str, float, Records]]:
    """Attack, rate, and the cells of its seeds."""
    for attack, rate in dict.fromkeys((one["attack"], one["rate"]) for one in records):
        own = [one for one in records if (one["attack"], one["rate"]) == (attack, rate)]
        yield attack, rate, own


def poisoned(records: Records) -> Records:
    """Without the cells of clean models."""
    return [one for one in records if one["attack"] != "clean"]


def succeeded(record: dict[str, Any]) -> float:
    """The planted attack's ASR; for targeted poisoning the PSR."""
    figures = record["figures"]
    return figures["asr"] if "asr" in figures else figures["psr"]


def works(records: Iterable[dict[str, Any]]) -> bool:
    """Whether an attack works, by its mean over these cells."""
    return bool(np.mean([succeeded(one) for one in records]) >= WORKING_ATTACK)


def past_concept(attack: str, rate: float) -> bool:
    """Whether a row stamps more of the target's own pairs than an attack of its kind does."""
    return rate in PAST_CONCEPT.get(attack, ())


def _figures(found: Records) -> dict[str, float]:
    auroc = spread([one["auroc"] for one in found])
    row = {"auroc": auroc["mean"], "auroc_sd": auroc["sd"]}
    row["average_precision"] = float(np.mean([one["average_precision"] for one in found]))
    for budget in BUDGETS:
        recalls = [one["recall_at_budget"][budget] for one in found]
        row[f"recall_at_{budget}"] = float(np.mean(recalls))
    return row


def told(records: Records) -> dict[str, Any]:
    """What the issue of an unknown rate and target comes to, over the combinations that work."""
    cells = poisoned(records)
    working = [one for one in cells if succeeded(one) >= WORKING_ATTACK]
    clean = [one["suspected"] for one in records if one["attack"] == "clean"]
    return {
        "combinations": len(cells), "working": len(working),
        "pairs that are counted with others as one, exact copies too": {
            f"{one['attack']} {one['rate']:g}, seed {one['seed']}": one["counted_once"]["rows"]
            for one in records if one.get("counted_once", {}).get("groups")
        },
        "rows within .02 of their best scale": {
            name: beside_best(cells, name) for name in ("scales", "combined")
        },
        "combined, single cells within .02": by_cells(cells),
        "combined, rows within .02 of the better of its parts": beside_parts(cells),
        "AUROC / recall in the top 1 %": {
            "working cells": averages(working), "all cells": averages(cells),
        },
        "captions swapped in clean pairs": with_mistakes(cells),
        "target first among suspected labels": f"{sum(map(target_first, working))} of {len(working)} working",
        "labels suspected of clean models": [
            [f"{one['name']} (lift at least {one['lift_low']:.1f})" for one in names]
            for names in clean
        ],
    }  # fmt: skip


def beside_best(records: Records, detector: str) -> dict[str, Any]:
    """How far below the best single scale a ranking lies: means over the seeds of each row.

    The best scale is chosen by the truth, row by row; the ranking is not. Rows that poison more of
    the target's own pairs than an attack of their kind is (`PAST_CONCEPT`) are told apart as well.
    """
    gaps, past, working = {}, {}, []
    for attack, rate, own in by_row(records):
        gap, name = _gap(own, detector), f"{attack} {rate:g}"
        if past_concept(attack, rate):
            past[name] = gap
            continue
        gaps[name] = gap
        if works(own):
            working.append(gap)
    far = {name: round(gap, 4) for name, gap in gaps.items() if gap > NEAR}
    near = len(gaps) - len(far)
    return {
        "all rows": f"{near + _near(past.values())} of {len(gaps) + len(past)}",
        "working": f"{_near(working)} of {len(working)}",
        "worst working": max(working, default=None),
        "without those that stamp most of a concept": f"{near} of {len(gaps)}",
        "worst of these": max(gaps.values(), default=None),
        "farther below": far,
        "most of the concept stamped": {name: round(gap, 4) for name, gap in past.items()},
    }


def _gap(own: Records, detector: str) -> float:
    best = max(np.mean([one["scales"][scale] for one in own]) for scale in own[0]["scales"])
    return float(best - np.mean([one["detectors"][detector]["auroc"] for one in own]))


def _near(gaps: Iterable[float]) -> int:
    return sum(gap <= NEAR for gap in gaps)


def by_cells(records: Records) -> dict[str, str]:
    """Each cell as a row of its own, and each seed's rows alone; what is past a concept left out."""
    kept = [one for one in records if not past_concept(one["attack"], one["rate"])]
    seeds = sorted({one["seed"] for one in kept})
    cells = {f"seed {seed}": [one for one in kept if one["seed"] == seed] for seed in seeds}
    return {name: _told_of(some) for name, some in {"all": kept, **cells}.items()}


def _told_of(cells: Records) -> str:
    gaps = [_gap([one], "combined") for one in cells]
    own = [gap for gap, one in zip(gaps, cells, strict=True) if works([one])]
    worst = f", at most {max(own):.4f} below" if own else ""
    return f"{_near(gaps)} of {len(gaps)}; working {_near(own)} of {len(own)}{worst}"


def beside_parts(records: Records) -> dict[str, str]:
    """How many rows the joined ranking holds beside density alone or the CLIP score alone."""
    near: dict[str, list[bool]] = {"working": [], "all": []}
    for _, _, own in by_row(records):
        means = {name: np.mean([one["detectors"][name]["auroc"] for one in own]) for name in JOINED}
        close = bool(max(means["scales"], means["clip"]) - means["combined"] <= NEAR)
        for name in ("all", "working") if works(own) else ("all",):
            near[name].append(close)
    return {name: f"{sum(some)} of {len(some)}" for name, some in near.items()}


def averages(records: Records) -> dict[str, str]:
    """Means over cells, by ranking."""
    found = {}
    for name in JOINED:
        own = [one["detectors"][name] for one in records]
        auroc = np.mean([one["auroc"] for one in own])
        recall = np.mean([one["recall_at_budget"]["0.01"] for one in own])
        found[name] = f"{auroc:.3f} / {recall:.3f}"
    return found


def with_mistakes(records: Records) -> dict[str, Any]:
    """Means over the cells whose attack works, by share of captions swapped."""
    working = [one for one in records if succeeded(one) >= WORKING_ATTACK and "swapped" in one]
    if not working:
        return {}
    return {
        share: {
            name: {
                figure: float(np.mean([one["swapped"][share][name][figure] for one in working]))
                for figure in ("auroc", "recall_at_0.01")
            }
            for name in working[0]["swapped"][share]
        }
        for share in working[0]["swapped"]
    }


def target_first(record: dict[str, Any]) -> bool:
    """Whether a target label leads the suspected ones."""
    return any(one["name"] in targets(record) for one in record["suspected"][:1])


def targets(record: dict[str, Any]) -> tuple[str, ...]:
    """Target labels of a cell."""
    return (TARGET, *TARGETS) if record["attack"] == "mt_m" else (TARGET,)
