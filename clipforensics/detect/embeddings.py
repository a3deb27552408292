"""The door embeddings come through: checked, cast, normalized, exact copies found."""

import contextlib
import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, UInt64

from clipforensics.errors import DataError, RunError

CHUNK_NUMBERS = 4_000_000  # read at a time, so that a memory-mapped file never loads whole
TAKEN_ROWS = 256  # of a memory-mapped file, before its pages are handed back
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
        DataError: not a table, not floating point, empty, NaN, infinity, (if normalize) a zero, or
            a file that another process cut.
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
    for start, rows in chunks(x, stop):
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
    """Some rows in memory, as they are or normalized; x may be a memory-mapped file.

    A page that is touched brings many of its neighbours in, so 2,048 rows here and there can map a
    file of gigabytes. A few rows at a time cost no more.
    """
    chosen = np.empty((len(rows), x.shape[1]), as_float(x[:0]).dtype)
    for start in range(0, len(rows), TAKEN_ROWS):
        part = slice(start, start + TAKEN_ROWS)
        check_whole(x)
        chosen[part] = x[rows[part]]
        release(x)
    return unit_rows(chosen) if normalize else chosen


@dataclass(frozen=True)
class Copies:
    """Which rows are exact copies of each other.

    Attributes:
        first: [m] one row of each different embedding, ascending; of exact copies the first.
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

    def members(self, places: Int64[np.ndarray, " _"]) -> Int64[np.ndarray, " _"]:
        """All rows that equal one of these different embeddings, ascending."""
        return np.flatnonzero(np.isin(self.place, places))


def find_copies(
    x: np.ndarray, normalize: bool = False, stop: Callable[[], bool] | None = None
) -> Copies:
    """Find exact copies among embeddings [n, d], in chunks.

    Rows that share a cheap mark are compared by a 128-bit digest, since an adversary may have
    chosen them; 0 and -0 are equal, and a float16 file has the copies that the same values have
    as float32.
    """
    exact = np.float64 if x.dtype == np.float64 else np.float32
    factors = np.frombuffer(os.urandom(x.shape[1] * np.dtype(exact).itemsize * 2), np.uint64)
    alike = _shared(_sums(x, normalize, factors, exact, stop))
    first = np.arange(len(x))
    seen: dict[bytes, int] = {}
    for row in alike:
        first[row] = seen.setdefault(_digest(x, int(row), normalize), int(row))
    release(x)
    kept, place = np.unique(first, return_inverse=True)
    return Copies(kept.astype(np.int64), place.astype(np.int64))


def equal_rows(
    x: np.ndarray, rows: Int64[np.ndarray, " m"], others: np.ndarray, normalize: bool = False
) -> Int64[np.ndarray, " q"]:
    """For each of some other rows [q, d] one of these rows of x that it equals, else -1."""
    held = {_digest(x, int(row), normalize): int(row) for row in rows[::-1]}
    release(x)
    found = [held.get(_digest(others, row, normalize), -1) for row in range(len(others))]
    return np.array(found, np.int64)


def content_words(
    x: np.ndarray,
    rows: Int64[np.ndarray, " m"],
    normalize: bool = False,
    stop: Callable[[], bool] | None = None,
) -> UInt64[np.ndarray, " m"]:
    """A number for each of these rows that hangs on nothing but what the row holds.

    Different rows have different numbers, and the same values in another precision the same ones.
    They do not look random: mix before sorting by them. The table is read once, in chunks.
    """
    factors = np.random.default_rng(0).integers(2**64, size=x.shape[1], dtype=np.uint64)
    words = _sums(x, normalize, factors, np.float32, stop)[rows]
    for at in _shared(words):
        words[at] = int.from_bytes(_digest(x, int(rows[at]), normalize)[:8], "big")
    release(x)
    return words


def _sums(
    x: np.ndarray,
    normalize: bool,
    factors: UInt64[np.ndarray, " w"],
    dtype: type[np.floating],
    stop: Callable[[], bool] | None,
) -> UInt64[np.ndarray, " n"]:
    """Equal rows have equal sums; others differ but for a chance of about 1 in 2^32 a pair.

    Rows are rounded to the dtype, and need a factor for each 32 bits of it. Factors from the system cannot be foreseen, so nobody can choose rows that share a sum.
    """
    factors, sums = factors | np.uint64(1), np.empty(len(x), np.uint64)
    for start, rows in chunks(x, stop):
        rows = unit_rows(rows) if normalize else as_float(rows)
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(rows, dtype) + np.float32(0)  # -0 is 0
        bits = rows.view(np.uint32).reshape(len(rows), len(factors))
        bits ^= bits >> np.uint32(15)  # what was float16 has low bits of 0 only
        sums[start : start + len(rows)] = np.einsum("nd,d->n", bits, factors, dtype=np.uint64)
    return sums


def _shared(sums: UInt64[np.ndarray, " n"]) -> Int64[np.ndarray, " _"]:
    """Rows, ascending, whose sum some other row has too."""
    order = np.argsort(sums, kind="stable")
    same = sums[order[1:]] == sums[order[:-1]]
    alike = np.zeros(len(sums), bool)
    alike[order[1:][same]] = alike[order[:-1][same]] = True
    return np.flatnonzero(alike)


def _digest(x: np.ndarray, row: int, normalize: bool) -> bytes:
    check_whole(x)
    one = x[row : row + 1]
    one = (unit_rows(one) if normalize else as_float(one)) + np.float32(0)
    return hashlib.blake2b(one.tobytes(), digest_size=DIGEST_BYTES).digest()


def release(x: np.ndarray) -> None:
    """Hand the pages of a memory-mapped file back, so that a file never fills the memory.

    They stay in the system's cache and come back when read. Arrays in memory are left alone.
    """
    base = _mapped(x)
    if base is None or getattr(base, "mode", "") == "c":
        return  # copy on write: what was changed lives in these pages alone
    with contextlib.suppress(ValueError, OSError, AttributeError):
        base._mmap.madvise(mmap.MADV_DONTNEED)


def check_whole(x: np.ndarray) -> None:
    """Refuse a memory-mapped file that is shorter than the table: reading on would kill the process.

    Called before each block that is read, of a few milliseconds; a file cut within one still kills.

    Raises:
        DataError: another process cut it.
    """
    base = _mapped(x)
    if base is None:
        return
    with contextlib.suppress(ValueError, OSError):
        offset = getattr(base, "offset", 0)
        needed = len(base._mmap) + offset - offset % mmap.ALLOCATIONGRANULARITY
        held = base._mmap.size()  # of the open file, whatever bears its name now
        if held < needed:
            raise DataError(
                f"{getattr(base, 'filename', None) or 'The file of embeddings'} was cut short while it "
                f"was read: it holds {held:,} bytes of {needed:,}. Start again when it is whole."
            )


def _mapped(x: np.ndarray) -> Any | None:
    """The memory-mapped array that x is, or is a view of."""
    base: Any = x
    while isinstance(base, np.ndarray):
        if getattr(base, "_mmap", None) is not None:
            return base
        base = base.base
    return None


def chunks(
    x: np.ndarray, stop: Callable[[], bool] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Some rows at a time, and where they begin; a mapped file gives each back to the disk.

    Raises:
        DataError: the file was cut short meanwhile.
        RunError: stopped on request.
    """
    step = max(1, CHUNK_NUMBERS // x.shape[1])
    for start in range(0, len(x), step):
        if stop is not None and stop():
            raise RunError(f"Stopped while reading the embeddings, at row {start:,}.")
        check_whole(x)
        yield start, np.asarray(x[start : start + step])
        release(x)
