"""Clean rows against the case's own reference sets."""

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor

from clipforensics.config.detect import (
    DETECTORS,
    DensitySettings,
    ReferenceSettings,
    ScaleSettings,
)
from clipforensics.detect.clean import score_clean, score_clean_scales
from clipforensics.detect.frequent import counted
from clipforensics.detect.reference import score
from clipforensics.detect.scales import score_scales
from clipforensics.detect.thresholds import count_flagged, cut_from_clean
from clipforensics.errors import DataError, RunError

K5 = DensitySettings(k=5)
SETS = ReferenceSettings(reference_size=60, draws=3)
SCALES = ScaleSettings(reference_sizes=(32, 64), neighbours=(3, 6), draws=2)
DENSITIES = [name for name in DETECTORS if name != "iforest"]


def world(rng: np.random.Generator, n: int) -> np.ndarray:
    """Clusters, as concepts make them."""
    return (rng.integers(0, 5, n)[:, None] * 3 + rng.normal(size=(n, 6))).astype(np.float32)


@pytest.mark.parametrize("detector", DENSITIES)
def test_a_clean_row_that_is_in_the_case_gets_its_own_score(detector, rng):
    """Its copy lies in the same set of every draw and is left out, as a row is of its own score."""
    x = world(rng, 300)
    rows = rng.permutation(300)[:50]
    own = score(x, detector, K5, SETS).mean[rows]
    np.testing.assert_allclose(score_clean(x, x[rows], detector, K5, SETS), own, rtol=1e-9)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("copied", [False, True])
def test_over_scales_too(rng, normalize, copied):
    """Near-copies of different length have the measures of their first, whichever is calibrated on."""
    x = rng.normal(size=(300, 24))
    cfg = SCALES.model_copy(update={"normalize": normalize})
    if copied:
        x = np.vstack([x, x[7] * (1 + 0.05 * rng.random((40, 1)))])
    x = x.astype(np.float32)
    copies, _ = counted(x, ReferenceSettings(normalize=normalize))
    assert (len(copies.first) < len(x)) is copied
    rows = np.arange(len(x))[-50:]
    own = score_scales(x, cfg, copies=copies).apart[rows]
    found = score_clean_scales(x, x[rows], cfg, copies=copies)
    for name, one in found.tables().items():
        np.testing.assert_allclose(one, getattr(own, name), rtol=1e-6, err_msg=name)


def test_lof_of_a_row_outside_is_that_of_scikit_learn(rng):
    x, clean = world(rng, 200), world(rng, 30)
    whole = ReferenceSettings(reference_size="all", collapse=False)
    theirs = LocalOutlierFactor(n_neighbors=5, novelty=True).fit(x)
    found = score_clean(x, clean, "lof", K5, whole)
    np.testing.assert_allclose(found, -theirs.score_samples(clean), rtol=1e-4)


@pytest.mark.parametrize("detector", DETECTORS)
def test_neither_order_nor_company_changes_a_clean_score(detector, rng):
    x, clean = world(rng, 240), world(rng, 40)
    found = score_clean(x, clean, detector, K5, SETS)
    order = rng.permutation(40)
    some = score_clean(x[rng.permutation(240)], clean[order][:10], detector, K5, SETS)
    np.testing.assert_allclose(some, found[order][:10], rtol=1e-9)
    twice = score_clean(x, np.vstack([clean, clean]), detector, K5, SETS)
    np.testing.assert_allclose(twice, np.tile(found, 2), rtol=1e-12)


@pytest.mark.parametrize("detector", ["lof", "slof", "kdist", "dao", "iforest", "scales"])
def test_a_cut_from_clean_rows_keeps_its_promise_on_the_case(detector, rng):
    """Half of one world is the case, half the clean reference: the case's flagged share is as promised."""
    x = world(rng, 4000)
    case, clean = x[:2000], x[2000:]
    reference = ReferenceSettings(reference_size=250, draws=2)
    if detector == "scales":
        cfg = ScaleSettings(reference_sizes=(128, 256), neighbours=(8, 16), draws=2)
        own, theirs = score_scales(case, cfg).combined, score_clean_scales(case, clean, cfg).scales
    else:
        density = DensitySettings(k=8)
        own = score(case, detector, density, reference).mean
        theirs = score_clean(case, clean, detector, density, reference)
    made = cut_from_clean(theirs, 0.05)
    # both samples vary: sd of the difference of two shares of 2,000 is .0069
    assert count_flagged(own, made.cut) / 2000 == pytest.approx(0.05, abs=0.021)


def test_what_does_not_fit_is_one_sentence(rng):
    x = world(rng, 100)
    with pytest.raises(DataError, match="have 5 numbers, the embeddings 6"):
        score_clean(x, x[:, :5], "lof", K5, SETS)
    with pytest.raises(DataError, match="NaN"):
        score_clean(x, np.full((3, 6), np.nan, np.float32), "lof", K5, SETS)


@pytest.mark.parametrize("size", ["all", 60])
def test_a_stop_is_heard_wherever_it_comes(rng, monkeypatch, size):
    monkeypatch.setattr("clipforensics.detect.neighbours.PRODUCTS", 10)
    monkeypatch.setattr("clipforensics.detect.neighbours.QUERIES", 20)
    x, sets = world(rng, 240), SETS.model_copy(update={"reference_size": size})
    asked = []
    score_clean(x, x[:50], "lof", K5, sets, stop=lambda: bool(asked.append(1)))
    assert len(asked) > 12  # not only before the one set that holds all
    for heard in range(len(asked)):
        stop = iter([False] * heard + [True] * 99).__next__
        with pytest.raises(RunError, match=r"[Ss]topped"):
            score_clean(x, x[:50], "lof", K5, sets, stop=stop)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_clean_row_that_is_a_near_copy_in_the_case_has_the_score_of_its_group(rng, normalize):
    x = np.vstack([x := rng.normal(size=(300, 24)), x[7] + 0.01 * rng.normal(size=(40, 24))])
    x, sets = x.astype(np.float32), SETS.model_copy(update={"normalize": normalize})
    own = score(x, "lof", K5, sets)
    assert own.info["largest_copy_group"] == 41
    np.testing.assert_allclose(score_clean(x, x[290:], "lof", K5, sets), own.mean[290:], rtol=1e-6)


def test_progress_ends_at_its_total(rng):
    told: list[tuple[int, int]] = []
    score_clean_scales(world(rng, 300), world(rng, 5), SCALES, lambda *a: told.append(a))
    assert told[-1] == (200, 200)
    assert told == sorted(told)
