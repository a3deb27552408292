"""Every recipe against every attack on suspects in memory; each cell is kept when it is done.

Fine-tuning recipes share one clean pool a seed (2 % of the pairs, from a world of its own), steps,
batch and rate; retraining ones share the poisoned pairs, first weights and number of epochs. No hunt
is run here: EftCLIP is given the planted trigger, and its rows say so. What it does with triggers
it found itself is measured on the demo case.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _attack_table import embedded, poisoning
from _record import keep, spread
from _suspects import FIRST_SEED, PAIRS, Suspect, evaluator, suspect, truth_of

from clipforensics.attacks.stamping import Attack
from clipforensics.attacks.writing import built
from clipforensics.config.attack import WORKING_ATTACK, FixedPatchSettings
from clipforensics.config.recipes import FilterSettings, FineTuneSettings, SafeClipSettings
from clipforensics.config.repair import RETRAIN, RecipeSettings, RepairSettings, recipe_settings
from clipforensics.config.settings import digest
from clipforensics.config.train import LoopSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.detect.agreement import disagreement
from clipforensics.detect.apart import RULE as MEASURED
from clipforensics.detect.combined import RULE as RULE_OF_COMBINED
from clipforensics.detect.combined import Footings, combined
from clipforensics.detect.frequent import counted
from clipforensics.detect.scales import score_scales
from clipforensics.jobs.scanning.scoring import scale_settings
from clipforensics.models.clip import OpenClipEncoder, new_clip
from clipforensics.repair import load
from clipforensics.repair.curate import curate
from clipforensics.repair.eftclip import Stamp, Stamper
from clipforensics.repair.filter import drop_highest
from clipforensics.train.loop import train
from clipforensics.train.recipe import Recipe, TrainingData

RATE = 0.03
"""So many poisons make Blended and SIG work within three epochs; at 1 % they hardly do."""
CONTROL = "finetune"
POOL = PAIRS // 50
SAFECLIP = SafeClipSettings()
EPOCHS = SAFECLIP.unimodal_epochs + len(SAFECLIP.slow_rates) + SAFECLIP.main_epochs
"""Of every recipe that trains anew: as many as SafeCLIP's three stages have together."""
UNDEFENDED = "undefended"
REVISION = 1
"""Of what a cell measures: raise it where a recipe or its measuring changes, so that no old cell stands."""
RANKING = digest([RULE_OF_COMBINED, MEASURED])[:12]
"""The rule by which the filter drops pairs. A cell of a former rule stands, and its row says so."""


@dataclass(frozen=True)
class Cell:
    """One repair: which attack, seed and recipe, and what departs from its defaults."""

    attack: str
    seed: int
    recipe: str
    precision: str = "float32"
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> RecipeSettings:
        """The recipe's own, with the clean budget where it fine-tunes."""
        changes = {"precision": self.precision, "seed": self.seed, **dict(self.changes)}
        if self.recipe not in RETRAIN:
            changes["pairs"] = POOL
        elif self.recipe != "safeclip":
            changes.setdefault("epochs", EPOCHS)
        return recipe_settings(
            RepairSettings.model_validate({"recipe": self.recipe, "changes": changes})
        )

    def path(self, records: Path) -> Path:
        """Where its record is kept."""
        key = digest(
            {
                "settings": self.settings.model_dump(mode="json"),
                "pairs": PAIRS,
                "rate": RATE,
                "revision": REVISION,
            }
        )
        return records / f"{self.attack}-{self.seed}-{self.recipe}-{key[:8]}.json"


@dataclass(frozen=True)
class Planted:
    """The planted attack as a stamper: it has its own places, and no size to vary."""

    attack: Attack

    def copied(
        self, picture: np.ndarray, rng: np.random.Generator, low: float, high: float
    ) -> np.ndarray:
        """Stamped as the attacker stamps."""
        return self.attack.stamp(picture, rng)[0]


def fill(cells: Sequence[Cell], records: Path, folder: Path) -> None:
    """Measure what is not recorded yet; each cell is written as it is done.

    Args:
        folder: of the suspects' weights.
    """
    left = [one for one in cells if not one.path(records).is_file()]
    sys.stderr.write(
        f"{len(cells) - len(left)} of {len(cells)} cells are there. {cost(left, records)}\n"
    )
    for done, cell in enumerate(left, start=1):
        began = time.perf_counter()
        record = measure(cell, folder)
        record["cell_seconds"] = time.perf_counter() - began
        keep(cell.path(records), record)
        sys.stderr.write(
            f"{done} of {len(left)} cells: {cell.attack}, {cell.seed}, {cell.recipe}, "
            f"{record['cell_seconds']:.0f} s\n"
        )


