"""Batch norms, which ViTs lack: only training batches may move them, and scores must not hear them."""

import json

import numpy as np
import pytest
import torch

from clipforensics.config.recipes import EftClipSettings, FineTuneSettings
from clipforensics.config.train import LoopSettings, TrainSettings
from clipforensics.models.clip import new_clip
from clipforensics.models.tiny import TINY_CONFIG
from clipforensics.repair.eftclip import EftClip, Stamp
from clipforensics.repair.finetune import FineTune
from clipforensics.repair.scoring import alignment, embed_rows
from clipforensics.train.loop import train
from clipforensics.train.plain import PlainClip
from clipforensics.train.recipe import TrainingData

RESNET = {
    **TINY_CONFIG,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64},
}
N = 16
TUNE = {"batch": 8, "pairs": N, "steps": 2, "warmup_steps": 0, "rate": 1e-3}
STAMP = Stamp(np.full((6, 6, 3), 200, np.uint8), np.ones((6, 6), bool), "red")


@pytest.fixture
def resnet(tmp_path):
    path = tmp_path / "resnet.json"
    path.write_text(json.dumps(RESNET))
    return new_clip(str(path), 0, "cpu")


@pytest.fixture
def data(resnet, rng):
    frames = torch.from_numpy(rng.integers(0, 255, (N, 32, 32, 3), np.uint8))
    return TrainingData(frames, resnet.tokenize([f"a wall number {i}" for i in range(N)]))


def norms(encoder):
    return [m for m in encoder.module.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def batches_seen(encoder):
    return {int(norm.num_batches_tracked) for norm in norms(encoder)}


def means(encoder):
    return torch.cat([norm.running_mean for norm in norms(encoder)]).clone()


def test_the_fixture_has_norms_that_training_batches_move(resnet, data):
    before = means(resnet)
    assert len(before)
    settings = TrainSettings(epochs=1, batch=8)
    train(resnet, data, PlainClip(np.arange(N), settings), settings)
    assert not torch.equal(means(resnet), before)


class Looks(PlainClip):
    """Looks at the model before every phase, as a recipe that scores does."""

    def phase(self, number, encoder, data):
        encoder.encode_pictures(data.frames.numpy())
        return super().phase(number, encoder, data)


def test_only_training_batches_reach_the_norms(resnet, data):
    settings = TrainSettings(epochs=2, batch=8)
    pictures, alone, together = data.frames.numpy(), [], []

    def evaluate(encoder):
        together.append(encoder.encode_pictures(pictures)[:1])
        alone.append(encoder.encode_pictures(pictures[:1]))
        return {}

    loop = LoopSettings(evaluate_every=1, evaluate_start=True)
    out = train(resnet, data, Looks(np.arange(N), settings), settings, loop, evaluate=evaluate)
    assert len(alone) == out.step + 1
    assert batches_seen(resnet) == {out.step}
    np.testing.assert_allclose(np.stack(alone), np.stack(together), rtol=1e-3, atol=1e-5)


def test_a_score_does_not_depend_on_its_company(resnet, data):
    resnet.module.train()
    one, all_at_once = alignment(resnet, data, 1), alignment(resnet, data, N)
    np.testing.assert_allclose(one, all_at_once, atol=1e-5)
    assert resnet.module.training
    assert batches_seen(resnet) == {0}


def test_anchors_are_what_the_suspect_answers_when_asked(resnet, data):
    resnet.module.train()
    recipe = EftClip(resnet, data, np.zeros(N, bool), [STAMP], EftClipSettings(**TUNE))
    anchors = recipe.state()[0]["anchors"]
    resnet.module.eval()
    asked = torch.from_numpy(resnet.encode_pictures(data.frames.numpy()))
    torch.testing.assert_close(anchors, torch.nn.functional.normalize(asked), rtol=1e-3, atol=1e-5)
    resnet.module.train()
    torch.testing.assert_close(anchors[3:4], embed_rows(resnet, data, np.array([3]), 8)[0])


def eftclip(encoder, data, settings):
    return EftClip(encoder, data, np.zeros(N, bool), [STAMP], settings)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize(
    ("settings", "make"),
    [
        (EftClipSettings(**TUNE), eftclip),
        (FineTuneSettings(**TUNE), lambda encoder, data, settings: FineTune(data, settings)),
    ],
    ids=["eftclip", "finetune"],
)
def test_a_fine_tune_moves_the_norms_only_where_they_are_not_held(
    resnet, data, settings, make, hold
):
    settings = settings.model_copy(update={"hold_norms": hold})
    before = means(resnet)
    train(resnet, data, make(resnet, data, settings), settings)
    assert torch.equal(means(resnet), before) == hold


def test_eftclip_holds_norms_unless_told_otherwise(resnet, data):
    settings, before = EftClipSettings(**TUNE), means(resnet)
    train(resnet, data, eftclip(resnet, data, settings), settings)
    assert torch.equal(means(resnet), before)
