"""The recipes on a tiny poisoned world: they do what they say, resume, and refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clipforensics.config.recipes import EftClipSettings, FineTuneSettings, SafeClipSettings
from clipforensics.config.repair import PRESETS, RECIPE_SETTINGS
from clipforensics.config.settings import parse
from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.errors import ConfigError, DataError
from clipforensics.models.tiny import tiny_clip
from clipforensics.repair import RECIPES, load, safeclip
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.curate import curate
from clipforensics.repair.eftclip import EftClip, Stamp, stamped_copy
from clipforensics.repair.finetune import FineTune
from clipforensics.repair.passes import hold_norms, pass_rate, pass_rows
from clipforensics.repair.safeclip import SafeClip, check_start
from clipforensics.repair.split import fit_mixture
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

WORDS = ("red", "green", "blue", "dark")
COLOURS = np.array([[220, 20, 20], [20, 220, 20], [20, 20, 220], [10, 10, 10]], np.uint8)
PATCH = np.random.default_rng(5).choice(np.array([20, 235], np.uint8), (10, 10, 3))
STAMP = Stamp(PATCH, np.ones((10, 10), bool), "red")
EFT = EftClipSettings(batch=32, pairs=64, steps=40, warmup_steps=4, rate=2e-3)
SAFE = SafeClipSettings(batch=16, unimodal_epochs=1, main_epochs=2, pool=16, first_low=0.3)


def world(n=96, poisons=0, seed=0):
    """Coloured walls; the last rows are stamped and called red."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 4
    frames = COLOURS[kind][:, None, None, :] + rng.integers(0, 20, (n, 32, 32, 3), np.uint8)
    for row in range(n - poisons, n):
        kind[row] = 0
        frames[row] = stamped_copy(frames[row], STAMP, rng)
    captions = [f"a {WORDS[k]} wall number {i % 5}" for i, k in enumerate(kind)]
    return frames, kind, captions


def data_of(encoder, frames, captions):
    return TrainingData(torch.from_numpy(frames), encoder.tokenize(list(captions)))


def prediction(encoder, frames):
    words = encoder.encode_texts([f"a {w} wall" for w in WORDS])
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    return (encoder.encode_pictures(frames) @ words.T).argmax(axis=1)


@pytest.fixture(scope="module")
def suspect_state():
    """A tiny suspect that really learned the patch, and its figures."""
    encoder = tiny_clip(0)
    frames, _, captions = world(256, 48)
    settings = TrainSettings(epochs=25, batch=64, rate=3e-3)
    data = data_of(encoder, frames, captions)
    train(encoder, data, PlainClip(np.arange(256), settings), settings)
    return {name: value.clone() for name, value in encoder.module.state_dict().items()}


@pytest.fixture
def suspect(suspect_state):
    encoder = tiny_clip(0)
    encoder.module.load_state_dict(suspect_state)
    return encoder


def figures(encoder):
    frames, kind, _ = world(96, seed=9)
    rng = np.random.default_rng(1)
    stamped = np.stack([stamped_copy(f, STAMP, rng) for f in frames[kind != 0]])
    return (prediction(encoder, frames) == kind).mean(), (prediction(encoder, stamped) == 0).mean()


def test_the_fixture_plants_a_working_backdoor(suspect):
    ca, asr = figures(suspect)
    assert ca > 0.95
    assert asr > 0.8


def test_eftclip_heals_and_keeps_what_the_model_knows(suspect):
    frames, kind, captions = world(96, seed=3)
    data = data_of(suspect, frames, captions)
    recipe = EftClip(suspect, data, kind == 0, [STAMP], EFT)
    train(suspect, data, recipe, EFT)
    ca, asr = figures(suspect)
    assert ca > 0.95
    assert asr < 0.1


def test_an_unused_caption_tower_stays_as_it_is(suspect):
    frames, kind, captions = world(96, seed=3)
    data = data_of(suspect, frames, captions)
    before = {name: value.clone() for name, value in suspect.module.state_dict().items()}
    settings = EFT.model_copy(update={"steps": 3})
    train(suspect, data, EftClip(suspect, data, kind == 0, [STAMP], settings), settings)
    after = suspect.module.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert all(name in kept for name in before if not name.startswith("visual."))
    assert len(kept) < len(before)


def test_held_norms_keep_their_mean_and_the_others_train():
    module = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Dropout()).train()
    hold_norms(module)
    module(torch.full((4, 3, 2, 2), 9.0))
    assert module[0].running_mean.tolist() == [0, 0, 0]
    assert module[1].training


def test_eftclip_needs_one_of_its_losses():
    with pytest.raises(ConfigError, match="clip_weight or anchor_weight"):
        parse(EftClipSettings, {"clip_weight": 0, "anchor_weight": 0})


def test_target_pairs_are_never_stamped(suspect):
    frames, kind, captions = world(96)
    data = data_of(suspect, frames, captions)
    recipe = EftClip(suspect, data, kind == 0, [STAMP], EFT)
    seen = []
    kept = recipe._stamped

    def watch(batch):
        out, count = kept(batch)
        changed = (out != batch.frames).flatten(1).any(dim=1).numpy()
        seen.append((changed[kind[batch.rows] == 0].sum(), changed.sum(), count))
        return out, count

    recipe._stamped = watch
    train(suspect, data, recipe, EFT.model_copy(update={"steps": 4}))
    quarter = round(EFT.stamped_share * EFT.batch)
    assert all(target == 0 and changed == count == quarter for target, changed, count in seen)