def cost(cells: Sequence[Cell], records: Path) -> str:
    """What measuring these cells will take, by what such recipes took before."""
    if not cells:
        return "Nothing is left to measure."
    said = []
    for recipe in dict.fromkeys(one.recipe for one in cells):
        count = sum(one.recipe == recipe for one in cells)
        paths = records.glob(f"*-{recipe}-*.json")
        before = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        took = [one.get("cell_seconds") or one["seconds"] for one in before]
        each = f"about {np.median(took):,.0f} s each" if took else "not timed here yet"
        said.append(f"{count} {recipe} ({each})")
    return f"To measure: {', '.join(said)}; and a minute or two for each suspect that is not there yet."


def measure(cell: Cell, folder: Path) -> dict[str, Any]:
    """Repair one suspect, and measure it as it was measured before."""
    made, s = suspect(poisoning(cell.attack, RATE), cell.seed, folder), cell.settings
    assert made.poison is not None
    if cell.recipe in RETRAIN:
        _ = made.pairs  # drawn now: drawing a world is no part of a repair
    began, worked = time.perf_counter(), time.process_time()
    model, data, recipe = ingredients(cell, made)
    loop = LoopSettings(evaluate_every=10**9, evaluate_start=False)
    splits: list[dict[str, Any]] = []
    out = train(model, data, recipe, s, loop, on_record=lambda one: splits.extend(_split_of(one)))
    seconds, work = time.perf_counter() - began, time.process_time() - worked
    after = evaluator(made.world, truth_of(made.world, made.poison))(model)
    return {
        "attack": cell.attack, "seed": cell.seed, "recipe": cell.recipe, "changes": dict(cell.changes),
        "settings": s.model_dump(mode="json"), "clean_pairs": 0 if cell.recipe in RETRAIN else len(data),
        "steps": out.step, "examples_seen": out.step * s.batch,
        "seconds": seconds, "processor_seconds": work,
        "before": made.figures, "after": after, "splits": splits, "ranking": RANKING,
    }  # fmt: skip


