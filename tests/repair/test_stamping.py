"""Where and how large EftCLIP stamps, and which captions its CLIP loss holds apart."""

import numpy as np
import pytest
import torch

from clipforensics.config.recipes import EftClipSettings
from clipforensics.models.tiny import tiny_clip
from clipforensics.repair.eftclip import EftClip, Stamp
from clipforensics.train.recipe import Batch, Phase, TrainingData

N, SIDE = 16, 32
STAMP = Stamp(np.full((8, 6, 3), 250, np.uint8), np.ones((8, 6), bool), "red")
CAPTIONS = [f"a {('red', 'green', 'blue')[i % 3]} wall" for i in range(N)]
SETTINGS = EftClipSettings(batch=N, pairs=N, steps=4, warmup_steps=0)


@pytest.fixture
def encoder():
    return tiny_clip(4)


@pytest.fixture
def data(encoder, rng):
    frames = torch.from_numpy(rng.integers(0, 200, (N, SIDE, SIDE, 3), np.uint8))
    return TrainingData(frames, encoder.tokenize(CAPTIONS))


def batch_of(data, epoch=0, position=0):
    phase = Phase("eftclip", np.arange(N), lambda step: 0.0, "eftclip", epoch)
    return Batch(torch.arange(N), data.frames, data.tokens, phase, position)


def stamped_boxes(low, high, draws=400):
    """x, y, width, height of a stamp's copies on black, int [draws, 4]."""
    rng, boxes = np.random.default_rng(3), []
    for _ in range(draws):
        out = STAMP.copied(np.zeros((SIDE, SIDE, 3), np.uint8), rng, low, high)
        ys, xs = np.nonzero(out.any(axis=2))
        boxes.append([xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1])
    return np.array(boxes)


def test_a_stamp_comes_to_every_place_where_it_fits():
    x, y, width, height = stamped_boxes(1, 1).T
    assert set(width) == {6}
    assert set(height) == {8}
    assert set(x) == set(range(SIDE - 6 + 1))
    assert set(y) == set(range(SIDE - 8 + 1))
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.2


def test_a_stamp_comes_in_every_size_between_the_bounds():
    _, _, width, height = stamped_boxes(0.5, 1.5).T
    assert set(width) == set(range(3, 10))
    assert set(height) == set(range(4, 13))
    assert np.corrcoef(width, height)[0, 1] > 0.9


class Watched:
    """A stamper that remembers what it was asked for."""

    def __init__(self):
        self.bounds, self.lots = [], []

    def copied(self, picture, rng, low, high):
        self.bounds.append((low, high))
        self.lots.append(rng.random())
        return picture


def test_eftclip_stamps_between_its_bounds_and_never_twice_alike(encoder, data):
    settings = SETTINGS.model_copy(update={"size_low": 0.6, "size_high": 1.7})
    stamper = Watched()
    recipe = EftClip(encoder, data, np.zeros(N, bool), [stamper], settings)
    for epoch, position in ((0, 0), (0, 1), (1, 0)):
        recipe.losses(encoder, batch_of(data, epoch, position))
    assert set(stamper.bounds) == {(0.6, 1.7)}
    assert len(stamper.lots) == 3 * round(settings.stamped_share * N)
    assert len(set(stamper.lots)) == len(stamper.lots)


def test_pairs_with_the_same_caption_are_no_negatives_of_each_other(encoder, data):
    settings = SETTINGS.model_copy(update={"clip_weight": 2.0})
    recipe = EftClip(encoder, data, np.ones(N, bool), [STAMP], settings)  # so nothing is stamped
    losses, report = recipe.losses(encoder, batch_of(data))
    assert report["stamped"] == 0
    seen, said = encoder.encode_pictures(data.frames.numpy()), encoder.encode_texts(CAPTIONS)
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    total = 0.0
    for i, own in enumerate(CAPTIONS):
        others = [j for j in range(N) if j == i or CAPTIONS[j] != own]
        for one, many in ((seen[i], said), (said[i], seen)):
            logits = {j: encoder.scale * float(one @ many[j]) for j in others}
            total += np.log(sum(np.exp(list(logits.values())))) - logits[i]
    assert losses["clip"].item() == pytest.approx(2.0 * total / (2 * N), rel=1e-4)
