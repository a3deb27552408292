"""A segmenter that cuts windows, a picture one region of which is accused, and empty evidence."""

from dataclasses import replace

import pytest

from clipforensics.cases.evidence import evidence_dir, writing
from clipforensics.jobs.hunting import examining
from clipforensics.oracle.finding import Candidate, find_triggers
from clipforensics.oracle.regions import grid_regions
from clipforensics.oracle.segmenter import SmallSamSegmenter


@pytest.fixture
def windows(monkeypatch):
    """Every picture falls into the same windows, so that a test need not wait for masks."""
    monkeypatch.setattr(
        SmallSamSegmenter, "segment", lambda self, picture: grid_regions(*picture.shape[:2])[:30]
    )


@pytest.fixture
def accused(monkeypatch):
    """A real inspection, and one region of it accused of the suspect's first answer."""

    def accusing(picture, suspect, oracle, settings):
        found = find_triggers(picture, suspect, oracle, settings)
        label = found.said[0][0]
        one = Candidate(label, 0, found.regions[0].box_xyxy, 0.9, 0.01, 0.5)
        return replace(found, seen=(), suspicious=((label, 0.01),), candidates=(one,))

    monkeypatch.setattr(examining, "find_triggers", accusing)


@pytest.fixture
def finished(case):
    """Evidence of a kind for the suspect, as a job would have left it; its content is empty."""

    def made(kind):
        key = {"suspect": case.fingerprints["weights"]}
        folder = evidence_dir(case, kind, key)
        with writing(folder, key) as part:
            for name in ("result.json", "bank.json"):
                (part / name).write_text("{}")
        return folder

    return made
