"""Picture against caption: cosine, and the log odds of two Gaussians."""

import numpy as np
import pytest

from clipforensics.detect.agreement import cosines, disagreement, mismatch_log_odds
from clipforensics.errors import DataError


def test_cosines_by_hand_at_any_length():
    x, y = np.array([[3.0, 4], [1, 0], [0, 2]]), np.array([[30.0, 40], [0, 7], [0, -1]])
    np.testing.assert_allclose(cosines(x, y), [1, 0, -1], atol=1e-15)
    np.testing.assert_allclose(disagreement(5 * x, y), [-1, 0, 1], atol=1e-15)


def test_log_odds_are_bayes_rule():
    def density(c, mean, sd, weight):
        return weight * np.exp(-0.5 * ((c - mean) / sd) ** 2) / sd

    c = np.linspace(-0.2, 0.6, 9)
    right = np.log(density(c, 0.1, 0.05, 0.2) / density(c, 0.4, 0.1, 0.8))
    np.testing.assert_allclose(mismatch_log_odds(c, (0.1, 0.4), (0.05, 0.1), (0.2, 0.8)), right)
    # whichever Gaussian is named first, higher is more suspicious
    np.testing.assert_allclose(mismatch_log_odds(c, (0.4, 0.1), (0.1, 0.05), (0.8, 0.2)), right)


def test_zero_vectors_and_other_shapes_are_refused(rng):
    x = rng.normal(size=(5, 3))
    with pytest.raises(DataError, match=r"1 of 5 embeddings are zero .*first: row 2"):
        cosines(x, np.where(np.arange(5)[:, None] == 2, 0, x))
    with pytest.raises(DataError, match=r"got shapes \[5, 3\] and \[4, 3\]"):
        cosines(x, x[:4])
