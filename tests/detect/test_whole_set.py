"""Whole-set LOF: scikit-learn's in exact mode, nearly so with an inverted file."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.neighbors import LocalOutlierFactor

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.neighbours import approximate_neighbours
from clipforensics.detect.reference import score_each
from clipforensics.detect.whole_set import whole_set_lof
from clipforensics.errors import ConfigError

K8 = DensitySettings(k=8)
ALL = ReferenceSettings(reference_size="all")


@pytest.fixture
def crowds(rng):
    centres = 4 * rng.normal(size=(20, 12))
    return (centres[rng.integers(20, size=1500)] + rng.normal(size=(1500, 12))).astype(np.float32)


def test_exact_mode_is_scikit_learns(crowds):
    theirs = -LocalOutlierFactor(n_neighbors=8).fit(crowds).negative_outlier_factor_
    np.testing.assert_allclose(whole_set_lof(crowds, K8), theirs, rtol=1e-5)


def test_an_inverted_file_ranks_nearly_alike(crowds):
    exact, fast = (whole_set_lof(crowds, K8, mode) for mode in ("exact", "ivf"))
    assert spearmanr(exact, fast).statistic > 0.99


def test_what_it_finds_lies_where_it_says_and_is_never_the_row_itself(crowds):
    dist, ids = approximate_neighbours(crowds, 8)
    apart = np.linalg.norm(crowds[ids].astype(float) - crowds[:, None], axis=2)
    np.testing.assert_allclose(dist, apart, rtol=1e-12)
    assert (ids != np.arange(len(ids))[:, None]).all()
    assert (np.diff(dist, axis=1) >= 0).all()


def test_a_few_rows_are_searched_whole(rng):
    x = rng.normal(size=(30, 3))
    np.testing.assert_array_equal(whole_set_lof(x, K8, "ivf"), whole_set_lof(x, K8))


@pytest.mark.parametrize("detector", ["lof", "slof", "kdist"])
def test_scores_by_an_inverted_file_rank_nearly_alike_in_any_order(crowds, detector, rng):
    asked = [(detector, K8)]
    (exact,) = score_each(crowds, asked, ALL)
    (fast,) = score_each(crowds, asked, ALL, mode="ivf")
    assert spearmanr(exact.mean, fast.mean).statistic > 0.99
    order = rng.permutation(len(crowds))
    (shuffled,) = score_each(crowds[order], asked, ALL, mode="ivf")
    np.testing.assert_allclose(shuffled.mean, fast.mean[order], rtol=1e-9)


def test_modes_that_do_not_go_with_the_rest_are_refused(crowds):
    small = ReferenceSettings(reference_size=500)
    with pytest.raises(ConfigError, match="searches the whole set, the reference size is 500"):
        score_each(crowds, [("lof", K8)], small, mode="ivf")
    with pytest.raises(ConfigError, match="an Isolation Forest reads none"):
        score_each(crowds, [("iforest", K8)], ALL, mode="ivf")


def test_an_unknown_mode_is_refused(crowds):
    with pytest.raises(ConfigError, match="Unknown mode 'hnsw'; known are exact, ivf"):
        whole_set_lof(crowds, K8, "hnsw")
