"""The door embeddings come through: checked, cast, normalized, exact copies found."""

import contextlib
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt64

from clipforensics.errors import DataError, RunError

CHUNK_NUMBERS = 4_000_000  # read at a time, so that a memory-mapped file never loads whole
DIGEST_BYTES = 16


def check_embeddings(
    x: np.ndarray, normalize: bool = False, stop: Callable[[], bool] | None = None
) -> None:
    """Refuse what no detector can score.

    Args:
        x: embeddings [n, d], in memory or memory-mapped; read once, in chunks.
        normalize: rows will be divided by their length, so zero vectors are refused too.
        stop: asked all along; true ends the reading.

    Raises:
        DataError: not a table, not floating point, empty, NaN, infinity, or (if normalize) a zero.
        RunError: stopped on request.
    """
    if x.ndim != 2:
        raise DataError(
            f"Embeddings must be a table of [rows, numbers], got shape {list(x.shape)}. "
            "Give one embedding per row."
        )
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(
            f"Embeddings must be float16, float32 or float64, got {x.dtype}. Convert them first."
        )
    if 0 in x.shape:
        raise DataError(
            f"There are no embeddings: got {x.shape[0]} rows of {x.shape[1]} numbers. "
            "Embed the pairs first."
        )
    broken, zero = [], []
    for start, rows in _chunks(x, stop):
        broken.extend(start + np.flatnonzero(~np.isfinite(rows).all(axis=1)))
        zero.extend(start + np.flatnonzero(~rows.any(axis=1)) if normalize else ())
    if broken:
        raise DataError(
            f"{len(broken):,} of {len(x):,} embeddings contain NaN or infinity "
            f"(first: row {broken[0]}). Remove these images or embed them again."
        )
    if zero:
        raise DataError(
            f"{len(zero):,} of {len(x):,} embeddings are zero and have no direction "
            f"(first: row {zero[0]}). Remove these images, or score raw features."
        )


def as_float(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """In memory, as float64 if it was, else float32, which holds every float16 exactly."""
    return np.ascontiguousarray(x, dtype=np.float64 if x.dtype == np.float64 else np.float32)


def unit_rows(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Every row divided by its length; float64 stays, the rest becomes float32.

    Raises:
        DataError: a row is zero, or not finite.
    """
    check_embeddings(x, normalize=True)
    x = as_float(x)
    # the largest number of a row first, so that no square overflows or vanishes
    wide = x.astype(np.float64) / np.abs(x).max(axis=1, keepdims=True).astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(x.dtype)


def take(
    x: np.ndarray, rows: Int64[np.ndarray, " m"], normalize: bool = False
) -> Float[np.ndarray, "m d"]:
    """Some rows in memory, as they are or normalized; x may be a memory-mapped file."""
    chosen = as_float(x[rows])
    return unit_rows(chosen) if normalize else chosen


@dataclass(frozen=True)
class Copies:
    """Which rows are exact copies of each other.

    Attributes:
        first: [m] the row where each different embedding comes first, ascending.
        place: [n] for every row, the position in `first` of the embedding it equals.
    """

    first: np.ndarray
    place: np.ndarray

    def groups(self) -> list[Int64[np.ndarray, " _"]]:
        """The rows of every group of two or more equal embeddings, largest group first."""
        order = np.argsort(self.place, kind="stable")
        cuts = np.cumsum(np.bincount(self.place, minlength=len(self.first)))[:-1]
        groups = [rows for rows in np.split(order, cuts) if len(rows) > 1]
        return sorted(groups, key=len, reverse=True)


def find_copies(
    x: np.ndarray, normalize: bool = False, stop: Callable[[], bool] | None = None
) -> Copies:
    """Find exact copies among embeddings [n, d], in chunks.

    Rows that share a cheap mark are compared by a 128-bit digest, since an adversary may have
    chosen them; 0 and -0 are equal, and a float16 file has the copies that the same values have
    as float32.
    """
    marks = _marks(x, normalize, stop)
    order = np.argsort(marks, kind="stable")
    same = marks[order[1:]] == marks[order[:-1]]
    alike = np.zeros(len(x), bool)
    alike[order[1:][same]] = alike[order[:-1][same]] = True
    first = np.arange(len(x))
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(alike):
        first[row] = seen.setdefault(_digest(x, int(row), normalize), int(row))
    release(x)
    kept, place = np.unique(first, return_inverse=True)
    return Copies(kept.astype(np.int64), place.astype(np.int64))


def _marks(
    x: np.ndarray, normalize: bool, stop: Callable[[], bool] | None
) -> UInt64[np.ndarray, " n"]:
    """Equal rows have equal marks; others differ but for a chance of about 1 in 2^32 a pair.

    The factors come from the system, so nobody can choose rows that share a mark.
    """
    words = x.shape[1] * (2 if x.dtype == np.float64 else 1)
    factors = np.frombuffer(os.urandom(8 * words), np.uint64) | np.uint64(1)
    marks = np.empty(len(x), np.uint64)
    for start, rows in _chunks(x, stop):
        rows = (unit_rows(rows) if normalize else as_float(rows)) + np.float32(0)  # -0 is 0
        bits = rows.view(np.uint32).reshape(len(rows), words)
        marks[start : start + len(rows)] = np.einsum("nd,d->n", bits, factors, dtype=np.uint64)
    return marks


def _digest(x: np.ndarray, row: int, normalize: bool) -> bytes:
    one = x[row : row + 1]
    one = (unit_rows(one) if normalize else as_float(one)) + np.float32(0)
    return hashlib.blake2b(one.tobytes(), digest_size=DIGEST_BYTES).digest()


def release(x: np.ndarray) -> None:
    """Hand the pages of a memory-mapped file back, so that a file never fills the memory.

    They stay in the system's cache and come back when read. Arrays in memory are left alone.
    """
    while x is not None:
        held = getattr(x, "_mmap", None)
        if held is not None:
            if getattr(x, "mode", "") == "c":
                return  # copy on write: what was changed lives in these pages alone
            with contextlib.suppress(ValueError, OSError, AttributeError):
                held.madvise(mmap.MADV_DONTNEED)
            return
        x = x.base if isinstance(x, np.ndarray) else None


def _chunks(
    x: np.ndarray, stop: Callable[[], bool] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    step = max(1, CHUNK_NUMBERS // x.shape[1])
    for start in range(0, len(x), step):
        if stop is not None and stop():
            raise RunError(f"Stopped while reading the embeddings, at row {start:,}.")
        yield start, np.asarray(x[start : start + step])
        release(x)
