"""Every attack at several poison rates against every detector; each cell is kept when it is done."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from _suspects import PAIRS, Suspect, suspect

from clipforensics.cases.evidence import write_json
from clipforensics.config.attack import PoisonSettings, attack_settings
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.config.settings import digest
from clipforensics.data.demo_world import TARGET, labels
from clipforensics.data.pairs import Pairs
from clipforensics.detect.agreement import disagreement, mismatch_log_odds
from clipforensics.detect.apart import RULE as MEASURED
from clipforensics.detect.apart import Apart, lengths
from clipforensics.detect.combined import RULE as RULE_OF_COMBINED
from clipforensics.detect.combined import WEIGHT, Footings, combined, parts
from clipforensics.detect.embeddings import Copies
from clipforensics.detect.frequent import RULE, counted
from clipforensics.detect.groups import near_copies
from clipforensics.detect.metrics import evaluate
from clipforensics.detect.reference import score, score_each
from clipforensics.detect.scales import ScaleScores, score_scales
from clipforensics.detect.workers import cores
from clipforensics.jobs.scanning.scoring import scale_settings
from clipforensics.jobs.scanning.suspects import suspected_labels
from clipforensics.models.clip import OpenClipEncoder
from clipforensics.repair.split import fit_mixture

ATTACKS = ("badnets", "badnets_corner", "badnets_centre", "badnets_redrawn", "clean_label", "blend",
           "blend_redrawn", "sig", "sig_additive", "nashville", "wanet", "wanet_smooth",
           "mt_s", "mt_m", "tdpa")  # fmt: skip
PLACES = {"badnets_corner": "bottom_right", "badnets_centre": "centre"}
RATES = (0.003, 0.01, 0.03)
WITHIN_CONCEPT = {"clean_label": (0.001, 0.003, 0.005)}
"""Clean-label stamps pairs that name the target already, some 350 of 10,000: 3, 9 and 14 % of them."""
PAST_CONCEPT = {"clean_label": (0.01, 0.03)}
"""29 and 86 % of them: no longer a few pairs of a concept, but a good part of it, or most of it."""
TARGETS = ("pizza", "cat")  # of the second and third trigger of mt_m
FEATURES = ("lof", "slof", "dao", "kdist", "lid", "iforest")
SWAPPED = (0.0, 0.1, 0.2)
BUDGETS = ("0.001", "0.01", "0.05")
BLOCK = 500


def poisoning(attack: str, rate: float) -> PoisonSettings | None:
    """Settings of a row; `clean` poisons nothing.

    Targeted poisoning pulls all its pictures to one label, as Huang et al. do: else it has no
    target label that could be suspected.
    """
    if attack == "clean":
        return None
    kind, values = attack, {}
    if attack in PLACES:
        kind, values = "badnets", {"place": PLACES[attack]}
    if attack == "tdpa":
        values = {"wrong_label": "target"}
    more = TARGETS if attack == "mt_m" else ()
    return PoisonSettings(
        attack=attack_settings(kind, values), rate=rate, target=TARGET, more_targets=more
    )


def cells(attacks: Iterable[str], seeds: int) -> list[tuple[str, float, int]]:
    """(attack, rate, seed), seed by seed so that a world is drawn once; clean ones have no rate."""
    found = []
    for seed in range(seeds):
        found.append(("clean", 0.0, seed))
        found += [(attack, rate, seed) for attack in attacks for rate in rates(attack)]
    return found


def rates(attack: str) -> tuple[float, ...]:
    """Poison rates of the rows of an attack."""
    return WITHIN_CONCEPT.get(attack, RATES) + PAST_CONCEPT.get(attack, ())


def table(attacks: Iterable[str], seeds: int, folder: Path) -> list[dict[str, Any]]:
    """Measure what is not measured yet, one cell a core at a time, and read every cell."""
    asked = cells(attacks, seeds)
    left = [one for one in asked if not _record(folder, one).is_file()]
    began = time.perf_counter()
    with ProcessPoolExecutor(cores(), get_context("spawn"), _single_threaded) as pool:
        working = [pool.submit(measure, one, folder) for one in left]
        for done, work in enumerate(as_completed(working), 1):
            work.result()
            ahead = (time.perf_counter() - began) / done * (len(left) - done)
            sys.stderr.write(f"{done} of {len(left)} cells, about {ahead / 60:.0f} min left\n")
    return [json.loads(_record(folder, one).read_text(encoding="utf-8")) for one in asked]


def measured(attacks: Iterable[str], seeds: int, folder: Path) -> list[dict[str, Any]]:
    """The records of the cells that are done."""
    paths = [_record(folder, one) for one in cells(attacks, seeds)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def measure(cell: tuple[str, float, int], folder: Path) -> None:
    """Make the suspect of a cell, ask every detector, keep the record."""
    attack, rate, seed = cell
    made = suspect(poisoning(attack, rate), seed, folder)
    x, captions = embedded(made)
    rankings, scales, copies = ranked(x, captions, seed)
    groups = [len(one) for one in copies.groups()]
    record: dict[str, Any] = {
        "attack": attack, "rate": rate, "seed": seed, "pairs": len(x),
        "poisons": int(made.pairs.poisoned.sum()), "figures": made.figures,
        "counted_once": {"groups": len(groups), "rows": sum(groups)},
        "suspected": suspected(made, rankings),
    }  # fmt: skip
    if made.pairs.poisoned.any():
        truth = made.pairs.poisoned
        record["detectors"] = {name: evaluate(one, truth) for name, one in rankings.items()}
        record["scales"] = {
            str(scale): evaluate(z, truth)["auroc"]
            for scale, z in zip(scales.scales, scales.z, strict=True)
        }
        record["swapped"] = dict(swapped(x, captions, scales.apart, truth, seed))
    write_json(_record(folder, cell), record)


def swapped(
    x: np.ndarray, captions: np.ndarray, apart: Apart, truth: np.ndarray, seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rankings by caption when a share of the clean pairs has each other's: honest mistakes.

    They are made after training: what a suspect would have learned from them is not measured.
    """
    for share, order in mistaken(truth, seed):
        far = disagreement(x, captions[order])
        on = Footings.of(apart, far)
        outlying, odd = parts(apart, far, on)
        ways = {
            "combined": combined(apart, far, on),
            "without the cap": outlying + WEIGHT * odd,
            "clip": far,
        }
        yield f"{share:g}", {name: kept(evaluate(one, truth)) for name, one in ways.items()}


