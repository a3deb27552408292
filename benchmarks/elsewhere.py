"""A repaired model against its trigger where it was not planted: in corners, smaller, larger.

Reads the newest finished run of each recipe on the demo case (`repair.py` makes them), or the finished
runs that `--runs` names, and stamps the case's test pictures that do not show the target. The patch
was planted at 10 px, at random places; EftCLIP's own stamps are the found crop, at random places and
.8 to 1.4 times its size.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _record import arguments, demo_case, publish
from repair import DEMO, RECIPES, default_run, named

from clipforensics.attacks.badnets import BadNets
from clipforensics.cases.case import Case
from clipforensics.config.attack import BadNetsSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.jobs.runs import launcher
from clipforensics.models.clip import load_clip
from clipforensics.oracle.pasting import CORNERS, Crop, pasted, places
from clipforensics.oracle.scorer import suspect_judge
from clipforensics.repair.eftclip import Stamp, stamped_copy
from clipforensics.train.evaluate import wilson

SIZES = (0.5, 0.7, 1.0, 1.4, 2.0)


def main() -> None:
    """One row for the suspect and one for each recipe that has run."""
    asked = arguments(__doc__ or "", recipes="", runs="", seed=0)
    with demo_case(asked.case or DEMO) as case:
        judged = [("undefended", case.suspect())]
        made = {run.id: run for run in launcher.runs(case.dir)}
        for name in named(asked.runs, made, ()):
            judged.append((name, load_clip(str(DEMO_MODEL), made[name].checkpoints()[-1])))
        for recipe in [] if asked.runs else named(asked.recipes, RECIPES, RECIPES):
            judged += [(recipe, load_clip(str(DEMO_MODEL), file)) for file in last(case, recipe)]
        rows = [{"recipe": name, **rates(case, model, asked.seed)} for name, model in judged]
    publish("elsewhere", rows, asked, sizes=SIZES)


def last(case: Case, recipe: str) -> list[Path]:
    """The final weights of the recipe's newest finished run by its default settings; empty without one."""
    found = default_run(case, recipe)
    return found.checkpoints()[-1:] if found else []


def rates(case: Case, model: Any, seed: int) -> dict[str, Any]:
    """ASR at each size at random places, and in each corner; the worst with its upper 95 % bound."""
    judge = suspect_judge(model, case.labels)
    patch, pictures = planted(case, judge.side)
    found = {
        place: asr(judge, stamped, patch.label)
        for place, stamped in (*sized(pictures, patch, seed), *cornered(pictures, patch))
    }
    n, worst = len(pictures), max(found.values())
    return {**found, "n": n, "worst": worst, "upper": wilson(worst * n, n)[1]}


def planted(case: Case, side: int) -> tuple[Stamp, np.ndarray]:
    """The planted patch, and the test pictures that do not show its target, uint8 [n, side, side, 3].

    Raises:
        SystemExit: the case knows no truth or no test pictures, or its trigger is no fixed patch.
    """
    truth, test = case.truth, case.test
    patch = truth.settings.attack if truth else None
    if (
        truth is None
        or test is None
        or test.truth is None
        or not isinstance(patch, BadNetsSettings)
    ):
        raise SystemExit("The case needs a known fixed patch. Leave --case out: the demo has one.")
    pixels = BadNets(patch, side).pattern
    rows = np.array([i for i, shown in enumerate(test.truth) if shown != truth.target])
    stamp = Stamp(pixels, np.ones(pixels.shape[:2], bool), truth.target)
    return stamp, test.frames(rows, side)


def sized(pictures: np.ndarray, patch: Stamp, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The pictures with the patch at a random place, at each size."""
    for size in SIZES:
        yield f"{size:g} x", np.stack([
            stamped_copy(picture, patch, np.random.default_rng([seed, row]), size, size)
            for row, picture in enumerate(pictures)
        ])  # fmt: skip


def cornered(pictures: np.ndarray, patch: Stamp) -> Iterator[tuple[str, np.ndarray]]:
    """The pictures with the patch at its own size in each corner, without a margin."""
    crop = Crop(patch.pixels, patch.mask, (0, 0))
    for corner in CORNERS:
        at = places(corner, crop, len(pictures), pictures.shape[1], np.random.default_rng(0))
        yield corner, pasted(pictures, crop, at)


def asr(judge: Any, pictures: np.ndarray, target: str) -> float:
    """Share answered as the target."""
    return float((judge.answers(pictures) == judge.labels.index(target)).mean())


if __name__ == "__main__":
    main()
