"""Write a poisoned data set's pictures and tables: in parallel, losslessly, resumable."""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.attacks import Attack, build
from clipforensics.attacks.plan import Plan, table_order
from clipforensics.attacks.source import Source
from clipforensics.attacks.stamping import Box, digest_of, hash_of_pixels, row_generator, row_number
from clipforensics.config.attack import PoisonSettings, TargetedSettings
from clipforensics.data.images import write_bytes, write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import write_pairs
from clipforensics.errors import DataError

CHUNK = 250
Progress = Callable[[int, int], None]


def write_pictures(
    source: Source,
    settings: PoisonSettings,
    plan: Plan,
    out: Path,
    progress: Progress | None,
    workers: int | None,
    should_stop: Callable[[], bool],
) -> list[dict[str, Any]]:
    """Write every training and test picture, and say of each poisoned one what was done to it.

    Raises:
        DataError: stopped; what is written is kept.
    """
    sizes = {
        "row": len(source.ids), "copy": len(plan.copies), "test": len(source.test_ids),
    }  # fmt: skip
    chunks = [
        (what, range(start, min(start + CHUNK, total)))
        for what, total in sizes.items()
        for start in range(0, total, CHUNK)
    ]
    whole = sum(sizes.values())
    records: list[dict[str, Any]] = []
    done = 0
    job = _Job(source, settings, plan, out)
    # spawn, because the caller may hold threads, which a forked child cannot survive
    with ProcessPoolExecutor(
        workers or os.cpu_count() or 1, get_context("spawn"), _begin, (job,)
    ) as pool:
        for (_, rows), found in zip(chunks, pool.map(_write_chunk, chunks), strict=True):
            records += found
            done += len(rows)
            if progress:
                progress(done, whole)
            if should_stop():
                pool.shutdown(cancel_futures=True)
                raise DataError(
                    f"Stopped after {done:,} of {whole:,} pictures; start again to resume."
                )
    return records


@dataclass(frozen=True)
class _Job:
    source: Source
    settings: PoisonSettings
    plan: Plan
    out: Path


_job: _Job | None = None
_attacks: list[Attack] = []


def _begin(job: _Job) -> None:
    # a worker process serves one job; sending it with every chunk would cost more
    global _job, _attacks
    _job, _attacks = job, built(job.settings, job.source.side)


def built(settings: PoisonSettings, side: int) -> list[Attack]:
    """The triggers, in the order of `settings.parts`; none for targeted poisoning."""
    if isinstance(settings.attack, TargetedSettings):
        return []
    return [build(attack, side) for attack, _ in settings.parts]


def _write_chunk(chunk: tuple[str, range]) -> list[dict[str, Any]]:
    assert _job is not None
    what, rows = chunk
    write = {"row": _write_row, "copy": _write_copy, "test": _write_test}[what]
    return [record for row in rows if (record := write(_job, row))]


def _write_test(job: _Job, row: int) -> None:
    path = job.out / "test" / f"{file_name(job.source.test_ids[row])}.png"
    if not path.exists():
        write_png(path, job.source.test_picture(row))


def _write_copy(job: _Job, at: int) -> dict[str, Any]:
    copy = job.plan.copies[at]
    base = job.source.test_picture(copy.test_row)
    write_png(job.out / "images" / f"{file_name(copy.id)}.png", base)
    name = job.source.test_ids[copy.test_row]
    return _record(
        copy.id, name, "tdpa", copy.target, None, None, (None, copy.caption), (base, base)
    )


def _write_row(job: _Job, row: int) -> dict[str, Any] | None:
    name, seed = job.source.ids[row], job.settings.seed
    path = job.out / "images" / f"{file_name(name)}.png"
    if row not in job.plan.captions:
        if not path.exists():
            write_png(path, job.source.picture(row))
        return None
    part = job.plan.parts[row]
    base = job.source.picture(row)
    stamped, box = _attacks[part].stamp(base, row_generator(seed, name))
    write_png(path, stamped)
    attack, target = job.settings.parts[part]
    captions = job.source.captions[row], job.plan.captions[row]
    return _record(name, name, attack.kind, target, box, seed, captions, (base, stamped))


def _record(
    name: str, source_id: str, trigger: str, target: str, box: Box | None, seed: int | None,
    captions: tuple[str | None, str], pictures: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": name,
        "source_id": source_id,
        "trigger": trigger,
        "target": target,
        "box_xyxy": [list(box)] if box else None,
        "seed": None if seed is None else [seed, row_number(name)],
        "caption_before": captions[0],
        "caption_after": captions[1],
        "sha256_before": hash_of_pixels(pictures[0]),
        "sha256_after": hash_of_pixels(pictures[1]),
    }


def file_name(name: str) -> str:
    """A safe file name for an id: the id itself when it is plain, else its hash."""
    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain and len(name) <= 100 else digest_of(name).hex()


def write_tables(source: Source, plan: Plan, labels: LabelSet, out: Path) -> None:
    """Write pairs.csv, test.csv where there are test pictures, and labels.txt."""
    ids, captions = [], []
    for what, at in table_order(source, plan):
        if what == "copy":
            ids.append(plan.copies[at].id)
            captions.append(plan.copies[at].caption)
        else:
            ids.append(source.ids[at])
            captions.append(plan.captions.get(at, source.captions[at]))
    paths = tuple(out / "images" / f"{file_name(name)}.png" for name in ids)
    write_pairs(out / "pairs.csv", Pairs(tuple(ids), tuple(captions), paths))
    if source.test_ids:
        names = tuple(out / "test" / f"{file_name(name)}.png" for name in source.test_ids)
        blank = tuple("" for _ in names)
        write_pairs(out / "test.csv", Pairs(source.test_ids, blank, names, source.test_labels))
    lines = [f"template: {template}" for template in labels.templates] + list(labels.names)
    write_bytes(out / "labels.txt", ("\n".join(lines) + "\n").encode())
    (out / "unfinished.txt").unlink(missing_ok=True)
