"""What each recipe does to the demo's planted backdoor, and what it costs in plain CLIP epochs.

EftCLIP heals the triggers that the hunt found itself; ASR is measured with the planted one, and
with the found one beside it. Every recipe runs through the command a reviewer would type.

A recipe that has run on the case with the newest hunt is not run again, so a stopped benchmark goes on;
without `--case` the demo case is made in `build/demo`, and kept.

The other table is recipes against attacks over `--seeds` suspects each, with the undefended row: equal
clean budget and steps where a recipe fine-tunes, equal epochs where it trains anew. Each that fine-tunes
is tried at its own rate and at `--rates`. There EftCLIP is given the planted trigger. It takes hours on
two cores: the cells that `--records` keeps are printed, and `--part attacks` measures those that it
lacks. Ctrl-C ends the measuring; what is there is printed.
"""

import json
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from _attack_table import ATTACKS
from _record import RECORDED, arguments, demo_case, kept, publish
from _repair_table import EPOCHS, PAIRS, POOL, RATE, Cell, fill, shown
from _suspects import FOLDER

from clipforensics.cases.case import Case
from clipforensics.config.repair import RECIPE_SETTINGS, RETRAIN, RepairSettings, recipe_settings
from clipforensics.jobs.hunting.hunts import kept_hunts
from clipforensics.jobs.runs import launcher
from clipforensics.jobs.runs.run_folder import Run

RECIPES = ("eftclip", "cleanclip", "finetune", "safeclip", "roclip", "filter")
AGAINST = "badnets,blend,sig,clean_label"
OVER_ATTACKS = ("finetune", "cleanclip", "eftclip", "safeclip", "filter", "roclip")
"""The quick ones first: a table that is stopped has most of its rows."""
DEMO = Path("build/demo")
SHOWN = (
    "ca_before", "ca_after", "asr_before", "asr_after", "asr_high_after", "r1_before", "r1_after", "cost_in_plain_epochs",
    "train_seconds", "seconds",
)  # fmt: skip


def main() -> None:
    """`--part` names any of demo, table (what is recorded) and attacks (measures what is not).

    `--there` measures nothing on the demo, either.
    """
    asked = arguments(
        __doc__ or "", part="demo,table", recipes="", attacks=AGAINST, seeds=3, precision="bfloat16",
        rates="0.0001,0.001", folder=FOLDER, there=False, records=RECORDED / "repairs",
    )  # fmt: skip
    parts = named(asked.part, ("demo", "table", "attacks"), ())
    for part in parts:
        if part == "demo":
            on_demo(asked)
        else:
            over_attacks(asked, measure=part == "attacks" and not asked.there)


def over_attacks(asked: Namespace, measure: bool) -> None:
    """Attack by recipe, seed by seed so that a world is drawn once."""
    rates = [float(rate) for rate in asked.rates.split(",") if rate]
    cells = [
        cell
        for seed in range(asked.seeds)
        for attack in named(asked.attacks, ATTACKS, ())
        for recipe in named(asked.recipes, RECIPE_SETTINGS, OVER_ATTACKS)
        for cell in varied(Cell(attack, seed, recipe, asked.precision), rates)
    ]
    if measure:
        with until_stopped():
            fill(cells, asked.records, asked.folder)
    records = kept([one.path(asked.records) for one in cells])
    publish(
        "repair over attacks", list(shown(records)), asked,
        pairs=PAIRS, poison_rate=RATE, clean_pool=POOL, epochs_anew=EPOCHS, seeds=asked.seeds,
        precision=asked.precision, cells=f"{len(records)} of {len(cells)}",
    )  # fmt: skip


def varied(cell: Cell, rates: Sequence[float] = ()) -> list[Cell]:
    """The cell; the same at other rates where it fine-tunes, for one rate may suit one recipe only;
    after filtering by score, the control that drops as many pairs at random."""
    if cell.recipe == "filter":
        return [cell, replace(cell, changes=(("at_random", True),))]
    if cell.recipe in RETRAIN:
        return [cell]
    others = [rate for rate in rates if rate != cell.settings.rate]
    return [cell, *(replace(cell, changes=(("rate", rate),)) for rate in others)]


def on_demo(asked: Namespace) -> None:
    """One run per recipe on the demo case, after a hunt."""
    with demo_case(asked.case or DEMO) as case:
        found = cli("triggers", str(case.dir))
        recipes = named(asked.recipes, RECIPE_SETTINGS, RECIPES)
        made = {name: result for name in recipes if (result := run_before(case, name))}
        sys.stderr.write(f"{len(made)} of {len(recipes)} recipes have run on {case.dir}.\n")
        if not asked.there:
            with until_stopped():
                for name in recipes:
                    if name in made:
                        continue
                    began = time.perf_counter()
                    made[name] = cli("repair", str(case.dir), "--recipe", name)
                    sys.stderr.write(f"{name}: {time.perf_counter() - began:.0f} s\n")
        rows = [
            {"recipe": name, "n": made[name]["n"], "n_ca": made[name]["n_ca"]} | figures(made[name])
            for name in recipes
            if name in made
        ]
        publish(
            "repair", rows, asked,
            triggers=len(found["triggers"]), affected=[one["label"] for one in found["affected_labels"]],
        )  # fmt: skip


def run_before(case: Case, recipe: str) -> dict[str, Any] | None:
    """The result of the newest run that did just this with the newest hunt."""
    found = default_run(case, recipe, kept_hunts(case)[0].folder.name)
    return found and found.result()


def default_run(case: Case, recipe: str, hunt: str | None = None) -> Run | None:
    """The newest finished run of the recipe as it is by default now, measured on as many pictures and
    pairs, with this hunt or with any."""
    default = RepairSettings.model_validate({"recipe": recipe})
    asked, tested = recipe_settings(default), ("test_pictures", "retrieval_pairs")
    for run in launcher.runs(case.dir):
        if run.kind != "repair" or run.status().state != "succeeded":
            continue
        made = run.result() or {}
        alike = made.get("recipe") == recipe and made.get("settings") == asked.model_dump(
            mode="json"
        )
        alike &= all(
            run.config.get(name, getattr(default, name)) == getattr(default, name)
            for name in tested
        )
        if alike and hunt in (None, made.get("hunt")):
            return run
    return None


def named(text: str, known: Any, default: Any) -> list[str]:
    """The names in a list with commas; one that is unknown ends the benchmark in a sentence."""
    names = text.split(",") if text else list(default)
    strange = [name for name in names if name not in known]
    if strange:
        raise SystemExit(f"{strange[0]!r} is unknown; there are {', '.join(known)}.")
    return names


@contextmanager
def until_stopped() -> Iterator[None]:
    """Ctrl-C ends the measuring; what is done is printed all the same."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; this is what is there.\n")


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
