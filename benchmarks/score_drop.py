"""Which pairs only the suspect believed: the CLIP score before a repair, after it, and how far it fell.

The suspects and repairs of `bench repair`'s table (3 % of 10,000 pairs; EftCLIP is given the planted
trigger). All pairs are scored by the suspect and by the repaired model; clean captions are swapped
among each other in some, after training: honest mistakes are no poison. The cells that `--records`
keeps are printed; `--measure` makes those that it lacks, about two minutes each.

`--part demo` reads every finished repair of a case whose truth is known, the demo case say (`repair.py`
makes one with each recipe).
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _attack_table import BLOCK, BUDGETS, embedded, embedded_captions, mistaken, poisoning
from _record import RECORDED, arguments, demo_case, keep, kept, publish, spread
from _repair_table import RATE, Cell, ingredients
from _suspects import FOLDER, Suspect, evaluator, suspect, truth_of
from repair import AGAINST, DEMO, named, until_stopped

from clipforensics.cases.case import Case
from clipforensics.config.train import LoopSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.detect.agreement import disagreement
from clipforensics.detect.metrics import evaluate
from clipforensics.jobs.runs import launcher
from clipforensics.jobs.runs.run_folder import Run
from clipforensics.jobs.scanning.embedded import embeddings, scored_rows, text_embeddings
from clipforensics.models.clip import load_clip
from clipforensics.train.loop import train

RECIPES = ("eftclip", "cleanclip")
RANKINGS = ("CLIP score before", "CLIP score after", "score drop")


def main() -> None:
    """`--part` names demo, table or both."""
    asked = arguments(
        __doc__ or "", part="table", attacks=AGAINST, recipes="", seeds=3, precision="bfloat16", folder=FOLDER,
        records=RECORDED / "score_drop", measure=False,
    )  # fmt: skip
    for part in named(asked.part, ("demo", "table"), ()):
        (on_demo if part == "demo" else over_attacks)(asked)


def on_demo(asked: Namespace) -> None:
    """One row for each finished repair and each ranking, the newest repair first."""
    with demo_case(asked.case or DEMO) as case:
        made = [run for run in launcher.runs(case.dir) if run.kind == "repair"]
        rows = [
            row for run in made if run.status().state == "succeeded" for row in by_run(case, run)
        ]
    publish("score drop on the demo", rows, asked)


def by_run(case: Case, run: Run) -> Iterator[dict[str, Any]]:
    """Every ranking's figures, by the suspect's kept embeddings and those of the run's last weights."""
    assert case.truth is not None
    rows, truth, result = scored_rows(case), case.truth.poisoned, run.result() or {}
    known = np.array([case.pairs.ids[row] in truth for row in rows])
    was = disagreement(*(np.asarray(read(case))[rows] for read in (embeddings, text_embeddings)))
    model = load_clip(str(DEMO_MODEL), run.checkpoints()[-1])
    blocks = [rows[at : at + BLOCK] for at in range(0, len(rows), BLOCK)]
    x = np.concatenate(
        [model.encode_pictures(case.pairs.frames(one, model.side)) for one in blocks]
    )
    now = disagreement(x, embedded_captions(model, [case.pairs.captions[row] for row in rows]))
    for name, score in zip(RANKINGS, (was, now, now - was), strict=True):
        found = evaluate(score, known)
        yield {
            "run": run.id, "recipe": result.get("recipe"),
            "ASR": result.get("asr_after"), "CA": result.get("ca_after"),
            "ranking": name, "n": found["n"], "poisons": found["poisoned"],
            "AUROC": found["auroc"], "AP": found["average_precision"],
            **{f"recall at {float(one):.1%}": found["recall_at_budget"][one] for one in BUDGETS},
        }  # fmt: skip


def over_attacks(asked: Namespace) -> None:
    """One row for each attack, recipe, share of swapped captions and ranking."""
    cells = [
        Cell(attack, seed, recipe, asked.precision)
        for recipe in named(asked.recipes, RECIPES, RECIPES)
        for seed in range(asked.seeds)
        for attack in asked.attacks.split(",")
    ]
    if asked.measure:
        with until_stopped():
            fill(cells, asked.records, asked.folder)
    records = kept([one.path(asked.records) for one in cells])
    publish(
        "score drop", list(shown(records)), asked,
        poison_rate=RATE, seeds=asked.seeds, cells=f"{len(records)} of {len(cells)}",
    )  # fmt: skip


def fill(cells: list[Cell], records: Path, folder: Path) -> None:
    """Measure what is not recorded yet; each cell is written as it is done."""
    left = [one for one in cells if not one.path(records).is_file()]
    began = time.perf_counter()
    for done, cell in enumerate(left, start=1):
        keep(cell.path(records), measure(cell, folder))
        ahead = (time.perf_counter() - began) / done * (len(left) - done)
        sys.stderr.write(f"{done} of {len(left)} cells, about {ahead / 60:.0f} min left\n")


def measure(cell: Cell, folder: Path) -> dict[str, Any]:
    """Repair one suspect, and rank its pairs by what both models say of them."""
    made = suspect(poisoning(cell.attack, RATE), cell.seed, folder)
    assert made.poison is not None
    before = embedded(made)
    model, data, recipe = ingredients(cell, made)
    train(
        model, data, recipe, cell.settings, LoopSettings(evaluate_every=10**9, evaluate_start=False)
    )
    after = embedded(replace(made, encoder=model, given=made.pairs))
    return {
        "attack": cell.attack, "seed": cell.seed, "recipe": cell.recipe,
        "settings": cell.settings.model_dump(mode="json"), "before": made.figures,
        "after": evaluator(made.world, truth_of(made.world, made.poison))(model),
        "swapped": dict(swapped(before, after, made, cell.seed)),
    }  # fmt: skip


def swapped(
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    made: Suspect,
    seed: int,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every ranking's figures, by the share of clean pairs that have each other's captions."""
    truth = made.pairs.poisoned
    for share, order in mistaken(truth, seed):
        was, now = (disagreement(x, captions[order]) for x, captions in (before, after))
        scores = dict(zip(RANKINGS, (was, now, now - was), strict=True))
        yield f"{share:g}", {name: evaluate(one, truth) for name, one in scores.items()}


def shown(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Means and deviations over the seeds."""
    for attack, recipe in dict.fromkeys((one["attack"], one["recipe"]) for one in records):
        own = [one for one in records if (one["attack"], one["recipe"]) == (attack, recipe)]
        for share in own[0]["swapped"]:
            for ranking in RANKINGS:
                found = [one["swapped"][share][ranking] for one in own]
                yield {
                    "attack": attack, "recipe": recipe, "seeds": len(own), "captions swapped": share,
                    "ASR before": spread([one["before"]["asr"] for one in own]),
                    "ASR": spread([one["after"]["asr"] for one in own]),
                    "ranking": ranking, "n": found[0]["n"], "poisons": found[0]["poisoned"],
                    "AUROC": spread([one["auroc"] for one in found]),
                    "AP": spread([one["average_precision"] for one in found]),
                    **{
                        f"recall at {float(budget):.1%}": spread(
                            [one["recall_at_budget"][budget] for one in found]
                        )
                        for budget in BUDGETS
                    },
                }  # fmt: skip


if __name__ == "__main__":
    main()
