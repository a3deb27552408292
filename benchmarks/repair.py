"""What each recipe does to the demo's planted backdoor, and what it costs in plain CLIP epochs.

EftCLIP heals the triggers that the hunt found itself; ASR is measured with the planted one, and
with the found one beside it. Every recipe runs through the command a reviewer would type.

With `--attacks badnets,blend` it is another table: recipes against attacks over `--seeds` suspects
each, at equal clean budget and steps, with the undefended row. There EftCLIP is given the planted
trigger. A cell that is done is kept in `--folder`, so a stopped benchmark goes on.
"""

import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from _record import arguments, demo_case, publish
from _repair_table import PAIRS, POOL, RATE, Cell, shown, table
from _suspects import FOLDER

RECIPES = ("eftclip", "cleanclip", "finetune", "safeclip", "roclip", "filter")
OVER_ATTACKS = ("finetune", "cleanclip", "eftclip", "roclip", "filter")
"""Without SafeCLIP, which takes far longer; `--recipes` names it where it is wanted."""
SHOWN = (
    "ca_before", "ca_after", "asr_before", "asr_after", "asr_high_after", "r1_before", "r1_after", "cost_in_plain_epochs",
    "train_seconds", "seconds",
)  # fmt: skip


def main() -> None:
    """The demo case, or with `--attacks` a table over attacks."""
    asked = arguments(__doc__ or "", recipes="", attacks="", seeds=3, folder=str(FOLDER))
    if asked.attacks:
        over_attacks(asked)
    else:
        on_demo(asked)


def over_attacks(asked: Namespace) -> None:
    """Attack by recipe, seed by seed so that a world is drawn once."""
    recipes = asked.recipes.split(",") if asked.recipes else OVER_ATTACKS
    cells = [
        cell
        for seed in range(asked.seeds)
        for attack in asked.attacks.split(",")
        for recipe in recipes
        for cell in controlled(Cell(attack, seed, recipe))
    ]
    records = table(cells, Path(asked.folder))
    publish(
        "repair over attacks", list(shown(records)), asked,
        pairs=PAIRS, poison_rate=RATE, clean_pool=POOL, seeds=asked.seeds,
    )  # fmt: skip


def controlled(cell: Cell) -> list[Cell]:
    """The cell; after filtering by score, the control that drops as many pairs at random."""
    at_random = replace(cell, changes=(("at_random", True),))
    return [cell, at_random] if cell.recipe == "filter" else [cell]


def on_demo(asked: Namespace) -> None:
    """One run per recipe on the demo case, after a hunt."""
    with demo_case(asked.case) as case:
        found = cli("triggers", str(case.dir))
        rows = []
        for recipe in asked.recipes.split(",") if asked.recipes else RECIPES:
            made = cli("repair", str(case.dir), "--recipe", recipe)
            rows.append({"recipe": recipe, "n": made["n"], "n_ca": made["n_ca"]} | figures(made))
        publish(
            "repair", rows, asked,
            triggers=len(found["triggers"]), affected=[one["label"] for one in found["affected_labels"]],
        )  # fmt: skip


def figures(made: dict[str, Any]) -> dict[str, Any]:
    """The shown figures, and ASR of the best found trigger after the repair."""
    found = made["triggers_after"].get("found 1", {})
    return {name: made.get(name) for name in SHOWN} | {"asr_found_after": found.get("asr")}


def cli(*words: str) -> dict[str, Any]:
    """What a command prints as JSON; its progress goes to stderr."""
    command = [sys.executable, "-m", "clipforensics", *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
