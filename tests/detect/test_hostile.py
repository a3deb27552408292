"""The list of bad input: each is one clear sentence or a defined score, for every way to score."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings, ScaleSettings
from clipforensics.detect.embeddings import find_copies, release
from clipforensics.detect.reference import score, score_each
from clipforensics.detect.scales import score_scales
from clipforensics.detect.whole_set import whole_set_lof
from clipforensics.errors import ConfigError, DataError, RunError

CFG = ScaleSettings(reference_sizes=(64, 128), neighbours=(4, 8), draws=2)
K4 = DensitySettings(k=4)
WAYS = {
    "one detector": lambda x: score(x, "lof", K4, ReferenceSettings(reference_size=64)).mean,
    "scales": lambda x: score_scales(x, CFG).combined,
    "whole set": lambda x: whole_set_lof(x, K4),
    "inverted file": lambda x: whole_set_lof(x, K4, "ivf"),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def x(rng):
    return rng.normal(size=(300, 6))


def test_fewer_rows_than_the_reference_size_is_the_whole_set(x):
    few = score(x, "lof", K4, ReferenceSettings(reference_size=2048))
    np.testing.assert_allclose(few.mean, whole_set_lof(x, K4), rtol=1e-12)
    assert few.info["reference_size_true"] == [300, 300]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused_by_row(way, x, value):
    x[17, 2] = value
    with pytest.raises(DataError, match=r"1 of 300 embeddings contain NaN .*first: row 17"):
        way(x)


def test_one_row_is_refused(way, x):
    with pytest.raises(ConfigError, match="needs at least 5 embeddings, got 1. Add embeddings"):
        way(x[:1])


def test_identical_rows_are_refused(way, x):
    with pytest.raises(DataError, match="All 300 embeddings are equal|k-distance 0"):
        way(np.tile(x[:1], (300, 1)))


def test_many_exact_copies_have_the_score_of_one(x):
    copied = np.vstack([x, np.tile(x[5], (20, 1))])
    for way in (WAYS["one detector"], WAYS["scales"]):
        found = way(copied)
        np.testing.assert_array_equal(found[300:], found[5])
        np.testing.assert_array_equal(found[:300], way(x))
    with pytest.raises(DataError, match="Collapse exact copies first"):
        whole_set_lof(copied, K4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_precision_of_the_file_hardly_matters(way, x, dtype):
    half = x.astype(np.float16)
    np.testing.assert_allclose(way(half.astype(dtype)), way(half), rtol=1e-3, atol=1e-3)


def test_a_zero_row_has_a_raw_score_and_no_direction(x):
    x[3] = 0
    assert np.isfinite(score_scales(x, CFG).combined).all()
    with pytest.raises(DataError, match=r"1 of 300 embeddings are zero .*first: row 3"):
        score_scales(x, CFG.model_copy(update={"normalize": True}))


def test_a_mapped_file_scores_like_memory_and_keeps_what_was_changed(x, tmp_path, way):
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(way(mapped), way(x))
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0] = 5
    release(changed[2:])
    assert (changed[0] == 5).all()


def test_captions_join_the_reference_once_each_and_are_not_scored(x, rng):
    from clipforensics.detect.density import lof

    captions = rng.normal(size=(10, 6))[rng.integers(10, size=300)]
    whole = ReferenceSettings(reference_size="all")
    (found,) = score_each(x, [("lof", K4)], whole, captions=captions)
    different = captions[find_copies(captions).first]
    np.testing.assert_allclose(found.mean, lof(np.vstack([x, different]), K4)[:300], rtol=1e-12)
    with pytest.raises(DataError, match=r"Captions need the shape of the pictures, \[300, 6\]"):
        score_each(x, [("lof", K4)], whole, captions=captions[:5])


def test_a_stop_is_heard_while_a_large_set_is_searched(monkeypatch, rng):
    from clipforensics.detect import neighbours, one_set

    monkeypatch.setattr(one_set, "LONG_ROWS", 100)
    monkeypatch.setattr(neighbours, "PRODUCTS", 0)
    monkeypatch.setattr(neighbours, "QUERIES", 50)
    asked = iter(range(1000))
    whole = ReferenceSettings(reference_size="all", collapse=False)
    with pytest.raises(RunError, match=r"Stopped while finding neighbours, after \d+ of 400 rows"):
        score_each(rng.normal(size=(400, 3)), [("lof", K4)], whole, stop=lambda: next(asked) > 5)
    with pytest.raises(RunError, match="Stopped while reading the embeddings, at row 0"):
        score_each(rng.normal(size=(400, 3)), [("lof", K4)], whole, stop=lambda: True)
