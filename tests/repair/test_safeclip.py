"""SafeCLIP's unimodal losses: neighbours of the past, and views that are always new."""

from itertools import combinations

import numpy as np
import pytest
import torch

from clipforensics.config.recipes import SafeClipSettings
from clipforensics.models.tiny import tiny_clip
from clipforensics.repair.safeclip import SafeClip
from clipforensics.train.recipe import Batch, Phase, TrainingData

N, BATCH = 64, 8
CAPTIONS = [f"a painted wall with the number {i}" for i in range(N)]
SAFE = SafeClipSettings(batch=BATCH, unimodal_epochs=2, main_epochs=1, pool=16)


@pytest.fixture
def encoder():
    return tiny_clip(4)


@pytest.fixture
def data(encoder, rng):
    frames = torch.from_numpy(rng.integers(0, 255, (N, 32, 32, 3), np.uint8))
    return TrainingData(frames, encoder.tokenize(CAPTIONS))


def batch_of(data, phase):
    rows = torch.arange(BATCH)
    return Batch(rows, data.frames[rows], data.tokens[rows], phase, 0)


def watch(encoder, monkeypatch):
    """Pictures and captions as the towers get them."""
    seen = {"encode_image": [], "encode_text": []}
    for name, kept in seen.items():
        tower = getattr(encoder.module, name)
        monkeypatch.setattr(
            encoder.module, name, lambda x, t=tower, k=kept: (k.append(x.clone()), t(x))[1]
        )
    return seen


def test_neighbours_are_looked_up_before_the_batch_joins_the_pool(encoder, data):
    recipe = SafeClip(CAPTIONS, encoder, SAFE)
    batch = batch_of(data, recipe.phase(0, encoder, data))
    before = {name: pool.rows.clone() for name, pool in recipe._pools.items()}
    views = [recipe._encode(encoder, batch, view) for view in (1, 2)]
    losses, _ = recipe.losses(encoder, batch)
    for (name, pool), one, two in zip(before.items(), *views, strict=True):
        nearest = [pool[int(torch.argmax(pool @ row))] for row in one.detach()]
        logits = [encoder.scale * torch.stack([row @ other for other in nearest]) for row in two]
        slow = -sum(torch.log_softmax(row, 0)[i] for i, row in enumerate(logits)) / BATCH / 2
        torch.testing.assert_close(losses[f"unimodal_{name}"], slow)
        after = recipe._pools[name].rows
        torch.testing.assert_close(after[:BATCH], one.detach())
        assert torch.equal(after[BATCH:], pool[BATCH:])


@pytest.mark.parametrize("stream", ["unimodal", "risky", "safe"])
def test_views_differ_from_each_other_and_from_those_of_every_other_epoch(
    encoder, data, monkeypatch, stream
):
    recipe = SafeClip(CAPTIONS, encoder, SAFE.model_copy(update={"both_views": True}))
    first = recipe.phase(0, encoder, data)
    seen = watch(encoder, monkeypatch)
    for epoch in (0, 1):
        phase = Phase(first.name, first.rows, first.rate, stream, epoch)
        recipe.losses(encoder, batch_of(data, phase))
    for given in seen.values():
        assert len(given) == 4
        assert not any(torch.equal(a, b) for a, b in combinations(given, 2))
