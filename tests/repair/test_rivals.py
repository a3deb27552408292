"""CleanCLIP, RoCLIP and filter-then-retrain: what they do, and that they resume exactly."""

import numpy as np
import pytest
import torch

from clipforensics.config.recipes import (
    CleanClipSettings,
    EftClipSettings,
    FilterSettings,
    FineTuneSettings,
    RoClipSettings,
)
from clipforensics.config.train import LoopSettings
from clipforensics.errors import ConfigError, DataError
from clipforensics.models.tiny import tiny_clip
from clipforensics.repair.bylabel import LabelCounter
from clipforensics.repair.cleanclip import CleanClip, auto_augment
from clipforensics.repair.eftclip import EftClip, Stamp
from clipforensics.repair.filter import FilterRetrain, drop_highest, dropped_by_label
from clipforensics.repair.finetune import FineTune
from clipforensics.repair.losses import clip_loss, in_modal_loss
from clipforensics.repair.roclip import RoClip
from clipforensics.train.loop import train
from clipforensics.train.recipe import Batch, TrainingData
from clipforensics.train.schedule import warmup_steps

N = 64
WORDS = ("red", "green", "blue", "dark")
COLOURS = np.array([[220, 20, 20], [20, 220, 20], [20, 20, 220], [10, 10, 10]], np.uint8)
CAPTIONS = [f"a {WORDS[i % 4]} wall number {i % 5}" for i in range(N)]
TUNE = {"batch": 16, "pairs": N, "steps": 10, "warmup_steps": 2, "rate": 1e-3}
RETRAIN = {"batch": 16, "epochs": 3, "rate": 1e-3}
CLEAN, RO = CleanClipSettings(**TUNE), RoClipSettings(**RETRAIN, pool=24)
STAMP = Stamp(np.full((6, 6, 3), 200, np.uint8), np.ones((6, 6), bool), "red")


def pairs(encoder):
    noise = np.random.default_rng(0).integers(0, 20, (N, 32, 32, 3), np.uint8)
    frames = COLOURS[np.arange(N) % 4][:, None, None, :] + noise
    return TrainingData(torch.from_numpy(frames), encoder.tokenize(CAPTIONS))


def _eftclip(encoder, data):
    return EftClip(encoder, data, np.arange(N) % 4 == 0, [STAMP], EftClipSettings(**TUNE))


MADE = {
    "cleanclip": (CLEAN, lambda encoder, data: CleanClip(CAPTIONS, encoder, data, CLEAN)),
    "roclip": (RO, lambda encoder, data: RoClip(CAPTIONS, encoder, RO)),
    "filter": (
        FilterSettings(**RETRAIN),
        lambda encoder, data: FilterRetrain(N, FilterSettings(**RETRAIN), {"filter": {"kept": N}}),
    ),
    "finetune": (
        FineTuneSettings(**TUNE),
        lambda encoder, data: FineTune(data, FineTuneSettings(**TUNE)),
    ),
    "eftclip": (EftClipSettings(**TUNE), _eftclip),
}


def run(name, folder=None, **more):
    encoder = tiny_clip(4)
    data, records = pairs(encoder), []
    settings, make = MADE[name]
    loop = LoopSettings(report_every=1, evaluate_every=3)
    recipe = make(encoder, data)
    out = train(
        encoder, data, recipe, settings, loop, on_record=records.append, folder=folder, **more
    )
    weights = torch.cat([v.reshape(-1).float() for v in encoder.module.state_dict().values()])
    return weights, out, records


@pytest.mark.parametrize("name", MADE)
def test_a_run_killed_in_the_middle_resumes_to_equal_weights(tmp_path, name):
    straight, whole, _ = run(name)
    for stop_after in (2, 5, 9):
        folder, count = tmp_path / str(stop_after), iter(range(1000))
        _, out, _ = run(
            name, folder, should_stop=lambda count=count, at=stop_after: next(count) >= at
        )
        assert out.stopped
        weights, out, _ = run(name, folder, resume=True)
        assert out.step == whole.step
        assert torch.equal(weights, straight)


class Killed(Exception):
    """What a process that dies never gets to catch."""


@pytest.mark.parametrize("name", MADE)
def test_a_run_that_died_between_checkpoints_goes_on_from_the_last_one(tmp_path, name):
    straight, whole, _ = run(name)

    count = iter(range(100))

    def die():
        if next(count) == 7:
            raise Killed
        return False

    with pytest.raises(Killed):
        run(name, tmp_path, should_stop=die)
    weights, out, records = run(name, tmp_path, resume=True)
    assert records[0]["kind"] == "resume"
    assert records[0]["step"] == 6
    assert out.step == whole.step
    assert torch.equal(weights, straight)


def one_batch(encoder, recipe, number):
    data = pairs(encoder)
    phase, rows = recipe.phase(number, encoder, data), torch.arange(16)
    return Batch(rows, data.frames[rows], data.tokens[rows], phase, 0)


def test_cleanclip_adds_the_loss_inside_each_modality(monkeypatch):
    encoder = tiny_clip(4)
    recipe = CleanClip(CAPTIONS, encoder, pairs(encoder), CLEAN)
    batch = one_batch(encoder, recipe, 0)
    losses, _ = recipe.losses(encoder, batch)
    frames, tokens = recipe._second_views(batch)
    assert (frames != batch.frames).flatten(1).any(dim=1).all()

    def unit(x):
        return torch.nn.functional.normalize(x)

    module, scale = encoder.module, encoder.module.logit_scale.exp()
    i, i2 = (unit(module.encode_image(encoder.normalize(x))) for x in (batch.frames, frames))
    t, t2 = (unit(module.encode_text(x)) for x in (batch.tokens, tokens))
    torch.testing.assert_close(losses["clip"], clip_loss(i, t, scale))
    torch.testing.assert_close(losses["in_modal"], in_modal_loss(i, i2, t, t2, scale))


