"""The two-dimensional map, drawn by UMAP from neighbour lists that are already there."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Float32, Int64

from clipforensics.detect.embeddings import as_float, check_embeddings
from clipforensics.errors import ConfigError, DataError

MIN_DIST = 0.1
SPREAD = 1.0
NOISE = 1e-4
MANY_ROWS = 10_000  # UMAP's own rule: more rows, fewer epochs
CHUNK_ROWS = 8192

Progress = Callable[[int, int], None]


def umap_2d(
    x: np.ndarray,
    graph: tuple[np.ndarray, np.ndarray],
    seed: int,
    n_neighbours: int = 15,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n 2"]:
    """Lay out embeddings in the plane. For looking at, never for scoring.

    Args:
        x: embeddings [n, d], may be memory-mapped; only their two main axes are read, as a start.
        graph: `whole_set_graph(x, k)`: distances [n, k] and ids [n, k], the row itself left out.
        seed: equal seeds give equal maps, to the bit, on one machine.
        n_neighbours: UMAP's, the row itself included; the graph holds at least one less.
        progress: told (epochs done, epochs in all).

    Raises:
        ConfigError: the graph holds too few neighbours.
        DataError: fewer than 3 rows, not finite, or the graph is of other rows.

    Source:
        McInnes, Healy and Melville, arXiv 1802.03426; umap-learn's own two steps, called apart so
        that nothing but the graph is searched and no warning is due.
    """
    check_embeddings(x)
    dist, ids = graph
    if len(x) < 3 or dist.shape != ids.shape or len(ids) != len(x):
        raise DataError(
            f"A map needs at least 3 embeddings and their neighbour graph, got {len(x)} and a "
            f"graph of {len(ids)} rows. Build the graph from the same embeddings."
        )
    if ids.shape[1] < n_neighbours - 1:
        raise ConfigError(
            f"n_neighbours={n_neighbours} needs {n_neighbours - 1} neighbours per row, the graph "
            f"holds {ids.shape[1]}. Lower it to {ids.shape[1] + 1} or less."
        )
    near = np.column_stack([np.arange(len(x)), ids[:, : n_neighbours - 1]])
    far = np.column_stack([np.zeros(len(x)), dist[:, : n_neighbours - 1]])
    epochs = 500 if len(x) <= MANY_ROWS else 200
    return _lay_out(_main_axes(x, seed), near, far, seed, epochs, progress)


def placed_on(
    places: Float[np.ndarray, "n 2"],
    graph: tuple[np.ndarray, np.ndarray],
    seed: int,
    n_neighbours: int = 15,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n 2"]:
    """Place the same rows, seen by another model, on a map that stays as it is.

    Each row begins at the weighted mean of the places of its neighbours, and UMAP's steps move it
    alone. Neighbours are those of the other model, so its space may be turned, scaled or of another
    width: only who lies near whom is read. A row's own old place is never read.

    Args:
        places: the map, one place per row.
        graph: `whole_set_graph` of the same rows under the other model.
        seed: equal seeds give equal places, to the bit, on one machine.
        n_neighbours: as many as the map was drawn with; the graph holds at least one less.
        progress: told (epochs done, epochs in all).

    Raises:
        ConfigError: the graph holds too few neighbours.
        DataError: a place is not finite, or the graph is of other rows.

    Source:
        `UMAP.transform` of umap-learn, its weights, start and number of epochs. Given neighbours
        replace its own search in the first model's space, which would mean nothing here.
    """
    dist, ids = graph
    if dist.shape != ids.shape or len(ids) != len(places) or not np.isfinite(places).all():
        raise DataError(
            f"Placing needs one finite place and one row of neighbours per pair, got {len(places)} "
            f"places and {len(ids)} rows. Draw the map and the graph of the same pairs."
        )
    if ids.shape[1] < n_neighbours - 1:
        raise ConfigError(
            f"n_neighbours={n_neighbours} needs {n_neighbours - 1} neighbours per row, the graph "
            f"holds {ids.shape[1]}. Lower it to {ids.shape[1] + 1} or less."
        )
    near = ids[:, : n_neighbours - 1].astype(np.int32)
    return _placed(
        places.astype(np.float32), near, dist[:, : n_neighbours - 1].astype(np.float32), seed, progress
    )  # fmt: skip


def _placed(
    fixed: Float32[np.ndarray, "n 2"],
    near: np.ndarray,
    far: np.ndarray,
    seed: int,
    progress: Progress | None,
) -> Float32[np.ndarray, "n 2"]:
    from sklearn.utils import check_random_state

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap.layouts import optimize_layout_euclidean
        from umap.umap_ import (
            compute_membership_strengths,
            find_ab_params,
            make_epochs_per_sample,
            smooth_knn_dist,
        )

    n, k = near.shape
    sigmas, rhos = smooth_knn_dist(far, float(k), local_connectivity=0.0)
    _, _, strength, _ = compute_membership_strengths(near, far, sigmas, rhos, bipartite=True)
    weights = strength.reshape(n, k).astype(np.float64)
    start = (weights[:, :, None] * fixed[near]).sum(axis=1) / weights.sum(axis=1)[:, None]
    epochs = 100 if n <= MANY_ROWS else 30
    kept = strength >= strength.max() / epochs
    head, tail = np.repeat(np.arange(n, dtype=np.int32), k)[kept], near.ravel()[kept]
    a, b = find_ab_params(SPREAD, MIN_DIST)
    state = check_random_state(seed).randint(-(2**31) + 1, 2**31 - 1, 3).astype(np.int64)
    bar = {"disable": progress is None, "file": _Bar(progress), "bar_format": "{n_fmt}/{total_fmt}"}
    made = optimize_layout_euclidean(
        start.astype(np.float32), fixed.copy(), head, tail, epochs, n,
        make_epochs_per_sample(strength[kept], epochs), a, b, state, gamma=1.0, initial_alpha=0.25,
        negative_sample_rate=5, parallel=False, tqdm_kwds=bar, move_other=False,
    )  # fmt: skip
    return np.asarray(made, np.float32)


def _lay_out(
    start: Float32[np.ndarray, "n 2"],
    near: Int64[np.ndarray, "n k"],
    far: Float[np.ndarray, "n k"],
    seed: int,
    epochs: int,
    progress: Progress | None,
) -> Float32[np.ndarray, "n 2"]:
    from sklearn.utils import check_random_state

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

    random = check_random_state(seed)
    weights, *_ = fuzzy_simplicial_set(
        start, near.shape[1], random, "euclidean",
        knn_indices=near.astype(np.int32), knn_dists=far.astype(np.float32),
    )  # fmt: skip
    a, b = find_ab_params(SPREAD, MIN_DIST)
    bar = {"disable": progress is None, "file": _Bar(progress), "bar_format": "{n_fmt}/{total_fmt}"}
    places, _ = simplicial_set_embedding(
        start, weights, n_components=2, initial_alpha=1.0, a=a, b=b, gamma=1.0,
        negative_sample_rate=5, n_epochs=epochs, init=start, random_state=random,
        metric="euclidean", metric_kwds={}, densmap=False, densmap_kwds={}, output_dens=False,
        parallel=False, tqdm_kwds=bar,
    )  # fmt: skip
    return places.astype(np.float32)


class _Bar:
    """Where umap-learn writes its progress bar; it tells us its epochs in no other way."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress

    def write(self, text: str) -> None:
        done, _, total = text.strip().partition("/")
        if self.progress is not None and done.isdecimal() and total.isdecimal():
            self.progress(int(done), int(total))

    def flush(self) -> None:
        pass


def _main_axes(x: np.ndarray, seed: int) -> Float32[np.ndarray, "n 2"]:
    """The two main axes, scaled to 10, with a trace of noise that parts exact copies."""
    exponent = -int(np.frexp(np.abs(x).max())[1])

    def chunks() -> Iterator[np.ndarray]:
        for at in range(0, len(x), CHUNK_ROWS):
            yield np.ldexp(as_float(x[at : at + CHUNK_ROWS]).astype(np.float64), exponent)

    middle = sum(rows.sum(axis=0) for rows in chunks()) / len(x)
    scatter = sum((rows - middle).T @ (rows - middle) for rows in chunks())
    axes = np.linalg.eigh(scatter)[1][:, :-3:-1]
    # an axis has no sign of its own: let its largest number be positive
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    flat = np.zeros((len(x), 2))  # embeddings of one number have one axis
    flat[:, : axes.shape[1]] = np.concatenate([(rows - middle) @ axes for rows in chunks()])
    flat *= 10 / (np.abs(flat).max() or 1.0)
    return (flat + np.random.default_rng(seed).normal(0, NOISE, flat.shape)).astype(np.float32)
