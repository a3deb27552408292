"""The repair job on a tiny poisoned case, without a process."""

import json
from pathlib import Path
from types import SimpleNamespace

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
from clipforensics.config.recipes import FineTuneSettings
from clipforensics.config.train import TrainSettings
from clipforensics.data.images import write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.tables import read_pairs
from clipforensics.errors import CaseError, ConfigError, ForensicsError, RunError
from clipforensics.jobs.repairing import curating, measuring, preparing, repair
from clipforensics.jobs.repairing.adopting import adopt
from clipforensics.jobs.repairing.estimating import time_plain_epoch
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Run
from clipforensics.jobs.scanning.scan import embed
from clipforensics.models.clip import load_clip, save_clip
from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

EFT = {"batch": 32, "pairs": 48, "steps": 40, "warmup_steps": 4, "rate": 2e-3, "evaluate_every": 10}
SAFE = {"batch": 32, "unimodal_epochs": 1, "main_epochs": 2, "pool": 32, "evaluate_every": 10}
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


def make_case(world: Path, folder: Path, test: bool = True, truth: bool = True) -> Case:
    """A case over that world."""
    data = world / "data"
    return Case.create(
        folder,
        CaseSettings(
            name="walls",
            data=str(data / "pairs.csv"),
            model=str(world / "tiny.json"),
            weights=str(world / "suspect.safetensors"),
            labels=str(data / "labels.txt"),
            trusted_model=str(world / "tiny.json"),
            trusted_weights=str(world / "trusted.safetensors"),
            truth=str(data / "manifest.json") if truth else None,
            test=str(data / "test.csv") if test else None,
        ),
    )


def found_trigger(status: str = "verified") -> SimpleNamespace:
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


def context_for(case_dir: Path, kind: str, name: str = "run-1", **config) -> RunContext:
    """A run context without a process."""
    folder = case_dir / "runs" / name
    content = {"kind": kind, "config": {"device": "cpu", **config}, "sha256": "0"}
    run = Run.open(folder) if folder.exists() else Run.create(folder, content)
    return RunContext(run)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("walls"))


@pytest.fixture
def case(world, tmp_path):
    return make_case(world, tmp_path / "case")


@pytest.fixture
def bank(monkeypatch):
    """What the hunt found; tests change the list."""
    found = [found_trigger()]
    monkeypatch.setattr(curating, "trigger_bank", lambda case: list(found))
    monkeypatch.setattr(curating, "latest_hunt", lambda case: {"victims": ["p0003"]})
    return found


def go(case, name="run-1", recipe="eftclip", changes=EFT, **more):
    context = context_for(case.dir, "repair", name, recipe=recipe, changes=changes, **more)
    return repair.run(context), context.run.journal()[0], context


def test_eftclip_repairs_a_case_and_says_what_it_did(case, bank, world):
    result, records, context = go(case)
    assert result["working_attack"]
    assert result["asr_before"] > 0.8
    assert result["asr_after"] < 0.1
    assert result["ca_after"] > result["ca_before"] - 0.05
    assert (result["n"], result["n_ca"], result["asr_of"]) == (60, 80, "planted")
    assert result["asr_low_after"] <= result["asr_after"] <= result["asr_high_after"]
    assert result["cost_in_plain_epochs"] > 0
    first = records[0] if records[0]["kind"] == "evaluation" else records[1]
    assert first["baseline"]
    assert first["step"] == 0
    evaluations = [r for r in records if r["kind"] == "evaluation"]
    assert [r["step"] for r in evaluations] == [0, 10, 20, 30, 40]
    for record in evaluations:
        assert {"t", "step", "total", "ca", "asr", "n_ca", "n_asr", "ca_low", "asr_high"} <= set(
            record
        )
        assert set(record["triggers"]) == {"planted", "found 1"}
    table = {line["kind"]: line for line in result["composition"]}
    assert table["retention"]["pairs"] + table["target"]["pairs"] == 48
    checkpoint = context.run.dir / result["checkpoint"]
    healed = load_clip(str(world / "tiny.json"), checkpoint, "cpu")
    assert healed.fingerprint == result["checkpoint_sha256"]
    assert checkpoint in context.run.checkpoints()
    assert all("resume" not in path.parts for path in context.run.checkpoints())


