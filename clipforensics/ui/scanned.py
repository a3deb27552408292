"""What a scan left behind, as the pages need it."""

from typing import Any

import numpy as np

from clipforensics.config.detect import (
    DETECTOR_TITLES,
    MANY_SCALES,
    DensitySettings,
    ReferenceSettings,
)
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import parse
from clipforensics.errors import CaseError, ConfigError, DataError


def is_scanned(case: Any) -> bool:
    """Whether a scan of this case has finished; nothing is computed."""
    from clipforensics.jobs.scanning import scan

    return scan.is_embedded(case) and scan.latest_scan(case) is not None


def need_scan(case: Any) -> None:
    """Raises CaseError when there is nothing to show yet."""
    if not is_scanned(case):
        raise CaseError("This case has not been scanned yet. Run the scan on the Case page.")


def defaults(case: Any) -> tuple[str, DensitySettings, ReferenceSettings]:
    """What ranks where nobody chose: the latest scan's first detector with its settings.

    So that a page shows one scan: what its outliers have in common is told of the latest, too.
    """
    made = scan_settings(case)
    return made.detectors[0], made.density, made.reference


def scan_settings(case: Any) -> ScanSettings:
    """Settings of the latest scan; of one that another version made, its detector at least."""
    from clipforensics.jobs.scanning import scan

    kept = scan.latest_scan(case) or {}
    try:
        return parse(ScanSettings, kept["settings"])
    except ConfigError:
        return parse(ScanSettings, {"detectors": (kept["detector"],)})


def apart(
    case: Any, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> str | None:
    """What the latest scan was, where a ranking is none of its own; else None."""
    made = scan_settings(case)
    alike = density == made.density or detector in ("clip", "gmm", *MANY_SCALES)
    if detector in made.detectors and alike and reference == made.reference:
        return None
    named = ", ".join(DETECTOR_TITLES[one] for one in made.detectors[:3])
    more = f" and {len(made.detectors) - 3} more" if len(made.detectors) > 3 else ""
    return (
        f"This is of the latest scan ({named}{more}; {told(made.density, made.reference)}), not of "
        "the ranking above."
    )


def told(density: DensitySettings, reference: ReferenceSettings) -> str:
    """Settings in a line: "k = 16, reference 2,048, 5 draws, seed 0, normalized"."""
    size = reference.reference_size
    parts = [f"k = {density.k}", f"reference {size if size == 'all' else f'{size:,}'}",
             f"{reference.draws} draws", f"seed {reference.seed}"]  # fmt: skip
    parts += ["normalized"] if reference.normalize else []
    parts += [] if reference.collapse else ["near-copies counted each"]
    return ", ".join(parts + special(reference))


def special(reference: ReferenceSettings) -> list[str]:
    """What a reference set does that a plain one does not and the Map has no switch for, in words."""
    return ["captions in the reference"] if reference.captions else []


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
