"""Inverted triggers of planted labels against control labels, family by family; and of a clean suspect.

Each suspect is a sound CLIP trained on with poisoned pairs (`_suspects.py`). The target is inverted
beside 8 control labels; for the clean suspect four labels in turn. The scan's part, to suspect the
label at all, is not measured here: the target is given. Pictures come from the suspect's own pairs, poisoned ones
among them. Every inversion is kept, so that a stopped benchmark goes on where it was.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import arguments, publish
from _suspects import FOLDER, Suspect, suspect

from clipforensics.cases.evidence import write_json
from clipforensics.config.attack import WORKING_ATTACK, PoisonSettings, attack_settings
from clipforensics.config.inversion import FAMILY_NAMES, INVERSION_PRESETS, InversionSettings
from clipforensics.config.settings import digest
from clipforensics.data.demo_case import DEMO_MODEL, TRUSTED_WEIGHTS
from clipforensics.data.demo_world import TARGET, labels
from clipforensics.models.clip import load_clip
from clipforensics.oracle.anomaly import Compared, Inverted, compared, control_labels
from clipforensics.oracle.families import FAMILIES
from clipforensics.oracle.inversion import generator_of, invert, measured
from clipforensics.oracle.pasting import CleanSet, clean_set
from clipforensics.oracle.scorer import Judge, suspect_judge

SUSPECTS = "badnets:0.01,blend:0.03,sig:0.03,nashville:0.1,wanet_smooth/strength=4:0.1,clean:0"
CLEAN_LABELS = (TARGET, "dog", "pizza", "camera")
SPARE = 1.25


def main() -> None:
    """One row per suspect, label and family."""
    asked = arguments(
        __doc__ or "", suspects=SUSPECTS, families=",".join(FAMILY_NAMES), preset="quick", seeds=1,
        folder=str(FOLDER),
    )  # fmt: skip
    torch.set_num_threads(1)  # seconds are those of one core
    settings = INVERSION_PRESETS[asked.preset]
    rows = []
    for seed in range(asked.seeds):
        for one in asked.suspects.split(","):
            name, rate = one.rsplit(":", 1)
            rows += examined(name, float(rate), seed, settings, asked)
    publish("inversion", rows, asked, preset=asked.preset, settings=settings.model_dump())


def examined(
    name: str, rate: float, seed: int, settings: InversionSettings, asked: Any
) -> list[dict[str, Any]]:
    """Every label and family of one suspect."""
    folder = Path(asked.folder)
    made = suspect(poisoning(name, rate), seed, folder)
    bench = Bench(made, settings, folder / "inversions")
    about = {
        "attack": name, "rate": rate, "seed": seed, "asr": made.figures.get("asr"),
        "works": made.figures.get("asr", 0) >= WORKING_ATTACK,
    }  # fmt: skip
    wanted = CLEAN_LABELS if name == "clean" else (TARGET,)
    rows = []
    for label in wanted:
        # in turn: each label has the others among its possible controls, as a reviewer asks
        controls = control_labels([label], bench.frequency, settings.controls, settings.seed)[label]
        for family in asked.families.split(","):
            rows.append(about | shown(bench.compare(label, controls, family)))
            sys.stderr.write(f"{rows[-1]}\n")
    return rows


def poisoning(name: str, rate: float) -> PoisonSettings | None:
    """Settings from `attack` or `attack/setting=value`; `clean` poisons nothing."""
    if name == "clean":
        return None
    kind, _, change = name.partition("/")
    values = dict([change.split("=")]) if change else {}
    return PoisonSettings(
        attack=attack_settings(kind, {k: json.loads(v) for k, v in values.items()}),
        rate=rate, target=TARGET,
    )  # fmt: skip


class Bench:
    """One suspect beside the demo's trusted CLIP, and what was inverted of it."""

    def __init__(self, made: Suspect, settings: InversionSettings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.suspect: Judge = suspect_judge(made.encoder, labels())
        self.trusted: Judge = suspect_judge(load_clip(str(DEMO_MODEL), TRUSTED_WEIGHTS), labels())
        named = [frozenset(labels().named_in(text)) for text in made.pairs.captions]
        counts = Counter(name for names in named for name in names)
        self.frequency = {name: counts[name] for name in labels().names}
        wanted = int((settings.pictures + settings.held_out) * SPARE)
        rows = np.random.default_rng(settings.seed).permutation(len(named))[:wanted]
        self.clean: CleanSet = clean_set(
            made.pairs.frames[rows], [named[row] for row in rows], self.suspect, self.trusted
        )

    def compare(self, label: str, controls: Sequence[str], family: Any) -> tuple[Compared, float]:
        """The comparison, and mean processor seconds of one inversion."""
        made = [self.inverted(name, family) for name in (label, *controls)]
        found = compared(made[0][0], [one for one, _ in made[1:]], self.settings)
        return found, float(np.mean([seconds for _, seconds in made]))

    def inverted(self, label: str, family: Any) -> tuple[Inverted, float]:
        """Figures of one label, from the folder when they are there."""
        key = digest([self.suspect.encoder.fingerprint, self.settings.sha256(), label, family])
        path = self.folder / f"{key}.json"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, self._invert(label, family))
        kept = json.loads(path.read_text(encoding="utf-8"))
        seconds = kept.pop("seconds")
        return Inverted(**{**kept, "interval": tuple(kept["interval"])}), seconds

    def _invert(self, label: str, family: Any) -> dict[str, Any]:
        asked, index = self.settings, labels().index(label)
        usable = self.clean.rows(self.clean.without(label, index))
        rest = usable.rows(np.arange(len(usable)) >= asked.pictures).first(asked.held_out)
        began = time.process_time()
        change = invert(
            usable.pictures[: asked.pictures], index, self.suspect, FAMILIES[family], asked,
            generator_of(asked.seed, label, family),
        )  # fmt: skip
        seconds = time.process_time() - began
        found = measured(change, label, FAMILIES[family], rest, self.suspect, self.trusted)
        return asdict(found) | {"seconds": seconds}


def shown(made: tuple[Compared, float]) -> dict[str, Any]:
    """The figures of one comparison."""
    found, seconds = made
    own = found.found
    reached = [one.size for one in found.controls if one.reached]
    return {
        "label": own.label, "family": own.family, "size": own.size, "unit": own.unit,
        "smallest control": min(reached, default=None), "largest control": max(reached, default=None),
        "controls reached": f"{len(reached)} of {len(found.controls)}", "status": found.status,
        "best control's success": max(one.success for one in found.controls),
        "ai": found.anomaly_index, "rank": found.rank, "success": own.success, "n": own.n,
        "f_t": own.f_t, "flagged": found.flagged, "cpu seconds each": seconds,
    }  # fmt: skip


if __name__ == "__main__":
    main()