def test_autoaugment_is_decided_by_seed_epoch_and_row():
    data = pairs(tiny_clip(0))
    frames, rows = data.frames[:12], np.arange(12)
    one = auto_augment(frames, rows, 0, 0)
    assert one.shape == frames.shape
    assert one.dtype == torch.uint8
    assert torch.equal(auto_augment(frames[3:5], rows[3:5], 0, 0), one[3:5])
    assert not torch.equal(auto_augment(frames, rows, 0, 1), one)
    assert not torch.equal(auto_augment(frames, rows, 1, 0), one)


def test_cleanclip_takes_autoaugment_views():
    encoder = tiny_clip(4)
    settings = CLEAN.model_copy(update={"views": "autoaugment"})
    recipe = CleanClip(CAPTIONS, encoder, pairs(encoder), settings)
    losses, _ = recipe.losses(encoder, one_batch(encoder, recipe, 0))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_roclip_matches_against_the_pool_in_every_second_epoch():
    _, out, records = run("roclip")
    assert [r["phase"] for r in records if r["kind"] == "phase"] == [
        "own captions", "pool", "own captions",
    ]  # fmt: skip
    assert ["pool" if "pool" in r else "clip" for r in records if r["kind"] == "loss"] == (
        ["clip"] * 4 + ["pool"] * 4 + ["clip"] * 4
    )
    assert out.step == out.total == 12


def test_in_a_pool_epoch_the_caption_tower_learns_nothing_and_the_pool_is_read_before_written():
    encoder = tiny_clip(4)
    recipe = RoClip(CAPTIONS, encoder, RO)
    recipe.losses(encoder, one_batch(encoder, recipe, 0))
    before = recipe._pool.rows.clone()
    assert len(before) == 16  # a quarter of the pairs: or rows meet their own past
    asked = []
    nearest = recipe._pool.nearest
    recipe._pool.nearest = lambda x: (asked.append(recipe._pool.rows.clone()), nearest(x))[1]
    losses, report = recipe.losses(encoder, one_batch(encoder, recipe, 1))
    losses["pool"].backward()
    assert torch.equal(asked[0], before)
    assert not torch.equal(recipe._pool.rows, before)
    assert 0 < report["distinct_neighbours"] <= 1
    assert encoder.module.text_projection.grad is None
    assert any(p.grad is not None and p.grad.any() for p in encoder.module.visual.parameters())


@pytest.mark.parametrize("name", ["roclip", "filter"])
def test_retraining_from_the_suspect_or_on_too_little_is_refused(name):
    settings = MADE[name][0].model_copy(update={"start": "suspect"})

    def make(settings, n):
        if name == "roclip":
            return RoClip(CAPTIONS[:n], tiny_clip(0), settings)
        return FilterRetrain(n, settings)

    with pytest.raises(ConfigError, match="not learned the poison"):
        make(settings, N)
    with pytest.raises(ConfigError, match="batch=16 needs at least as many pairs, got 9"):
        make(MADE[name][0], 9)


def test_cleanclip_on_less_than_a_batch_is_refused():
    encoder = tiny_clip(0)
    data = pairs(encoder)
    few = TrainingData(data.frames[:9], data.tokens[:9])
    with pytest.raises(ConfigError, match="batch=16 needs at least 16 clean pairs, 9"):
        CleanClip(CAPTIONS[:9], encoder, few, CLEAN)


def test_the_highest_scores_are_dropped():
    scores = np.array([5.0, 1.0, np.nan, 4.0, 4.0, 0.0, 9.0, 2.0])
    made = drop_highest(scores, np.array([0, 1, 3, 4, 5, 7]), 0.34, False, 0)
    assert made.dropped.tolist() == [0, 4]  # row 6 may not be learned from; of equals the higher
    assert made.kept.tolist() == [1, 3, 5, 7]
    assert made.threshold == 4.0
    unscored = drop_highest(scores, np.arange(8), 0.13, False, 0)
    assert unscored.dropped.tolist() == [2]


def test_the_control_drops_as_many_at_random():
    scores, rows = np.arange(200.0), np.arange(200)
    one, two = (drop_highest(scores, rows, 0.1, True, seed) for seed in (0, 1))
    assert len(one.dropped) == 20
    assert one.threshold is None
    assert one.dropped.mean() < 180
    assert one.dropped.tolist() != two.dropped.tolist()
    assert sorted([*one.kept, *one.dropped]) == rows.tolist()


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_drops_nothing_or_everything_is_refused(share):
    with pytest.raises(DataError, match="Choose another share"):
        drop_highest(np.arange(10.0), np.arange(10), share, False, 0)


def test_an_emptied_label_is_seen():
    made = drop_highest(np.arange(8.0), np.arange(8), 0.25, False, 0)
    naming = LabelCounter([[0], [0], [0, 1], [0], [], [1], [2], [2]], ("a", "b", "c", "d"))
    table = dropped_by_label(made, naming)
    assert table[0] == {"label": "c", "pairs": 2, "dropped": 2, "share": 1.0}
    assert [line["dropped"] for line in table[1:]] == [0, 0]
    assert len(table) == 3


def test_published_warm_up_steps_never_outlast_a_tenth():
    assert warmup_steps(1000, 0.05) == 50
    assert warmup_steps(1000, 0.05, 10_000) == 100
    assert warmup_steps(200_000, 0.05, 10_000) == 10_000
