"""The embeddings of a case, as its evidence keeps them: where they lie, and reading them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, read_made
from clipforensics.errors import CaseError

BAD = "bad.json"


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


def embedding_record(case: Case) -> dict[str, Any]:
    """What made the embeddings: device, seconds, versions, file hashes."""
    return read_made(embedding_dir(case))
