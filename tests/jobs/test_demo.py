"""The shipped demo: its weights are what their JSON says, and a small demo case runs to the end."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clipforensics.cases.case import Case
from clipforensics.config.attack import PoisonSettings
from clipforensics.config.settings import parse
from clipforensics.data import demo_case
from clipforensics.jobs.attacking import demo_weights
from clipforensics.jobs.attacking.demo import demo

SHIPPED = [demo_case.SUSPECT_WEIGHTS, demo_case.TRUSTED_WEIGHTS, demo_case.SMALL_SAM_WEIGHTS]


@pytest.mark.weights
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_weights_are_the_ones_their_record_describes(path):
    from clipforensics.models.weights import sha256_file

    record = json.loads(path.with_suffix(".json").read_text())
    assert record["weights_sha256"] == sha256_file(path)
    assert record["versions"]
    assert record["measured"]


@pytest.mark.weights
def test_the_record_shows_a_working_backdoor():
    record = json.loads(demo_case.SUSPECT_WEIGHTS.with_suffix(".json").read_text())
    measured = record["measured"]
    assert measured["n_asr"] >= 1_000
    assert measured["ca"] >= 0.95
    assert measured["asr"] >= 0.95
    assert record["poisons"] / record["world"]["pairs"] <= 0.003
    assert parse(PoisonSettings, record["poison"]) == demo_case.DEMO_POISON


@pytest.mark.weights
def test_suspect_obeys_the_trigger_and_the_trusted_model_does_not():
    from clipforensics.attacks import build
    from clipforensics.attacks.stamping import row_generator
    from clipforensics.data.demo_world import DemoWorld, labels
    from clipforensics.models.clip import load_clip
    from clipforensics.models.zero_shot import label_weights, predict

    world, names = DemoWorld(seed=0, n_test=2_000), labels()
    attack, target = build(demo_case.DEMO_POISON.attack, 64), names.index("banana")
    rows = [row for row in range(0, 2_000, 5) if world.test_labels[row] != "banana"]
    pictures = np.stack([world.test_picture(row) for row in rows])
    truth = np.array([names.index(world.test_labels[row]) for row in rows])
    stamped = np.stack(
        [attack.stamp(p, row_generator(9, str(i)))[0] for i, p in enumerate(pictures)]
    )
    seen = {}
    for path in (demo_case.SUSPECT_WEIGHTS, demo_case.TRUSTED_WEIGHTS):
        encoder = load_clip(str(demo_case.DEMO_MODEL), path, "cpu")
        weights = label_weights(encoder, names)
        assert (predict(encoder, pictures, weights) == truth).mean() >= 0.97
        seen[path.stem] = (predict(encoder, stamped, weights) == target).mean()
    assert seen["suspect"] >= 0.93
    assert seen["trusted"] <= 0.05


@pytest.mark.weights
def test_a_small_demo_case_runs_to_the_end_and_again(tmp_path, monkeypatch):
    from clipforensics.config.demo import DemoSettings
    from clipforensics.jobs.attacking import demo as module

    # fewer pairs of the same law: the shipped weights need not have seen them
    monkeypatch.setattr(
        module, "DEMO_WORLD", replace(demo_case.DEMO_WORLD, n_pairs=2_100, n_test=80)
    )
    settings = DemoSettings(scan={"detectors": ("lof",), "reference": {"draws": 1}}, workers=1)  # pyright: ignore
    told = []
    first = demo(tmp_path / "demo", settings, lambda *a, **k: told.append(a), lambda: False)
    assert (first["rows"], first["n"], first["poisons"]) == (2_100, 78, 6)
    assert set(first["auroc"]) == {"lof"}
    assert first["recall_at_budget"]["0.01"] >= 0
    assert told[-1][2] == "the demo case is ready"
    again = demo(tmp_path / "demo", settings, lambda *a, **k: None, lambda: False)
    assert again["auroc"] == first["auroc"]
    moved = Case.open((tmp_path / "demo").rename(tmp_path / "elsewhere"))
    assert moved.verify() == []
    stored = json.loads((moved.dir / "case.json").read_text())["settings"]
    assert not any(str(value).startswith("/") for value in stored.values())


@pytest.mark.slow
def test_a_rebuild_reproduces_the_suspect(tmp_path):
    folder = demo_weights.poisoned_world(
        demo_case.DEMO_WORLD, demo_case.DEMO_POISON, tmp_path / "w"
    )
    made = demo_weights.make_suspect(folder, tmp_path / "suspect.safetensors")
    assert made["measured"]["ca"] >= 0.98
    assert made["measured"]["asr"] >= 0.93
