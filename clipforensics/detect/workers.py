"""Several reference sets at a time, one per core, each on a single thread of its own."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

LEAST_WORK = 1e8  # multiplications below which a thread costs more than it brings


def cores() -> int:
    """Cores this process may use: what the system lends it, or less where OMP_NUM_THREADS says."""
    lent = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(lent, int(asked))) if asked.isdigit() else lent


@contextmanager
def each_in_turn(
    act: Callable[[Any], Any], tasks: Sequence[Any], work: float
) -> Iterator[Iterator[Any]]:
    """Give the answers of act(task) in order, worked out a little ahead on all cores.

    Most of a search is done outside the interpreter lock, but parts of it on one core only; whole
    sets side by side use the cores better than threads within one set.

    Args:
        act: may run in another thread.
        tasks: what it is asked.
        work: multiplications in a task; small ones are done one after another.
    """
    count = min(cores(), len(tasks))
    if count == 1 or work < LEAST_WORK:
        yield map(act, tasks)
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), ThreadPoolExecutor(count, "sets", _one_thread) as pool:
        try:
            yield _ahead(pool, act, tasks, count + 1)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, act: Callable[[Any], Any], tasks: Sequence[Any], depth: int
) -> Iterator[Any]:
    waiting = deque(pool.submit(act, task) for task in tasks[:depth])
    for task in tasks[depth:]:
        answer = waiting.popleft().result()
        waiting.append(pool.submit(act, task))
        yield answer
    while waiting:
        yield waiting.popleft().result()


def _one_thread() -> None:
    import faiss

    faiss.omp_set_num_threads(1)  # a setting of the calling thread
