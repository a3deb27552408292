"""Embed the pairs of a case with its suspect: streaming, resumable, kept as evidence.

Rows stay aligned with the pairs. A picture that cannot be read has a row of NaN, its reason in
`bad.json`, and no part in any score.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import (
    evidence_dir,
    is_made,
    part_of,
    publish,
    read_made,
    write_json,
)
from clipforensics.data.images import decode_picture, to_frame
from clipforensics.data.pairs import Pairs
from clipforensics.errors import CaseError, DataError, RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.growing import BATCHES, GrowingTables
from clipforensics.models.encoder import Encoder

BATCH = 256
"""Rows that are encoded and kept together; what `kill -9` can cost is one batch."""
DECODERS = 2
AHEAD = 3
MAX_PICTURE_BYTES = 256_000_000
MEMO_CAPTIONS = 50_000
BAD = "bad.json"

Progress = Callable[..., None]
Stop = Callable[[], bool]


def embedding_key(case: Case) -> dict[str, Any]:
    """What decides the embeddings: the pairs and the suspect."""
    model = case.fingerprints.get("model", case.settings.model)
    return {
        "data": case.fingerprints["data"],
        "model": model,
        "weights": case.fingerprints["weights"],
    }


def embedding_dir(case: Case) -> Path:
    """Where the embeddings of a case lie, or will lie."""
    return evidence_dir(case, "embeddings", embedding_key(case))


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


def embeddings(case: Case) -> np.ndarray:
    """Raw picture features, float32 [n, d], memory-mapped read-only; rows of NaN are bad pictures.

    Raises:
        CaseError: the case is not embedded yet.
    """
    return _table(case, "images")


def text_embeddings(case: Case) -> np.ndarray:
    """Raw caption features, float32 [n, d], memory-mapped read-only. Raises CaseError as above."""
    return _table(case, "texts")


def is_embedded(case: Case) -> bool:
    """Whether the embeddings are there."""
    return is_made(embedding_dir(case))


def bad_pictures(case: Case) -> dict[int, str]:
    """Why each bad picture could not be embedded, by row."""
    _needs(case)
    return read_bad(embedding_dir(case))


def read_bad(folder: Path) -> dict[int, str]:
    """The bad pictures of any embeddings."""
    content = json.loads((folder / BAD).read_text(encoding="utf-8"))
    return {int(row): str(reason) for row, reason in content}


def scored_rows(case: Case) -> np.ndarray:
    """Rows that have an embedding, int64, ascending."""
    good = np.ones(len(case.pairs), bool)
    good[list(bad_pictures(case))] = False
    return np.flatnonzero(good)


def _table(case: Case, name: str) -> np.ndarray:
    _needs(case)
    return np.load(embedding_dir(case) / f"{name}.npy", mmap_mode="r", allow_pickle=False)


def _needs(case: Case) -> None:
    if not is_embedded(case):
        raise CaseError(
            f"The pairs of the case {case.name!r} are not embedded yet. Run a scan first."
        )


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
    for start, frames, hashes, bad in _decoded(pairs, starts, encoder.side):
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


def _decoded(
    pairs: Pairs, starts: Sequence[int], side: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[int, str]]]:
    """Decode a few batches ahead in threads: Pillow works outside the interpreter lock."""
    with ThreadPoolExecutor(DECODERS, "decode") as pool:
        try:
            waiting: deque = deque()
            upcoming = iter(starts)
            while True:
                while len(waiting) < AHEAD and (start := next(upcoming, None)) is not None:
                    waiting.append(pool.submit(_decode, pairs, start, side))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decode(
    pairs: Pairs, start: int, side: int
) -> tuple[int, np.ndarray, np.ndarray, dict[int, str]]:
    rows = range(start, min(start + BATCH, len(pairs)))
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


def content_of(path: Path) -> bytes:
    """The bytes of a picture file. Raises DataError when it is none, too large or unreadable."""
    try:
        if not path.is_file():  # a named pipe would never end
            raise DataError(f"No picture at {path}. Put the file there, or remove its row.")
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise DataError(f"{path} is larger than {MAX_PICTURE_BYTES:,} bytes. Remove its row.")
        return path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Check the file.") from None


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


def embedding_record(case: Case) -> dict[str, Any]:
    """What made the embeddings: device, seconds, versions, file hashes."""
    return read_made(embedding_dir(case))
