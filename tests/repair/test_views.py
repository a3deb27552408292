"""Augmentation: every row its own draw, and the same draw again."""

import numpy as np
import torch

from clipforensics.models.tiny import tiny_clip
from clipforensics.repair.captions import CaptionViews, changed
from clipforensics.repair.views import DRAWS, Draws, augment


def pictures(n=6):
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, 255, (n, 32, 32, 3), np.uint8))


def plain_draws(n=1):
    """Whole picture, no flip, no jitter, no grey."""
    d = np.full((n, DRAWS), 0.999, np.float32)
    d[:, 1], d[:, 3:5] = 0.5, 0.5
    return d


def test_the_whole_picture_comes_back_almost_as_it_was():
    x = torch.full((1, 32, 32, 3), 90, dtype=torch.uint8)
    x[:, 8:24, 8:24] = 200
    out = augment(x, plain_draws())
    assert (out.int() - x.int()).abs().float().mean() < 2


def test_a_flip_is_a_mirror():
    d = plain_draws()
    straight = augment(pictures(1), d)
    d[:, 2] = 0.1
    mirrored = augment(pictures(1), d)
    assert (mirrored.flip(2).int() - straight.int()).abs().max() <= 1


def test_each_row_has_its_own_draw_whatever_its_company():
    x, draws = pictures(), Draws(6, seed=0)
    rows = np.arange(6)
    whole = augment(x, draws.of(rows, 0, "safe", 1))
    half = augment(x[3:], draws.of(rows[3:], 0, "safe", 1))
    assert torch.equal(whole[3:], half)
    same = x[:1].expand(6, -1, -1, -1)
    out = augment(same, draws.of(rows, 0, "safe", 1))
    assert all(not torch.equal(out[0], out[i]) for i in range(1, 6))


def test_views_and_epochs_differ_and_repeat():
    rows = np.arange(4)
    one = Draws(4, 0).of(rows, 0, "safe", 1)
    assert (one == Draws(4, 0).of(rows, 0, "safe", 1)).all()
    for epoch, stream, view, seed in (
        (1, "safe", 1, 0),
        (0, "risky", 1, 0),
        (0, "safe", 2, 0),
        (0, "safe", 1, 1),
    ):
        assert (one != Draws(4, seed).of(rows, epoch, stream, view)).any()


def test_grey_pictures_are_grey():
    d = plain_draws()
    d[:, 9] = 0.0
    out = augment(pictures(1), d)[0].int()
    assert (out - out[..., :1]).abs().max() <= 1


def test_blur_smooths():
    rough = augment(pictures(1), plain_draws()).float()
    smooth = augment(pictures(1), plain_draws(), blur=True).float()
    assert smooth.std() < rough.std()


def test_unchanged_words_give_the_tokenizers_own_tokens():
    encoder = tiny_clip(0)
    captions = ["a dog, a cat and it's cup.", "собака на стене", ""]
    views = CaptionViews(captions, encoder.tokenize)
    draws = np.zeros((3, 2), np.float32)
    import clipforensics.repair.captions as module

    kept = module.changed
    module.changed = lambda words, rng: words
    try:
        assert torch.equal(views.tokens(np.arange(3), draws), encoder.tokenize(captions))
    finally:
        module.changed = kept


def test_changed_captions_are_never_empty():
    rng = np.random.default_rng(0)
    for _ in range(300):
        out = changed(["a", "red", "dog"], rng)
        assert out
        assert set(out) <= {"a", "red", "dog"}
    assert changed(["dog"], rng) == ["dog"]


def test_a_caption_variant_depends_on_its_draws_alone():
    views = CaptionViews(["one two three four five six seven"] * 3, tiny_clip(0).tokenize)
    draws = np.random.default_rng(0).random((3, 2), np.float32)
    whole = views.tokens(np.arange(3), draws)
    assert torch.equal(views.tokens(np.array([2]), draws[2:]), whole[2:])