def test_every_evaluation_measures_retrieval_on_pairs_that_no_run_learns_from(case, bank):
    result, records, context = go(case, changes={**EFT, "steps": 10})
    for record in [r for r in records if r["kind"] == "evaluation"]:
        assert record["retrieval"]["n"] == 6
        assert 0 <= record["r1"] <= record["r5"] <= 1
    assert result["r1_before"] is not None
    assert result["retrieval_after"]["chance"]["r1"] > 0
    held = set(json.loads((context.run.dir / preparing.HELD_OUT).read_text())["ids"])
    used = set(json.loads((context.run.dir / preparing.CURATED).read_text())["ids"])
    assert len(held) == 6
    assert not held & used
    case.store.decide("sample", min(held), "suspicious", "ann")
    again = preparing._held_out_once(context, case, np.empty(0, np.int64), 500)
    assert {case.pairs.ids[row] for row in again} == held  # a resumed run keeps to its draw


def test_a_test_set_with_captions_serves_for_retrieval(case):
    test = SimpleNamespace(
        captions=("a red wall", "", "a blue wall"),
        picture=lambda row, side: np.full((side, side, 3), row),
    )
    given = SimpleNamespace(test=test, pairs=case.pairs)
    assert len(measuring.retrieval_rows(given, np.empty(0, np.int64), 500)) == 0
    made = measuring._retrieval(given, 32, 100, None)
    assert made.captions == ["a red wall", "a blue wall"]
    assert made.pictures[:, 0, 0, 0].tolist() == [0, 2]


def test_the_control_stamps_nothing_and_needs_no_trigger(case, bank):
    bank.clear()
    result, records, _ = go(case, recipe="finetune", changes={**EFT, "steps": 4})
    assert result["recipe"] == "finetune"
    assert [line["kind"] for line in result["composition"]] == ["retention", "target"]
    assert not any("anchor" in record for record in records)


@pytest.mark.parametrize("status", ["weak", "object", None])
def test_eftclip_without_a_verified_trigger_is_refused(case, bank, status):
    bank[:] = [found_trigger(status)] if status else []
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        go(case)


def test_a_trigger_called_benign_is_not_healed(case, bank):
    subject = curating.trigger_subject(bank[0])
    case.store.decide("trigger", subject, "benign", "ann")
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        go(case)


def test_picks_decide_what_may_be_learned(case, bank):
    case.store.decide("sample", "p0004", "suspicious", "ann")
    case.store.decide("sample", "p0005", "unsure", "ann")
    case.store.decide("sample", "p0003", "benign", "ann")
    case.store.decide("label", "blue", "suspicious", "ann")
    case.store.decide("label", "green", "benign", "ann")
    rows = np.flatnonzero(curating.excluded_rows(case))
    assert rows.tolist() == [4, 5]
    assert curating.affected_labels_of(case, list(bank)) == ["red", "blue"]


def test_the_trusted_model_is_asked_once_for_a_pair(case, monkeypatch):
    asked = []

    def seen(case, rows):
        asked.extend(rows.tolist())
        return [row % 2 == 0 for row in rows]

    monkeypatch.setattr(curating, "_seen_as_named", seen)
    support = curating.supporter(case)
    assert support is not None
    assert support(np.array([4, 7, 9])).tolist() == [True, False, False]
    assert support(np.array([9, 4, 2])).tolist() == [False, True, True]
    assert asked == [4, 7, 9, 2]


def test_what_is_held_out_is_told_before_a_retraining(case):
    from clipforensics.jobs.repairing import measuring

    run = measuring.measure(
        case, [], 32, 10, np.empty(0, int), measuring.retrieval_rows(case, np.empty(0, int), 500)
    )
    assert len(run.held_out) == measuring.most_held_out(case, 10, 500)


