"""Which of a case's rows count as one where they are scored: found once, then read."""

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, reading, writing
from clipforensics.config.detect import ReferenceSettings
from clipforensics.detect.embeddings import Copies
from clipforensics.detect.frequent import RULE, counted
from clipforensics.errors import RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning.embedded import embedding_dir
from clipforensics.jobs.scanning.embedding import Stop

FILES = ("first", "place")


def copies_of(
    case: Case, x: np.ndarray, reference: ReferenceSettings, stop: Stop | None = None
) -> Copies | None:
    """Exact copies and frequent near-copies of the `usable` rows; None where only exact ones count.

    Raises:
        DataError: as `reference.score`. CaseError: kept evidence was changed since, or is damaged.
        Stopped: on request.
    """
    if not reference.collapse:
        return None
    normalize = reference.normalize
    key = {"embeddings": embedding_dir(case).name, "normalize": normalize, "rule": RULE}
    folder = evidence_dir(case, "copies", key)
    if not is_made(folder):
        try:
            made = counted(x, reference, stop)[0]
        except RunError as problem:
            raise Stopped(str(problem)) from None
        with writing(folder, key) as part:
            for name in FILES:
                np.save(part / f"{name}.npy", getattr(made, name), allow_pickle=False)
    with reading(folder):
        return Copies(*(np.load(folder / f"{name}.npy", allow_pickle=False) for name in FILES))