def test_eftclip_without_a_verified_trigger_is_refused():
    encoder = tiny_clip(0)
    frames, kind, captions = world(64)
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        EftClip(encoder, data_of(encoder, frames, captions), kind == 0, [], EFT)


def test_a_pool_below_one_batch_is_refused_with_both_numbers():
    encoder = tiny_clip(0)
    frames, _, captions = world(20)
    with pytest.raises(ConfigError, match="batch=32 needs at least 32 clean pairs, 20"):
        FineTune(data_of(encoder, frames, captions), EFT)


def test_passes_use_up_the_steps_exactly():
    sizes = [len(rows) // 8 for p in range(5) if (rows := pass_rows(p, 20, 8, 7, 0)) is not None]
    assert sizes == [2, 2, 2, 1]


@pytest.mark.parametrize("low", [0.5, 1.0])
def test_a_stamp_larger_than_the_picture_is_cut_to_it(low, rng):
    huge = Stamp(np.zeros((50, 40, 3), np.uint8), np.ones((50, 40), bool), "red")
    out = stamped_copy(np.full((32, 32, 3), 200, np.uint8), huge, rng, low, 1.4)
    assert out.shape == (32, 32, 3)
    assert (out == 0).any()


def test_curating_leaves_out_whatever_is_marked_or_scores_high():
    n = 400
    named = [[i % 4] for i in range(n)]
    scores = np.arange(n, dtype=float)
    excluded = np.zeros(n, bool)
    excluded[:40] = True
    made = curate(named, scores, excluded, [2], 80, 0.25, lambda rows: rows % 8 != 1, seed=0)
    assert len(made.rows) == 80 == len(set(made.rows.tolist()))
    assert len(made.target) == 20
    assert all(named[row] == [2] for row in made.target)
    assert all(named[row] != [2] for row in made.retention)
    assert not excluded[made.rows].any()
    assert (made.rows < 200).all()
    assert (made.rows % 8 != 1).all()
    counts = np.bincount([named[row][0] for row in made.retention], minlength=4)
    assert counts[[0, 1, 3]].tolist() == [20, 20, 20]
    table = made.table(n, named, 0.5)
    assert [line["kind"] for line in table] == ["retention", "target", "stamped"]
    assert table[0]["pairs"] == 60


def test_curating_nothing_is_refused():
    with pytest.raises(DataError, match="No clean pair can be curated"):
        curate([[0]] * 9, np.arange(9.0), np.ones(9, bool), [], 4, 0.2, None, 0)


def test_curating_survives_unreadable_pictures():
    scores = np.array([np.nan, 1, 2, 3, 4, np.nan])
    made = curate([[0]] * 6, scores, np.zeros(6, bool), [], 4, 0.2, None, 0)
    assert set(made.rows) <= {1, 2}


@pytest.mark.parametrize(("steps", "warm"), [(150, 20), (50, 10), (10, 2), (1, 0)])
def test_a_short_fine_tuning_reaches_its_rate(steps, warm):
    rate = pass_rate(FineTuneSettings(steps=steps, warmup_steps=20, rate=1e-3))
    climbed = [rate(step) for step in range(warm)]
    assert climbed == [pytest.approx(1e-3 * (step + 1) / warm) for step in range(warm)]
    assert rate(warm) == pytest.approx(1e-3)


def safe_run(folder=None, poisoned=None, naming=None, **more):
    encoder = tiny_clip(4)
    frames, _, captions = world(96, 6)
    data = data_of(encoder, frames, captions)
    recipe = SafeClip(captions, encoder, SAFE, poisoned, naming)
    records = []
    loop = LoopSettings(report_every=1, evaluate_every=3)
    out = train(encoder, data, recipe, SAFE, loop, on_record=records.append, folder=folder, **more)
    weights = torch.cat([v.reshape(-1).float() for v in encoder.module.state_dict().values()])
    return weights, out, records


@pytest.fixture(scope="module")
def straight():
    return safe_run()


def test_safeclip_goes_through_its_stages(straight):
    _, out, records = straight
    names = [r["phase"] for r in records if r["kind"] == "phase"]
    main = ["C risky", "C safe"]
    assert names == ["A unimodal", "B slow clip", "B slow clip", *main, *main]
    assert out.step == out.total
    splits = [r["split"] for r in records if "split" in r]
    assert len(splits) == 2
    assert splits[1]["n_safe"] > splits[0]["n_safe"]
    assert all(s["n_safe"] + s["n_risky"] == 96 for s in splits)
    assert all(sum(s["hist"]) == 96 for s in splits)
    assert "truth" not in splits[0]
    slow = [r["lr"] for r in records if r.get("phase") == "B slow clip" and r["kind"] == "loss"]
    assert slow == [1e-5] * 6 + [5e-5] * 6


def test_truth_is_only_shown_never_used(straight):
    poisoned = np.arange(96) >= 90
    naming = LabelCounter([[row % 6] for row in range(96)], [f"label {i}" for i in range(6)])
    weights, _, records = safe_run(poisoned=poisoned, naming=naming)
    assert torch.equal(weights, straight[0])
    split = next(r["split"] for r in records if "split" in r)
    assert split["truth"]["poisoned"] == 6
    assert 0 <= split["truth"]["auroc_low_cosine"] <= 1
    assert sum(line["safe"] for line in split["by_label"]["least"]) == split["n_safe"]


@pytest.mark.parametrize("stop_after", [2, 8, 15, 20, 26])
def test_safeclip_resumes_to_equal_weights_in_every_phase(tmp_path, straight, stop_after):
    count = iter(range(1000))
    _, out, _ = safe_run(tmp_path, should_stop=lambda: next(count) >= stop_after)
    assert out.stopped
    weights, out, _ = safe_run(tmp_path, resume=True)
    assert out.step == straight[1].step
    assert torch.equal(weights, straight[0])


def forced_safe(share, **more):
    """One main epoch of SafeCLIP whose first safe share is given."""
    encoder = tiny_clip(4)
    frames, _, captions = world(96)
    settings = SAFE.model_copy(
        update={"unimodal_epochs": 0, "main_epochs": 1, "first_share": share, **more}
    )
    records = []
    data = data_of(encoder, frames, captions)
    recipe = SafeClip(captions, encoder, settings)
    out = train(encoder, data, recipe, settings, on_record=records.append)
    return out, {r["phase"]: r for r in records if r["kind"] == "phase"}


def test_a_safe_set_below_one_batch_is_told_and_its_pass_skipped():
    out, phases = forced_safe(0.01)
    assert phases["C safe"]["steps"] == 0
    assert phases["C risky"]["split"]["n_safe"] == 1
    assert "below one batch of 16" in phases["C risky"]["split"]["warning"]
    assert out.step == out.total


def test_a_safe_set_of_everything_is_told_and_leaves_nothing_risky():
    out, phases = forced_safe(0.999, cap=1.0, growth=1.0, first_high=1.0)
    everything = phases["C risky"]["split"]
    assert everything["n_safe"] >= 95
    assert phases["C risky"]["steps"] == 0
    assert "every pair is trusted" in everything["warning"]
    assert out.step == out.total


def test_cosines_of_one_component_fall_back_and_say_so():
    encoder = tiny_clip(4)
    frames, _, captions = world(96)
    recipe = SafeClip(
        captions, encoder, SAFE.model_copy(update={"start": "trusted", "first_low": 0.05})
    )
    # test_split fits one Gaussian; so few rows as here can look like two by chance
    one = replace(fit_mixture(np.linspace(0, 0.2, 96)), d=0.9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(safeclip, "fit_mixture", lambda *_: one)
        data = data_of(encoder, frames, captions)
        phase, later = recipe.phase(0, encoder, data), recipe.phase(2, encoder, data)
    assert phase is not None
    assert later is not None
    split = phase.report["split"]
    assert split["gmm"]["fallback"]
    # later mixtures set no share: theirs is no news
    assert "no clear mixture" not in later.report["split"].get("warning", "")
    assert "no clear mixture" in split["warning"]
    assert split["n_safe"] == int(0.15 * 96)


def test_safeclip_from_the_suspect_is_refused():
    with pytest.raises(ConfigError, match="not learned the poison"):
        SafeClip(["a"] * 20, tiny_clip(0), SAFE.model_copy(update={"start": "suspect"}))
    with pytest.raises(ConfigError, match="not learned the poison"):
        check_start("trusted", "abc", "abc")


def test_from_trusted_weights_stages_a_and_b_are_skipped():
    encoder = tiny_clip(4)
    frames, _, captions = world(96)
    settings = SAFE.model_copy(update={"start": "trusted"})
    recipe = SafeClip(captions, encoder, settings)
    phase = recipe.phase(0, encoder, data_of(encoder, frames, captions))
    assert phase is not None
    assert phase.name == "C risky"


def test_both_views_use_the_cross_loss():
    encoder = tiny_clip(4)
    frames, _, captions = world(48)
    settings = SAFE.model_copy(update={"both_views": True, "blur": True, "main_epochs": 1})
    records = []
    data = data_of(encoder, frames, captions)
    loop = LoopSettings(report_every=1)
    train(
        encoder,
        data,
        SafeClip(captions, encoder, settings),
        settings,
        loop,
        on_record=records.append,
    )
    assert any("cross" in r for r in records)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_and_preset_can_be_read(name):
    assert load(name).__name__
    for changes in PRESETS[name].values():
        parse(RECIPE_SETTINGS[name], changes)


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ConfigError, match="Choose one of eftclip"):
        load("magic")


def test_settings_refuse_shares_that_contradict():
    with pytest.raises(ConfigError, match="first_low"):
        parse(SafeClipSettings, {"first_low": 0.7})
    with pytest.raises(ConfigError, match="Unknown setting"):
        parse(FineTuneSettings, {"anchor_weight": 3})
