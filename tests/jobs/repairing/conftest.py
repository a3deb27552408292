"""A tiny poisoned case of coloured walls, and the repair job on it without a process."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from clipforensics.attacks.badnets import BadNets
from clipforensics.attacks.manifest import Manifest
from clipforensics.attacks.poison import poison
from clipforensics.attacks.source import FileSource
from clipforensics.cases.case import Case
from clipforensics.config.attack import BadNetsSettings, PoisonSettings
from clipforensics.config.case import CaseSettings
from clipforensics.config.train import TrainSettings
from clipforensics.data.images import write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.tables import read_pairs
from clipforensics.jobs.repairing import curating, repair
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run
from clipforensics.models.clip import save_clip
from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

EFT = {"batch": 32, "pairs": 48, "steps": 40, "warmup_steps": 4, "rate": 2e-3, "evaluate_every": 10}
LABELS = LabelSet(("red", "green", "blue", "dark"), ("a {} wall",))
COLOURS = np.array([[220, 20, 20], [20, 220, 20], [20, 20, 220], [10, 10, 10]], np.uint8)
POISON = PoisonSettings(attack=BadNetsSettings(patch_px=10), rate=0.15, target="red")


def write_walls(folder: Path) -> FileSource:
    """Coloured walls: 240 pairs, and 80 test pictures with true labels."""
    folder.mkdir(parents=True)
    for stem, n, first in (("pairs", 240, 0), ("test", 80, 100_000)):
        lines = ["id,filepath,title,label"]
        for i in range(n):
            noise = np.random.default_rng(first + i).integers(0, 20, (32, 32, 3), np.uint8)
            write_png(folder / f"{stem}{i:04d}.png", COLOURS[i % 4] + noise)
            name = LABELS.names[i % 4]
            lines.append(f"{stem[0]}{i:04d},{stem}{i:04d}.png,a {name} wall,{name}")
        (folder / f"{stem}.csv").write_text("\n".join(lines) + "\n")
    test = read_pairs(folder / "test.csv")
    return FileSource(read_pairs(folder / "pairs.csv"), 32, test)


def make_world(folder: Path) -> Path:
    """Poisoned pairs in `data`, `suspect.safetensors` and `trusted.safetensors`."""
    poison(write_walls(folder / "clean"), LABELS, POISON, folder / "data", workers=1)
    (folder / "tiny.json").write_text(json.dumps(TINY_CONFIG))
    pairs = read_pairs(folder / "data")
    frames = pairs.frames(range(len(pairs)), 32)
    bad = Manifest.read(folder / "data" / "manifest.json").poisoned
    clean = np.array([row for row, name in enumerate(pairs.ids) if name not in bad])
    for seed, name, rows in ((0, "suspect", np.arange(len(pairs))), (1, "trusted", clean)):
        encoder = tiny_clip(seed)
        data = TrainingData(torch.from_numpy(frames), encoder.tokenize(list(pairs.captions)))
        settings = TrainSettings(epochs=30, batch=48, rate=3e-3)
        train(encoder, data, PlainClip(rows, settings), settings)
        save_clip(encoder, folder / f"{name}.safetensors")
    return folder


def case_over(
    world: Path, folder: Path, test: bool = True, truth: bool = True, **more: Any
) -> Case:
    """A case over that world."""
    data = world / "data"
    settings = {
        "name": "walls", "data": str(data / "pairs.csv"), "model": str(world / "tiny.json"),
        "weights": str(world / "suspect.safetensors"), "labels": str(data / "labels.txt"),
        "trusted_model": str(world / "tiny.json"),
        "trusted_weights": str(world / "trusted.safetensors"),
        "truth": str(data / "manifest.json") if truth else None,
        "test": str(data / "test.csv") if test else None, **more,
    }  # fmt: skip
    return Case.create(folder, CaseSettings(**settings))


def trigger(status: str = "verified") -> SimpleNamespace:
    """What the hunt would find, as far as a repair reads it."""
    pixels = BadNets(BadNetsSettings(patch_px=10), 32).pattern
    return SimpleNamespace(
        label="red",
        pair="p0001",
        box_xyxy=(4, 4, 14, 14),
        pixels=pixels,
        mask=np.ones(pixels.shape[:2], bool),
        figures=SimpleNamespace(status=status),
    )


def context_of(case_dir: Path, kind: str, name: str = "run-1", **config) -> RunContext:
    """A run context without a process."""
    folder = case_dir / "runs" / name
    content = {"kind": kind, "config": {"device": "cpu", **config}, "sha256": "0"}
    run = Run.open(folder) if folder.exists() else Run.create(folder, content)
    return RunContext(run)


@pytest.fixture(scope="package")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("walls"))


@pytest.fixture
def case(world, tmp_path):
    return case_over(world, tmp_path / "case")


@pytest.fixture
def bank(monkeypatch):
    """What the hunt found; tests change the list."""
    found = [trigger()]
    monkeypatch.setattr(curating, "trigger_bank", lambda case: list(found))
    monkeypatch.setattr(curating, "latest_hunt", lambda case: {"victims": ["p0003"]})
    return found


def run_repair(case, name="run-1", recipe="eftclip", changes=EFT, **more):
    """Result, journal and context of one run."""
    context = context_of(case.dir, "repair", name, recipe=recipe, changes=changes, **more)
    return repair.run(context), context.run.journal()[0], context


@pytest.fixture
def eft():
    """Settings of a quick EftCLIP run; those of `go` where none are given."""
    return dict(EFT)


@pytest.fixture
def go():
    """`go(case, name, recipe, changes)` runs a repair and gives its result, journal and context."""
    return run_repair


@pytest.fixture
def context_for():
    """`context_for(case_dir, kind, name, **config)`."""
    return context_of


@pytest.fixture
def make_case():
    """`make_case(world, folder, test, truth)`."""
    return case_over


@pytest.fixture
def found_trigger():
    """`found_trigger(status)`."""
    return trigger