def mistaken(truth: np.ndarray, seed: int) -> Iterator[tuple[float, np.ndarray]]:
    """Whose caption each pair has when a share of the clean ones have each other's: share, int64 [n]."""
    rng = np.random.default_rng(seed)
    for share in SWAPPED:
        rows = np.flatnonzero((rng.random(len(truth)) < share) & ~truth)
        order = np.arange(len(truth))
        order[rows] = rng.permutation(rows)
        yield share, order


def kept(found: dict[str, Any]) -> dict[str, float]:
    """AUROC and recall in the top 1 %."""
    return {"auroc": found["auroc"], "recall_at_0.01": found["recall_at_budget"]["0.01"]}


def embedded(made: Suspect) -> tuple[np.ndarray, np.ndarray]:
    """Picture and caption embeddings, float32 [n, d] each, as `scan` makes them."""
    frames, captions = made.pairs.frames, made.pairs.captions
    parts = [
        made.encoder.encode_pictures(frames[at : at + BLOCK]) for at in range(0, len(frames), BLOCK)
    ]
    return np.concatenate(parts), embedded_captions(made.encoder, captions)


def embedded_captions(encoder: OpenClipEncoder, captions: Sequence[str]) -> np.ndarray:
    """float32 [n, d]; equal captions are embedded once."""
    different = sorted(set(captions))
    place = {caption: at for at, caption in enumerate(different)}
    texts = encoder.encode_texts(different)
    return texts[[place[one] for one in captions]]


def ranked(
    x: np.ndarray, captions: np.ndarray, seed: int
) -> tuple[dict[str, np.ndarray], ScaleScores, Copies]:
    """Every detector's score of every row, by name, the scan over scales, and what counted once.

    Near-copies count as they do in a case by default: many of one kind count once, for all alike.
    """
    density, reference = DensitySettings(), ReferenceSettings(seed=seed)
    copies, _ = counted(x, reference)
    asked = [(name, density) for name in FEATURES]
    made = score_each(x, asked, reference, copies=copies)
    found = {name: one.mean for name, one in zip(FEATURES, made, strict=True)}
    unit = ReferenceSettings(seed=seed, normalize=True)
    for (name, _), one in zip(asked[:2], score_each(x, asked[:2], unit), strict=True):
        found[f"{name}, normalized"] = one.mean
    beside = score_each(x, asked[:1], reference, copies=copies, captions=captions)[0]
    found["lof, captions in the reference"] = beside.mean
    collapsed = score_each(x, asked[:1], reference, copies=near_copies(x))[0]
    found["lof, near-duplicates collapsed"] = collapsed.mean
    found["lof, whole set"] = score(x, "lof", density, ReferenceSettings(reference_size="all")).mean
    scales = score_scales(x, scale_settings(reference), copies=copies)
    found["scales"] = scales.combined
    far = disagreement(x, captions)
    found["combined"] = combined(scales.apart, far, Footings.of(scales.apart, far))
    mixture = fit_mixture(-far)
    found["clip"] = far
    found["gmm"] = mismatch_log_odds(-far, mixture.means, mixture.sds, mixture.weights)
    found["feature norm"] = lengths(x)
    return found, scales, copies


def suspected(made: Suspect, rankings: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Suspected labels as the scan lists them; no truth is read."""
    pairs = Pairs(made.pairs.ids, made.pairs.captions, tuple(Path(one) for one in made.pairs.ids))
    case: Any = SimpleNamespace(pairs=pairs, labels=labels())
    found = suspected_labels(case, {name: rankings[name] for name in ("scales", "clip")})
    kept = ("name", "detector", "top", "flagged", "lift", "lift_low", "log10_p", "q")
    return [{name: one[name] for name in kept} for one in found["labels"]]


def _record(folder: Path, cell: tuple[str, float, int]) -> Path:
    """Where a cell is kept; one that was scored by another rule is not found."""
    attack, rate, seed = cell
    reference = ReferenceSettings()
    rule = digest({
        "pairs": PAIRS, "copies": RULE, "reference": reference.model_dump(mode="json"),
        "density": DensitySettings().model_dump(mode="json"), "combined": RULE_OF_COMBINED,
        "measured": MEASURED, "scales": scale_settings(reference).model_dump(mode="json"), "mixture": "sorted",
    })  # fmt: skip
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    return folder / "cells" / f"{attack}-{rate:g}-{seed}-{rule[:12]}.json"


def _single_threaded() -> None:
    # two processes of one thread each train more pairs a second than one of two
    import torch

    torch.set_num_threads(1)
