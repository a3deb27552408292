"""Embed the pairs of a case with its suspect: streaming, resumable, kept as evidence.

Rows stay aligned with the pairs. A picture that cannot be read has a row of NaN, its reason in
`bad.json`, and no part in any score.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import (
    is_made,
    part_of,
    publish,
    write_json,
)
from clipforensics.data.pairs import Pairs
from clipforensics.errors import DataError, RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.decoding import decoded
from clipforensics.jobs.scanning.embedded import BAD, embedding_dir, embedding_key
from clipforensics.jobs.scanning.growing import BATCHES, GrowingTables
from clipforensics.models.encoder import Encoder

BATCH = 256
"""Rows that are encoded and kept together; what `kill -9` can cost is one batch."""
MEMO_CAPTIONS = 50_000

Progress = Callable[..., None]
Stop = Callable[[], bool]


def embed(
    case: Case,
    progress: Progress | None = None,
    stop: Stop | None = None,
    device: str = "auto",
    encoder: Encoder | None = None,
) -> Path:
    """Embed pictures and captions, going on from the last whole batch of an earlier attempt.

    Args:
        case: the case.
        progress: told (rows done, rows in all, message).
        stop: asked between batches.
        device: "auto" takes CUDA when there is one; the encoder runs under autocast there.
        encoder: the suspect, if it is loaded already.

    Returns:
        The evidence folder: images.npy, texts.npy (float32 [n, d], raw features), pictures.npy
        (uint8 [n, 32], SHA-256 of each picture file), bad.json.

    Raises:
        DataError: not one picture can be read.
        RunError: the disk is full; finished batches are kept.
        Stopped: `stop` said so; finished batches are kept.
    """
    return embed_table(
        case, case.pairs, embedding_dir(case), embedding_key(case), progress, stop, device, encoder
    )


def embed_table(
    case: Case,
    pairs: Pairs,
    folder: Path,
    key: dict[str, Any],
    progress: Progress | None = None,
    stop: Stop | None = None,
    device: str = "auto",
    encoder: Encoder | None = None,
) -> Path:
    """`embed` for any pairs, by the case's suspect, into the evidence folder of this key."""
    if is_made(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _turn(folder, progress, stop):
        if is_made(folder):
            return folder
        try:
            encoder = encoder or case.suspect(device)
            tables = _fill(pairs, encoder, part_of(folder), progress, stop)
            _finish(key, tables, folder, encoder)
        except OSError as problem:
            raise _told(problem, folder) from None
    return folder


def _fill(
    pairs: Pairs, encoder: Encoder, part: Path, progress: Progress | None, stop: Stop | None
) -> GrowingTables:
    tables = GrowingTables(
        part,
        len(pairs),
        {"images": (encoder.dim, "<f4"), "texts": (encoder.dim, "<f4"), "pictures": (32, "|u1")},
    )
    done = sum(line["stop"] - line["start"] for line in tables.batches.values())
    starts = [start for start in range(0, len(pairs), BATCH) if start not in tables.batches]
    captions = _Captions(encoder)
    for start, frames, hashes, bad in decoded(pairs, starts, BATCH, encoder.side):
        if stop is not None and stop():
            raise Stopped(
                f"Embedding was stopped after {done:,} of {len(pairs):,} pairs; they are kept."
            )
        if progress is not None:
            progress(done, len(pairs), "embedding the pairs")
        began = time.perf_counter()
        rows = slice(start, start + len(frames))
        parts = {
            "images": _features(encoder, frames, [row - start for row in bad]),
            "texts": captions.features(pairs.captions[rows]),
            "pictures": hashes,
        }
        seconds = time.perf_counter() - began
        tables.write(start, parts, bad=list(bad.items()), seconds=seconds)
        done += len(frames)
    if progress is not None:
        progress(done, len(pairs), "embedding the pairs")
    return tables


def _features(encoder: Encoder, frames: np.ndarray, bad: list[int]) -> np.ndarray:
    good = np.ones(len(frames), bool)
    good[bad] = False
    out = np.full((len(frames), encoder.dim), np.nan, np.float32)
    if good.any():
        out[good] = encoder.encode_pictures(frames[good])
    return out


class _Captions:
    """Encodes each different caption once: captions repeat, and the text tower is not free."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, np.ndarray] = {}

    def features(self, captions: Sequence[str]) -> np.ndarray:
        """float32 [n, d]."""
        if len(self._known) > MEMO_CAPTIONS:
            self._known.clear()
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        if new:
            self._known.update(zip(new, self._encoder.encode_texts(new), strict=True))
        return np.stack([self._known[caption] for caption in captions])


def _finish(key: dict[str, Any], tables: GrowingTables, folder: Path, encoder: Encoder) -> None:
    lines = [tables.batches[start] for start in sorted(tables.batches)]
    bad = [entry for line in lines for entry in line["bad"]]
    if len(bad) == tables.rows:
        shutil.rmtree(tables.folder, ignore_errors=True)
        raise DataError(
            f"Not one of the {tables.rows:,} pictures can be read (first: {bad[0][1]}) "
            "Set the picture folder (image root) to where they lie."
        )
    tables.close()
    write_json(tables.folder / BAD, bad)
    (tables.folder / BATCHES).unlink(missing_ok=True)
    seconds = sum(line["seconds"] for line in lines)
    publish(
        tables.folder, folder, key,
        rows=tables.rows, bad=len(bad), dim=encoder.dim, seconds_encoding=seconds,
        device=str(getattr(encoder, "device", "unknown")),
    )  # fmt: skip


@contextmanager
def _turn(folder: Path, progress: Progress | None, stop: Stop | None) -> Iterator[None]:
    """One process at a time fills a part; the system frees the lock when it dies."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            if stop is not None and stop():
                raise Stopped("Stopped while another process embeds this case.") from None
            if progress is not None:
                progress(0, 0, "waiting: another process embeds this case")
    try:
        yield
    finally:
        lock.release()


def _told(problem: OSError, folder: Path) -> RunError:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder.parent).free
        return RunError(
            f"The disk of {folder.parent} is full ({free / 1e6:,.1f} MB free) while embedding. "
            "Free space and start again; finished batches are kept."
        )
    return RunError(
        f"Embedding cannot write to {folder.parent}: {os.strerror(problem.errno or 0)}."
    )