def _split_of(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What SafeCLIP trusted in an epoch: the truth is counted, and nothing learns from it."""
    if split := record.get("split"):
        yield {"epoch": split["epoch"], "safe_share": split["r"], **split["truth"]}


def ingredients(cell: Cell, made: Suspect) -> tuple[OpenClipEncoder, TrainingData, Recipe]:
    """What `jobs.repairing.preparing` makes from a case: model, pairs, recipe."""
    s, kind = cell.settings, load(cell.recipe)
    if cell.recipe in RETRAIN:
        return _retraining(cell, made)
    assert isinstance(s, FineTuneSettings)
    frames, captions, is_target = clean_pool(cell.seed, s, made)
    data = TrainingData(torch.from_numpy(frames), made.encoder.tokenize(captions))
    if cell.recipe == "eftclip":
        recipe = kind(made.encoder, data, is_target, stampers(made), s)
    elif cell.recipe == "cleanclip":
        recipe = kind(captions, made.encoder, data, s)
    else:
        recipe = kind(data, s)
    return made.encoder, data, recipe


def _retraining(cell: Cell, made: Suspect) -> tuple[OpenClipEncoder, TrainingData, Recipe]:
    s, kind, pairs = cell.settings, load(cell.recipe), made.pairs
    rows = np.arange(len(pairs.ids))
    if isinstance(s, FilterSettings):
        rows = drop_highest(_scores(made, s), rows, s.drop_share, s.at_random, s.seed).kept
    captions = [pairs.captions[row] for row in rows]
    model = new_clip(str(DEMO_MODEL), FIRST_SEED + cell.seed)
    data = TrainingData(torch.from_numpy(pairs.frames[rows]), model.tokenize(captions))
    if isinstance(s, FilterSettings):
        return model, data, kind(len(rows), s)
    if isinstance(s, SafeClipSettings):
        return model, data, kind(captions, model, s, pairs.poisoned)
    return model, data, kind(captions, model, s)


def _scores(made: Suspect, s: FilterSettings) -> np.ndarray:
    """What a case's default ranking gives these pairs, near-copies counted as there."""
    x, texts = embedded(made)
    copies, _ = counted(x, s.reference)
    apart = score_scales(x, scale_settings(s.reference), copies=copies).apart
    far = disagreement(x, texts)
    return combined(apart, far, Footings.of(apart, far))


def clean_pool(
    seed: int, s: FineTuneSettings, made: Suspect
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Clean pairs that no suspect has seen and no test shows: frames, captions, which name the target.

    Spread over the labels as a reviewer's curated set is, from ten times as many.
    """
    assert made.poison is not None
    world, names = DemoWorld(4 * FIRST_SEED + seed, 10 * s.pairs, 1), labels()
    named = [[names.index(one) for one in names.named_in(text)] for text in world.captions]
    targets = [names.index(one) for one in (made.poison.target, *made.poison.more_targets)]
    nothing = np.zeros(world.n_pairs, bool)
    chosen = curate(
        named, np.zeros(world.n_pairs), nothing, targets, s.pairs, s.target_share, None, seed
    )
    frames = np.stack([world.picture(int(row)) for row in chosen.rows])
    return frames, [world.captions[row] for row in chosen.rows], chosen.is_target


def stampers(made: Suspect) -> list[Stamper]:
    """The planted triggers: a fixed patch as a crop that can lie anywhere, any other as it is."""
    poison = made.poison
    assert poison is not None
    found: list[Stamper] = []
    for attack, (settings, target) in zip(
        built(poison, made.world.side), poison.parts, strict=True
    ):
        if isinstance(settings, FixedPatchSettings):
            pixels: np.ndarray = attack.pattern  # pyright: ignore
            found.append(Stamp(pixels, np.ones(pixels.shape[:2], bool), target))
        else:
            found.append(Planted(attack))
    return found


def shown(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per attack and recipe, means and deviations over the seeds; the undefended first."""
    for attack in dict.fromkeys(one["attack"] for one in records):
        own = [one for one in records if one["attack"] == attack]
        seeds = {one["seed"]: one["before"] for one in own}
        yield {
            "attack": attack, "recipe": UNDEFENDED, "seeds": len(seeds), "n": _n(own[0]["before"]),
            "ASR": spread([one["asr"] for one in seeds.values()]),
            "CA": spread([one["ca"] for one in seeds.values()]),
            "working": sum(one["asr"] >= WORKING_ATTACK for one in seeds.values()),
        }  # fmt: skip
        plain = [one for one in own if one["recipe"] == CONTROL and not one["changes"]]
        control = {one["seed"]: one["processor_seconds"] for one in plain}
        for recipe, changes in dict.fromkeys((one["recipe"], _said(one["changes"])) for one in own):
            rows = [
                one for one in own if (one["recipe"], _said(one["changes"])) == (recipe, changes)
            ]
            yield _row(attack, recipe, changes, rows, control)


def _row(
    attack: str, recipe: str, changes: str, rows: list[dict[str, Any]], control: dict[int, float]
) -> dict[str, Any]:
    # of the processor: a shared machine's clock tells what its neighbours did
    times = [
        one["processor_seconds"] / control[one["seed"]] for one in rows if one["seed"] in control
    ]
    return {
        "attack": attack, "recipe": recipe + (f", {changes}" if changes else "") + _formerly(rows),
        "group": "trains anew" if recipe in RETRAIN else "fine-tunes",
        "trigger": "given trigger" if recipe == "eftclip" else "none", "seeds": len(rows),
        "n": _n(rows[0]["after"]),
        "ASR": spread([one["after"]["asr"] for one in rows]),
        "CA": spread([one["after"]["ca"] for one in rows]),
        "CA change": spread([one["after"]["ca"] - one["before"]["ca"] for one in rows]),
        "clean pairs": rows[0]["clean_pairs"], "steps": rows[0]["steps"],
        "poisons trusted, first and last": _trusted(rows),
        "x control's time": spread(times) if times else None,
    }  # fmt: skip


def _formerly(rows: list[dict[str, Any]]) -> str:
    by_score = (
        one for one in rows if one["recipe"] == "filter" and not one["settings"]["at_random"]
    )
    return (
        " (ranked by a former rule)"
        if any(one.get("ranking") != RANKING for one in by_score)
        else ""
    )


def _trusted(rows: list[dict[str, Any]]) -> str | None:
    """Of all poisons, the mean share in SafeCLIP's first and last safe set."""
    runs = [splits for one in rows if (splits := one.get("splits"))]
    shares = [[one["poisoned_in_safe"] / one["poisoned"] for one in run] for run in runs]
    if not shares:
        return None
    return ", ".join(f"{np.mean([run[at] for run in shares]):.0%}" for at in (0, -1))


def _n(figures: dict[str, Any]) -> str:
    return f"{figures['n_asr']} ASR, {figures['n_ca']} CA"


def _said(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items())
