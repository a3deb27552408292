"""Picture files of many pairs into frames, a batch at a time."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from clipforensics.data.images import content_of, decode_picture, to_frame
from clipforensics.data.pairs import Pairs
from clipforensics.errors import DataError

DECODERS = 2
AHEAD = 3


def decoded(
    pairs: Pairs, starts: Sequence[int], batch: int, side: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[int, str]]]:
    """Decode batches, a few ahead, in threads: Pillow works outside the interpreter lock.

    Args:
        pairs: the pairs.
        starts: the first row of each batch.
        batch: rows of a batch; the last one may have fewer.
        side: of the frames.

    Yields:
        start, frames uint8 [b, side, side, 3], SHA-256 of the files uint8 [b, 32], and why each bad
        picture could not be read, by row.
    """
    with ThreadPoolExecutor(DECODERS, "decode") as pool:
        try:
            waiting: deque = deque()
            upcoming = iter(starts)
            while True:
                while len(waiting) < AHEAD and (start := next(upcoming, None)) is not None:
                    waiting.append(pool.submit(_decode, pairs, start, batch, side))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decode(
    pairs: Pairs, start: int, batch: int, side: int
) -> tuple[int, np.ndarray, np.ndarray, dict[int, str]]:
    rows = range(start, min(start + batch, len(pairs)))
    frames = np.zeros((len(rows), side, side, 3), np.uint8)
    hashes = np.zeros((len(rows), 32), np.uint8)
    bad: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            content = content_of(pairs.path(row))
            hashes[place] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            frames[place] = to_frame(decode_picture(content, name=str(pairs.paths[row])), side)
        except DataError as problem:
            bad[row] = str(problem)
    return start, frames, hashes, bad
