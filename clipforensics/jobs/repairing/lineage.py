"""Where a repaired case comes from: the case before it, and what its run learned from."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from clipforensics.cases.case import Case
from clipforensics.errors import CaseError

CURATED = "curated.json"


def parent_of(case: Case) -> Case | None:
    """The case whose suspect was repaired into this one's; None where there was no repair.

    Raises:
        CaseError: it is gone, or is about other pairs or labels by now.
    """
    if case.settings.parent is None:
        return None
    parent = Case.open(Path(case.settings.parent))
    for name in ("data", "labels"):
        if parent.fingerprints.get(name) != case.fingerprints.get(name):
            raise CaseError(
                f"{parent.dir} is about other {name} than {case.dir}, so nothing can be compared. "
                "Restore the case that was repaired."
            )
    return parent


def ancestors(case: Case) -> Iterator[Case]:
    """The cases before this one, nearest first, as far as they are there; a ring is gone round once."""
    seen = {case.dir.resolve()}
    with suppress(CaseError):  # the Repair page says so where the case before is gone
        while (parent := parent_of(case)) is not None and parent.dir.resolve() not in seen:
            seen.add(parent.dir.resolve())
            yield parent
            case = parent


def learned_ids(case: Case) -> set[str]:
    """Pairs that a fine-tuning repair learned from, stamped or not; empty where that is not known."""
    parent, run = case.settings.parent, case.settings.repair_run
    if parent is None or run is None or Path(run).name != run:
        return set()
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = (Path(parent) / "runs" / run / CURATED).read_text(encoding="utf-8")
        return {str(name) for name in json.loads(content)["ids"]}
    return set()