def test_what_was_left_out_is_never_learned_from_and_stands_in_the_run(case, bank):
    embed(case)
    settings = FineTuneSettings(batch=16, pairs=40)
    whole = curating.curated_set(case, settings).pairs.rows
    gone = case.pairs.ids[whole[0]]
    without = settings.model_copy(update={"left_out_pairs": (gone,)})
    edited = curating.curated_set(case, without).pairs.rows
    assert whole[0] not in edited
    assert len(edited) == len(whole)
    assert len(np.intersect1d(whole, edited)) == len(whole) - 1  # one pair takes its place
    without = settings.model_copy(update={"left_out_labels": ("blue",)})
    named = curating.names_per_row(case)
    assert not any(2 in named[row] for row in curating.curated_set(case, without).pairs.rows)
    changes = {**EFT, "steps": 2, "left_out_pairs": [gone]}
    _, _, context = go(case, recipe="finetune", changes=changes, measure_cost=False)
    assert context.run.config["changes"]["left_out_pairs"] == [gone]
    assert gone not in json.loads((context.run.dir / preparing.CURATED).read_text())["ids"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"left_out_pairs": ["nobody"]}, "1 of 1 left-out pairs are not in the case"),
        ({"left_out_labels": ["mauve"]}, "label 'mauve' is not among the 4 labels"),
    ],
)
def test_leaving_out_what_is_not_there_is_one_sentence(case, bank, changes, words):
    with pytest.raises(ConfigError, match=words):
        go(case, recipe="finetune", changes={**EFT, **changes})


def test_without_a_test_set_low_score_pairs_are_held_out(world, tmp_path, bank):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    result, _, context = go(case, changes={**EFT, "steps": 10})
    assert result["test_of"].startswith("held-out low-score pairs")
    assert result["asr_of"] == "found"
    used = json.loads((context.run.dir / preparing.CURATED).read_text())["ids"]
    assert len(used) == 48
    assert "p0003" not in used  # the hunt called it a victim


def test_a_run_whose_test_pairs_changed_is_not_resumed(world, tmp_path, bank):
    case = make_case(world, tmp_path / "bare", test=False, truth=False)
    embed(case)
    changes = {"batch": 32, "epochs": 1}
    context = context_for(
        case.dir, "repair", "halted", recipe="roclip", changes=changes, measure_cost=False
    )
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 3
    assert repair.run(context)["stopped"]
    tested = json.loads((context.run.dir / preparing.TESTED).read_text())["ids"]
    held = json.loads((context.run.dir / preparing.HELD_OUT).read_text())["ids"]
    only_tested = sorted(set(tested) - set(held))
    case.store.decide("sample", only_tested[0], "suspicious", "ann")
    with pytest.raises(CaseError, match="picks changed"):
        go(case, "halted", recipe="roclip", changes=changes, measure_cost=False)


