"""Is everything a case rests on still what it was? Inputs, pictures, evidence, decisions."""

import hashlib
from collections.abc import Callable

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import check_all
from clipforensics.data.images import content_of
from clipforensics.errors import DataError, ForensicsError
from clipforensics.jobs.scanning.embedded import embedding_dir, is_embedded

MOST_TOLD = 20
CHUNK = 1_000
Progress = Callable[..., None]


def verify(case: Case, progress: Progress | None = None) -> list[str]:
    """One sentence for each thing that is missing or changed; none when all is as it was.

    Inputs are held against the fingerprints of intake, pictures against the bytes that were
    embedded, evidence against its own record, decisions against their hash chain.
    """
    problems = [*case.verify(), *check_all(case), *map(str, case.store.verify())]
    try:
        return problems + changed_pictures(case, progress)
    except ForensicsError as problem:  # the table itself changed, which was told above
        return problems or [str(problem)]


def changed_pictures(case: Case, progress: Progress | None = None) -> list[str]:
    """Pictures whose bytes are not those that were embedded; nothing before the first embedding."""
    if not is_embedded(case):
        return []
    kept = np.load(embedding_dir(case) / "pictures.npy", mmap_mode="r", allow_pickle=False)
    changed = []
    for row in range(len(case.pairs)):
        if progress is not None and row % CHUNK == 0:
            progress(row, len(case.pairs), "comparing pictures")
        if _digest(case, row) != kept[row].tobytes():
            changed.append(case.pairs.ids[row])
    told = [
        f"The picture of pair {name!r} is not the one that was embedded. Restore it, or make a "
        "new case."
        for name in changed[:MOST_TOLD]
    ]
    if len(changed) > MOST_TOLD:
        told.append(f"{len(changed) - MOST_TOLD:,} more pictures changed.")
    return told


def _digest(case: Case, row: int) -> bytes:
    try:
        return hashlib.sha256(content_of(case.pairs.path(row))).digest()
    except DataError:
        return bytes(32)  # as the embedding keeps what it could not read
