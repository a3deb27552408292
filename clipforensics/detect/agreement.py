"""How badly a picture and its caption agree. Higher is more suspicious."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from clipforensics.detect.embeddings import check_embeddings, release, take
from clipforensics.errors import DataError

ROWS = 16_384  # compared at a time


def cosines(pictures: np.ndarray, captions: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Cosine of each picture [n, d] and its own caption [n, d], in [-1, 1].

    Raises:
        DataError: different shapes, NaN or infinity, or a zero vector, which has no direction.
    """
    if pictures.shape != captions.shape:
        raise DataError(
            f"Pictures and captions must be embedded alike, got shapes {list(pictures.shape)} and "
            f"{list(captions.shape)}. Embed both with the same model."
        )
    check_embeddings(pictures, normalize=True)
    check_embeddings(captions, normalize=True)
    out = np.empty(len(pictures))
    for start in range(0, len(out), ROWS):
        rows = np.arange(start, min(start + ROWS, len(out)))
        one, other = (take(x, rows, normalize=True) for x in (pictures, captions))
        out[rows] = np.einsum("nd,nd->n", one, other, dtype=np.float64)
        release(pictures)
        release(captions)
    return out.clip(-1, 1)


def disagreement(pictures: np.ndarray, captions: np.ndarray) -> Float64[np.ndarray, " n"]:
    """The CLIP score, turned round: minus the cosine of picture and caption.

    Raises:
        DataError: as `cosines`.

    Source:
        CLIPScore: Hessel et al., EMNLP 2021, without its factor 2.5 and its cut at 0.
    """
    return -cosines(pictures, captions)


def mismatch_log_odds(
    cosine: Float[np.ndarray, " n"],
    means: Sequence[float],
    sds: Sequence[float],
    weights: Sequence[float],
) -> Float64[np.ndarray, " n"]:
    """ln odds that a pair belongs to the Gaussian of the lower mean, given two fitted to cosines.

    Not monotone in the cosine where the deviations differ: it ranks as the released SafeCLIP code
    splits. `disagreement` ranks by the cosine itself.

    Source:
        SafeCLIP: Yang et al., ICML 2024, whose safe set is the posterior of the upper mean > .9.
    """
    lower, upper = (0, 1) if means[0] <= means[1] else (1, 0)

    def log_density(at: int) -> np.ndarray:
        away = (np.asarray(cosine, np.float64) - means[at]) / sds[at]
        return np.log(weights[at]) - np.log(sds[at]) - away**2 / 2

    return log_density(lower) - log_density(upper)