def test_a_stopped_repair_keeps_its_checkpoint_and_resumes_exactly(case, bank):
    straight, _, whole = go(case, "straight", measure_cost=False)
    context = context_for(
        case.dir, "repair", "halted", recipe="eftclip", changes=EFT, measure_cost=False
    )
    seen = iter(range(1000))
    context.should_stop = lambda: next(seen) >= 15
    halted = repair.run(context)
    assert halted["stopped"]
    assert halted["steps"] < 40
    assert (context.run.dir / halted["checkpoint"]).exists()
    resumed, records, again = go(case, "halted")
    assert resumed["steps"] == 40
    assert sum(bool(r.get("baseline")) for r in records) == 1
    one = load_clip(case.settings.model, whole.run.dir / straight["checkpoint"], "cpu")
    two = load_clip(case.settings.model, again.run.dir / resumed["checkpoint"], "cpu")
    for a, b in zip(one.module.parameters(), two.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_safeclip_retrains_from_random_weights(case, bank):
    result, records, _ = go(case, recipe="safeclip", changes=SAFE, retrieval_pairs=0)
    assert not any("retrieval" in record for record in records)
    assert result["steps"] == result["total"]
    assert result["asr_before"] > 0.8
    splits = [r["split"] for r in records if "split" in r]
    assert [s["epoch"] for s in splits] == [0, 1]
    assert splits[0]["truth"]["poisoned"] == 36
    baselines = [r for r in records if r.get("baseline")]
    assert len(baselines) == 1
    assert baselines[0]["ca"] == result["ca_before"]


def test_safeclip_from_the_suspect_is_refused(case, bank):
    with pytest.raises(ConfigError, match="not learned the poison"):
        go(case, recipe="safeclip", changes={**SAFE, "start": "suspect"})


def test_cleanclip_needs_no_trigger(case, bank):
    bank.clear()
    result, records, _ = go(case, recipe="cleanclip", changes={**EFT, "steps": 6})
    assert result["recipe"] == "cleanclip"
    assert any("in_modal" in record for record in records)


def test_roclip_retrains_from_random_weights(case, bank):
    result, records, _ = go(case, recipe="roclip", changes={"batch": 32, "epochs": 2, "pool": 32})
    assert result["steps"] == result["total"] == 14
    assert [r["phase"] for r in records if r["kind"] == "phase"] == ["own captions", "pool"]


def test_filtering_drops_the_highest_scores_and_says_which(case, bank):
    changes = {
        "batch": 32, "epochs": 1, "drop_share": 0.25, "detector": "lof",
        "reference": {"reference_size": 64},
    }  # fmt: skip
    result, records, _ = go(case, recipe="filter", changes=changes)
    made = next(r["filter"] for r in records if "filter" in r)
    assert (made["kept"], made["dropped"], made["by"]) == (176, 58, "lof")  # 6 are held out
    assert made["truth"]["poisoned"] == 36
    assert made["threshold"] > 0
    assert [line["kind"] for line in result["composition"]] == ["kept", "dropped"]
    control, records, _ = go(
        case, "control", recipe="filter", changes={**changes, "at_random": True}
    )
    drawn = next(r["filter"] for r in records if "filter" in r)
    assert (drawn["dropped"], drawn["by"], drawn["threshold"]) == (58, "a random draw", None)
    assert control["steps"] == result["steps"] == 5


@pytest.mark.parametrize("recipe", ["roclip", "filter"])
def test_no_retraining_starts_from_the_suspect(case, bank, recipe):
    with pytest.raises(ConfigError, match="not learned the poison"):
        go(case, recipe=recipe, changes={"start": "suspect"})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"recipe": "magic"}, "magic"),
        ({"changes": {"stamped_share": 7}}, "stamped_share=7"),
        ({"changes": {"spells": 1}}, "Unknown setting spells"),
        ({"preset": "huge"}, "huge"),
    ],
)
def test_wrong_settings_are_one_sentence(case, bank, config, words):
    context = context_for(case.dir, "repair", **config)
    with pytest.raises(ConfigError, match=words):
        repair.run(context)


def test_a_checkpoint_becomes_the_suspect_of_a_new_case(case, bank, tmp_path):
    result, _, context = go(case, changes={**EFT, "steps": 4}, measure_cost=False)
    checkpoint = context.run.dir / result["checkpoint"]
    made = adopt(case, context.run, checkpoint, tmp_path / "again")
    assert made.fingerprints["weights"] == result["checkpoint_sha256"]
    assert made.fingerprints["data"] == case.fingerprints["data"]
    assert made.truth.poisoned == case.truth.poisoned
    assert not made.verify()
    with pytest.raises(CaseError, match="Choose another folder"):
        adopt(case, context.run, checkpoint, tmp_path / "again")
    with pytest.raises(RunError, match=r"Choose one of .*final\.safetensors"):
        adopt(case, context.run, tmp_path / "evil.safetensors", tmp_path / "other")
    checkpoint.write_bytes(b"not weights")
    with pytest.raises(ForensicsError):
        adopt(case, context.run, checkpoint, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_plain_epoch_is_timed_on_a_copy(case):
    before = case.suspect("cpu").fingerprint
    assert time_plain_epoch(case, "cpu") > 0
    assert case.suspect("cpu").fingerprint == before
