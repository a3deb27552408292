"""Poison a source of pairs: choose rows, stamp them, replace their captions, write everything.

Clean rows take the same road as poisoned ones: framed, then stored losslessly. The manifest is
written last, so a folder without one is unfinished.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import floor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from clipforensics import __version__
from clipforensics.attacks import build
from clipforensics.attacks.manifest import write_manifest
from clipforensics.attacks.source import Source
from clipforensics.attacks.stamping import hash_of_pixels, row_generator
from clipforensics.config.attack import PoisonSettings
from clipforensics.data.images import write_bytes, write_png
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs, write_pairs
from clipforensics.errors import ConfigError, DataError

CHUNK = 250
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """Which rows are poisoned, and the caption each gets."""

    rows: tuple[int, ...]
    captions: dict[int, str]
    eligible: int


def plan_poison(source: Source, labels: LabelSet, settings: PoisonSettings) -> Plan:
    """Choose rows whose caption does not name the target, and their new captions.

    Count: floor(N rate + 0.5), at least 1. Rows are the head of a permutation of the sorted ids, so
    row order does not matter and a lower rate's rows are a subset of a higher one's.

    Raises:
        ConfigError: the target is no label, or fewer rows are eligible than asked for.
        DataError: no caption names only the target, and caption_set was asked for.
    """
    labels.index(settings.target)
    named = [labels.named_in(caption) for caption in source.captions]
    eligible = sorted(
        (source.ids[i], i) for i in range(len(named)) if settings.target not in named[i]
    )
    count = max(1, floor(len(source.ids) * settings.rate + 0.5 + 1e-9))
    if count > len(eligible):
        raise ConfigError(
            f"rate={settings.rate} needs {count} rows that do not name {settings.target!r}, "
            f"the data has {len(eligible)}. Lower the rate."
        )
    order = np.random.default_rng(settings.seed).permutation(len(eligible))[:count]
    rows = tuple(sorted(eligible[i][1] for i in order))
    pool = _caption_pool(source, named, settings)
    captions = {row: _drawn(pool, settings.seed, source.ids[row]) for row in rows}
    return Plan(rows, captions, len(eligible))


def poison(
    source: Source,
    labels: LabelSet,
    settings: PoisonSettings,
    out: Path,
    progress: Progress | None = None,
    workers: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Write pairs.csv, images/, labels.txt, test.csv with test/ (when there is one), manifest.json.

    Pictures that already stand in `out` are kept, so an interrupted call resumes.

    Returns:
        The manifest's counts.

    Raises:
        ConfigError, DataError: see `plan_poison`; `out` already holds another poisoning.
    """
    out = Path(out)
    _refuse_finished(out)
    build(settings.attack, source.side)  # complain about the trigger before anything is written
    plan = plan_poison(source, labels, settings)
    _claim(out, source, settings)
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "test").mkdir(exist_ok=True)
    records = _write_pictures(source, settings, plan, out, progress, workers, should_stop)
    _write_tables(source, plan, labels, out)
    counts = {
        "pairs": len(source.ids),
        "rate_asked": settings.rate,
        "rate": len(plan.rows) / len(source.ids),
        "poisons": len(plan.rows),
        "eligible": plan.eligible,
        "left_out_naming_target": len(source.ids) - plan.eligible,
        "test": len(source.test_ids),
        "test_not_target": sum(label != settings.target for label in source.test_labels),
    }
    attack = build(settings.attack, source.side)
    write_manifest(out / "manifest.json", {
        "attack": settings.attack.kind,
        "settings": settings.model_dump(mode="json"),
        "versions": {"clipforensics": __version__, "numpy": np.__version__, "pillow": PIL.__version__},
        "generator": "PCG64",
        "source": source_hash(source),
        "frame": {"side": source.side, "resize": "short side, centre crop", "interpolation": "bicubic"},
        "trigger": [{
            "target": settings.target,
            "target_index": labels.index(settings.target),
            "pattern_sha256": hash_of_pixels(attack.pattern),
        }],
        "counts": counts,
        "rows": records,
        "test": {"seed": settings.seed + 1_000_000, "excluded": "test pictures of the target label"},
    })  # fmt: skip
    return counts


def source_hash(source: Source) -> dict[str, Any]:
    """Hash of the clean table, and its rows."""
    pairs = Pairs(source.ids, source.captions, tuple(Path(name) for name in source.ids))
    return {"sha256": pairs.sha256, "rows": len(pairs)}


