"""Picture against caption: what the rows' order must not change."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clipforensics.jobs.scanning import scoring


@pytest.mark.parametrize("detector", ["clip", "gmm"])
def test_shuffling_the_pairs_shuffles_their_scores(detector, rng, monkeypatch):
    x = rng.normal(size=(2000, 16)).astype(np.float32)
    captions = x + rng.normal(size=x.shape).astype(np.float32) * rng.choice([1, 2], (2000, 1))
    words = np.array(["a cat"] * 1990 + [" "] * 10)

    def scored(order: np.ndarray) -> np.ndarray:
        monkeypatch.setattr(scoring, "text_embeddings", lambda _: captions[order])
        case: Any = SimpleNamespace(pairs=SimpleNamespace(captions=words[order].tolist()))
        return scoring._by_caption(case, np.arange(2000), x[order], detector).mean

    order = rng.permutation(2000)
    plain = scored(np.arange(2000))
    assert np.isfinite(plain).sum() == 1990
    np.testing.assert_allclose(scored(order), plain[order], rtol=1e-9)
