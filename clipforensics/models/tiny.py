"""A real open_clip model small enough to train inside a test."""

from clipforensics.models.clip import OpenClipEncoder, _encoder, build_module

TINY_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def tiny_clip(seed: int = 0) -> OpenClipEncoder:
    """A 32-px vision transformer with random weights drawn from `seed`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_module(TINY_CONFIG)
    return _encoder(module, TINY_CONFIG, "cpu", None)
