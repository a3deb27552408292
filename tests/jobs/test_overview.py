"""The case at a glance."""

import subprocess
import sys

from clipforensics.jobs.overview import overview


def test_a_fresh_case_has_counts_and_nothing_done(case):
    seen = overview(case)
    assert (seen["pairs"], seen["labels"], seen["test"], seen["truth"]) == (40, 3, None, None)
    assert (seen["embedded"], seen["bad"], seen["scan"], seen["active_runs"]) == (
        False,
        0,
        None,
        [],
    )
    assert not seen["has_trusted"]
    assert not seen["has_segmenter"]


def test_decisions_are_counted_as_they_hold(case):
    case.store.decide_many("sample", ["p001", "p002"], "suspicious", "ann")
    case.store.decide("sample", "p002", "benign", "ann")
    case.store.decide("label", "banana", "suspicious", "ann")
    seen = overview(case)
    assert seen["decisions"]["sample"] == {"suspicious": 1, "benign": 1}
    assert seen["decisions"]["label"] == {"suspicious": 1}
    assert seen["entries"] == 4


def test_looking_at_a_case_loads_nothing_heavy(case):
    code = (
        "import sys; from pathlib import Path; from clipforensics.cases.case import Case; "
        "from clipforensics.jobs.overview import overview; "
        f"overview(Case.open(Path({str(case.dir)!r}))); "
        "heavy = {'torch', 'faiss', 'umap', 'sklearn', 'streamlit', 'pyarrow'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
