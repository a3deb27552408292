"""What a scan left behind, as the pages need it."""

from typing import Any

import numpy as np

from clipforensics.config.detect import MANY_SCALES
from clipforensics.errors import CaseError, DataError


def is_scanned(case: Any) -> bool:
    """Whether a scan of this case has finished; nothing is computed."""
    from clipforensics.jobs.scanning import scan

    return scan.is_embedded(case) and scan.latest_scan(case) is not None


def need_scan(case: Any) -> None:
    """Raises CaseError when there is nothing to show yet."""
    if not is_scanned(case):
        raise CaseError("This case has not been scanned yet. Run the scan on the Case page.")


def default_detector(case: Any) -> str:
    """What ranks where nobody chose: density and caption, else all scales, else what was scored."""
    from clipforensics.config.detect import DensitySettings, ReferenceSettings
    from clipforensics.jobs.scanning import scan

    asked = DensitySettings(), ReferenceSettings()
    found = next((one for one in MANY_SCALES if scan.is_scored(case, one, *asked)), None)
    return found or scan.latest_scan(case)["detector"]


def points(case: Any) -> np.ndarray:
    """The map, float32 [n, 2]; a picture that could not be read has no finite place."""
    from clipforensics.jobs.scanning import scan

    return scan.projection(case)


def near(case: Any, row: int, count: int) -> list[tuple[int, float]]:
    """The nearest other pairs in the full embedding space: rows and distances."""
    from clipforensics.jobs.scanning import scan

    return scan.neighbours_of(case, row, count)


def row_of(case: Any, name: str) -> int | None:
    """Row of a pair id, or None when no pair has it."""
    try:
        return case.pairs.row_of(name)
    except DataError:
        return None
