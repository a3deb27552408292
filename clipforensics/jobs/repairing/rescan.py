"""The job "scan": of any case, and where it was repaired from another, of both beside each other."""

from typing import Any

from clipforensics.cases.case import Case
from clipforensics.errors import CaseError
from clipforensics.jobs.repairing.lineage import parent_of
from clipforensics.jobs.repairing.rescanned import paste_tests, places
from clipforensics.jobs.runs.context import RunContext
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning import scan


def run(context: RunContext) -> dict[str, Any]:
    """Scan the case; see `scanning.scan.run`."""
    result = scan.run(context)
    case = Case.open(context.case_dir)
    if case.settings.parent is not None:
        _beside_parent(context, case)
    return result


def _beside_parent(context: RunContext, case: Case) -> None:
    """What the Repair page compares, made while the run holds the device; never fails a scan."""
    try:
        parent = parent_of(case)
        assert parent is not None
        if scan.latest_scan(parent) is None:
            raise CaseError(f"{parent.dir} is not scanned, so there is no map to compare with.")
        places(parent, case, context.progress, context.should_stop)
        paste_tests(parent, case)
    except Stopped:
        raise
    except Exception as problem:  # the scan is done and must not look failed
        context.journal({"stage": "before and after", "skipped": str(problem)})
