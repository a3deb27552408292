"""How well each detector ranks poison: on the demo case, and over attacks, poison rates and seeds.

Undefended ASR and CA stand beside every row; the whole set as reference and the feature norm are
controls. The tables over attacks train a suspect for every row and seed, hours on two cores: as they
stand they are printed from the file that the Lab page reads, and `--part attacks` measures them
anew; a cell that is done is kept, so a stopped benchmark goes on. `clean` has the sound models
alone: what would be flagged when nothing is wrong.
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from _attack_pages import pages
from _attack_table import ATTACKS, measured, table
from _attack_told import shown, told
from _clean_models import BUDGET, FALSE_RATE, HELD_OUT, PERCENTILE, clean_rows
from _record import arguments, demo_case, publish, spread
from _suspects import FOLDER

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import write_json
from clipforensics.cases.provenance import utc_now, versions
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.metrics import evaluate
from clipforensics.detect.reference import score
from clipforensics.jobs.attacking.demo import measure_backdoor
from clipforensics.jobs.scanning.scan import embeddings, scored_rows

DETECTORS = ("lof", "slof", "dao", "kdist", "lid", "iforest")
FIGURES = ("auroc", "average_precision")
BUDGETS = ("0.001", "0.01", "0.05")
COMMAND = "clipforensics bench detection --part attacks"
RESULTS = Path(__file__).resolve().parents[1] / "assets" / "results" / "detection.json"


def main() -> None:
    """`--part` names any of demo, tables, attacks and clean, or all that can be measured.

    `--only measured` reads what is done; `--out` writes the Lab page's file, and keeps its rows
    that were not measured now.
    """
    asked = arguments(
        __doc__ or "", seeds=5, part="demo,tables", attacks=",".join(ATTACKS), attack_seeds=3,
        folder=str(FOLDER), only="all", out="",
    )  # fmt: skip
    measure = {"demo": on_demo, "attacks": over_attacks, "clean": on_clean}
    parts = list(measure) if asked.part == "all" else asked.part.split(",")
    if strange := [part for part in parts if part not in {"tables", *measure}]:
        raise SystemExit(f"--part {strange[0]}: choose {', '.join(measure)}, tables or all.")
    for part in parts:
        measure.get(part, recorded)(asked)


def recorded(asked: Namespace) -> None:
    """The tables over attacks as they were measured last."""
    path = Path(asked.out or RESULTS)
    print(path.read_text(encoding="utf-8") if asked.json else pages(path))


def over_attacks(asked: Namespace) -> None:
    """Attack by rate by detector, over independent suspects; the Attack lab shows the same rows."""
    attacks, folder = asked.attacks.split(","), Path(asked.folder)
    if asked.only == "measured":
        records = measured(attacks, asked.attack_seeds, folder)
    else:
        records = table(attacks, asked.attack_seeds, folder)
    rows = list(shown(records))
    if asked.out:
        Path(asked.out).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(asked.out), {
            "rows": beside(Path(asked.out), rows), "command": COMMAND, "made": utc_now(), "versions": versions(),
        })  # fmt: skip
    publish("detection over attacks", rows, asked, **told(records))


def beside(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These rows, and those that a file has of attacks and rates that were not measured now, in the table's order."""
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    anew = {(one["attack"], one["rate"]) for one in rows}
    joined = [one for one in before if (one["attack"], one["rate"]) not in anew] + rows
    place = {attack: at for at, attack in enumerate(ATTACKS)}
    return sorted(joined, key=lambda one: (place.get(one["attack"], len(place)), one["rate"]))


def on_clean(asked: Namespace) -> None:
    """Sound models over their own clean pairs, by the default ranking."""
    publish(
        "detection where nothing is wrong", list(clean_rows(asked.attack_seeds, Path(asked.folder))),
        asked, ranking="combined", cuts=f"percentile {PERCENTILE:g}, budget {BUDGET}",
        clean=f"{HELD_OUT:,} pairs, false rate {FALSE_RATE:g}",
    )  # fmt: skip


def on_demo(asked: Namespace) -> None:
    """Every detector, raw and normalized, over `--seeds` seeds of reference draws."""
    with demo_case(asked.case) as case:
        rows = list(scored(case, asked.seeds))
        measured = measure_backdoor(case)
        assert case.truth is not None
        publish(
            "detection", rows, asked,
            ca=measured["ca"], asr=measured["asr"], n=measured["n_asr"],
            poisons=len(case.truth.poisoned), pairs=len(case.pairs), seeds=asked.seeds,
            reference="B 2048, k 16, 5 draws a seed",
        )  # fmt: skip


def scored(case: Case, seeds: int):
    """One row per detector, features and reference."""
    assert case.truth is not None
    rows = scored_rows(case)
    x = np.asarray(embeddings(case))[rows]
    truth = np.array([case.pairs.ids[row] in case.truth.poisoned for row in rows])
    for normalize in (False, True):
        for name in DETECTORS:
            settings = [ReferenceSettings(seed=s, normalize=normalize) for s in range(seeds)]
            yield _row(name, x, truth, settings, normalize)
    for name in ("lof", "slof"):
        yield _row(name, x, truth, [ReferenceSettings(reference_size="all")], False)
    norm = evaluate(np.linalg.norm(x.astype(np.float64), axis=1), truth)
    yield {"detector": "feature norm", "features": "raw", "reference": "none", **_spread([norm])}


def _row(name, x, truth, settings, normalize):
    found = [evaluate(score(x, name, DensitySettings(), s).mean, truth) for s in settings]
    return {
        "detector": name,
        "features": "normalized" if normalize else "raw",
        "reference": str(settings[0].reference_size),
        **_spread(found),
    }


def _spread(found):
    shown = {name: spread([one[name] for one in found]) for name in FIGURES}
    recall = {f"recall@{b}": spread([one["recall_at_budget"][b] for one in found]) for b in BUDGETS}
    return shown | recall


if __name__ == "__main__":
    main()
