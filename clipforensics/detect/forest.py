"""Isolation Forest, scikit-learn's, turned so that higher is more suspicious."""

import numpy as np
from jaxtyping import Float, Float64

from clipforensics.detect.embeddings import as_float, check_embeddings
from clipforensics.errors import DataError

TREES = 100


def isolation_forest(
    x: Float[np.ndarray, "n d"], seed: int, others: Float[np.ndarray, "q d"] | None = None
) -> Float64[np.ndarray, " m"]:
    """Score each embedding by how few random cuts isolate it.

    Args:
        x: one embedding per row; the forest is fitted on these rows and scores them.
        seed: of the cuts. Rows are put in an order of their own first, so that shuffling x
            shuffles the scores and changes nothing else.
        others: further rows of the same width to score, which the forest is not fitted on.

    Returns:
        One unitless score in (0, 1) per row of x, then of others; about 0.5 is normal.

    Raises:
        DataError: fewer than 2 rows, or not finite.

    Source:
        Liu, Ting and Zhou, ICDM 2008; scikit-learn's -score_samples with 100 trees of 256 rows.
    """
    from sklearn.ensemble import IsolationForest

    check_embeddings(x)
    if len(x) < 2:
        raise DataError("An Isolation Forest needs at least 2 embeddings, got 1. Add embeddings.")
    x = as_float(x)
    # scikit-learn computes in float32: a power of two changes no cut and keeps float64 in range
    exponent = -int(np.frexp(np.abs(x).max())[1])
    x = np.ldexp(x, exponent).astype(np.float32) + 0.0
    order = np.argsort(x.view(f"V{x.shape[1] * x.itemsize}").ravel(), kind="stable")
    forest = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(x[order])
    if others is not None and len(others):
        x = np.vstack([x, np.ldexp(as_float(others), exponent).astype(np.float32)])
    return -forest.score_samples(x).astype(np.float64)
