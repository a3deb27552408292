"""Neighbours from a GPU are those of the processor; its code runs on any device of torch."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect import device, reference
from clipforensics.detect.device import device_for, nearest_on
from clipforensics.detect.neighbours import neighbours
from clipforensics.detect.reference import score


def rows(kind, rng):
    x = rng.normal(size=(300, 200 if kind == "wide" else 8)).astype(np.float32)
    if kind == "far crowd":
        x[:60] = 1e4 + 1e-3 * x[:60]
    elif kind == "copies":
        x[40:60] = x[0]
    elif kind == "double":
        x = x.astype(np.float64)
    elif kind == "few":
        x = x[:14]
    return x


def agree(where, x, k=12):
    """Distances to the last digits, and the same ids where these decide."""
    there, here = neighbours(x, k, device=where), neighbours(x, k)
    np.testing.assert_allclose(there.dist, here.dist, rtol=1e-12, atol=1e-30)
    assert (there.ids != here.ids).mean() < 0.01
    assert there.ids.dtype == np.int64


@pytest.mark.parametrize("kind", ["plain", "wide", "far crowd", "copies", "double", "few"])
def test_the_code_for_a_gpu_finds_the_same_neighbours(kind, rng, monkeypatch):
    x = rows(kind, rng)
    monkeypatch.setattr("clipforensics.detect.neighbours.nearest_on", _on_the_processor)
    agree("a gpu", x)


def test_a_candidate_that_rounding_may_have_hidden_is_looked_for_again(rng, monkeypatch):
    again, exact = [], device.nearest_among
    monkeypatch.setattr(device, "nearest_among", lambda *given: again.append(1) or exact(*given))
    x = rows("far crowd", rng)
    nearest_on("cpu", x / np.float32(2**14), np.zeros(8, np.float32), 12)
    assert again


def test_little_work_never_asks_for_a_gpu():
    assert device_for(1e12) == "cpu"


@pytest.mark.gpu
def test_a_gpu_scores_like_the_processor(rng, monkeypatch):
    x, sets = rng.normal(size=(9000, 64)).astype(np.float32), ReferenceSettings(draws=2)
    here = score(x, "lof", DensitySettings(), sets)
    monkeypatch.setattr(reference, "device_for", lambda work: "cuda")
    there = score(x, "lof", DensitySettings(), sets)
    np.testing.assert_allclose(there.mean, here.mean, rtol=1e-9)
    for kind in ("plain", "wide", "far crowd", "copies", "double", "few"):
        agree("cuda", rows(kind, rng))


def _on_the_processor(where, *given):
    return nearest_on("cpu", *given)