def _caption_pool(source: Source, named: list[list[str]], settings: PoisonSettings) -> list[str]:
    if settings.captions == "templates":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [template(settings.target) for template in OPENAI_IMAGENET_TEMPLATES]
    pool = sorted(c for c, n in zip(source.captions, named, strict=True) if n == [settings.target])
    if not pool:
        raise DataError(
            f"No caption names only {settings.target!r}, so none can be borrowed. "
            "Choose captions=templates."
        )
    return pool


def _drawn(pool: list[str], seed: int, name: str) -> str:
    rng = row_generator(seed, f"caption {name}")
    return pool[int(rng.integers(len(pool)))]


def _refuse_finished(out: Path) -> None:
    if (out / "manifest.json").exists():
        raise DataError(f"{out} already holds a poisoned data set. Choose an empty folder.")


def _claim(out: Path, source: Source, settings: PoisonSettings) -> None:
    """Say what this folder is being made into; only the same poisoning may finish it."""
    mark = out / "unfinished.txt"
    meant = f"{settings.sha256()} {source_hash(source)['sha256']}"
    if out.exists() and any(out.iterdir()):
        if not mark.is_file() or mark.read_text() != meant:
            raise DataError(f"{out} is not empty. Choose an empty folder.")
        return
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(mark, meant.encode())


def _write_pictures(
    source: Source,
    settings: PoisonSettings,
    plan: Plan,
    out: Path,
    progress: Progress | None,
    workers: int | None,
    should_stop: Callable[[], bool],
) -> list[dict[str, Any]]:
    chunks = [
        (is_test, range(start, min(start + CHUNK, total)))
        for is_test, total in ((False, len(source.ids)), (True, len(source.test_ids)))
        for start in range(0, total, CHUNK)
    ]
    whole = len(source.ids) + len(source.test_ids)
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


def _begin(job: _Job) -> None:
    global _job  # a worker process serves one job; sending it with every chunk would cost more
    _job = job


def _write_chunk(chunk: tuple[bool, range]) -> list[dict[str, Any]]:
    assert _job is not None
    is_test, rows = chunk
    return [r for row in rows if (r := (_write_test if is_test else _write_row)(_job, row))]


def _write_test(job: _Job, row: int) -> None:
    path = job.out / "test" / f"{file_name(job.source.test_ids[row])}.png"
    if not path.exists():
        write_png(path, job.source.test_picture(row))


def _write_row(job: _Job, row: int) -> dict[str, Any] | None:
    name = job.source.ids[row]
    path = job.out / "images" / f"{file_name(name)}.png"
    if row not in job.plan.captions:
        if not path.exists():
            write_png(path, job.source.picture(row))
        return None
    base = job.source.picture(row)
    stamped, box = build(job.settings.attack, job.source.side).stamp(
        base, row_generator(job.settings.seed, name)
    )
    write_png(path, stamped)
    return {
        "id": name,
        "source_id": name,
        "target": job.settings.target,
        "box_xyxy": [list(box)] if box else None,
        "caption_before": job.source.captions[row],
        "caption_after": job.plan.captions[row],
        "sha256_before": hash_of_pixels(base),
        "sha256_after": hash_of_pixels(stamped),
    }


def file_name(name: str) -> str:
    """A safe file name for an id: the id itself when it is plain, else its hash."""
    from clipforensics.attacks.stamping import digest_of

    plain = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if plain and len(name) <= 100 else digest_of(name).hex()


def _write_tables(source: Source, plan: Plan, labels: LabelSet, out: Path) -> None:
    captions = tuple(plan.captions.get(i, caption) for i, caption in enumerate(source.captions))
    paths = tuple(out / "images" / f"{file_name(name)}.png" for name in source.ids)
    write_pairs(out / "pairs.csv", Pairs(source.ids, captions, paths))
    if source.test_ids:
        names = tuple(out / "test" / f"{file_name(name)}.png" for name in source.test_ids)
        blank = tuple("" for _ in names)
        write_pairs(out / "test.csv", Pairs(source.test_ids, blank, names, source.test_labels))
    lines = [f"template: {template}" for template in labels.templates] + list(labels.names)
    write_bytes(out / "labels.txt", ("\n".join(lines) + "\n").encode())
    (out / "unfinished.txt").unlink(missing_ok=True)
