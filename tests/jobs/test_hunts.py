"""What sets a finished hunt apart from one made now."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases import evidence
from clipforensics.cases.evidence import Listed, evidence_dir, writing
from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.errors import CaseError
from clipforensics.jobs.hunting.banking import BANK, read_bank, write_bank
from clipforensics.jobs.hunting.hunts import kept_hunts, newest_outdated, outdated, rests_on
from clipforensics.oracle.bank import Trigger
from clipforensics.oracle.segmenter import fingerprint_of, preset_of
from clipforensics.oracle.verify import Verification

SEGMENTER = fingerprint_of("small", preset_of("small", False), "s")
FAST = fingerprint_of("small", preset_of("small", True), "s")
KEY = {
    "data": "d", "labels": "l", "suspect": "a", "trusted": "t", "segmenter": SEGMENTER,
    "hunt": HuntSettings().model_dump(mode="json"), "rests_on": rests_on(),
}  # fmt: skip
BY_VERSION = "was made by an earlier version of the search"
THAN = "than the case has now"


@pytest.fixture
def case(tmp_path):
    """As much of a case as its hunts are held against."""
    prints = {
        "data": "d", "labels": "l", "weights": "a", "trusted_weights": "t", "segmenter_weights": "s",
    }  # fmt: skip
    settings = SimpleNamespace(segmenter="small")
    return SimpleNamespace(dir=tmp_path, fingerprints=prints, settings=settings)


def hunt(case, **changes):
    key = KEY | changes
    return Listed("2026-01-01", evidence_dir(case, "hunts", key), {"key": key})


def asked(**changes):
    return HuntSettings(**changes).model_dump(mode="json")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"segmenter": FAST, "hunt": asked(fast=True)},
        {"hunt": asked(top=7, detector="slof")},  # chosen by whoever hunts, and said beside it
        {"hunt": {k: v for k, v in asked().items() if k != "reference"}},  # a setting added since
        {"clean": [1, 2]},
    ],
)
def test_a_hunt_as_one_made_now_is_not_outdated(case, changes):
    assert outdated(case, hunt(case, **changes)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": "x"}, f"was made with other labels {THAN}"),
        ({"data": "x", "labels": "x", "trusted": "x"},
         f"was made with other pairs, other labels and another trusted model {THAN}"),
        ({"segmenter": "x"}, f"was made with another segmenter {THAN}"),
        ({"hunt": asked(verify=VerifySettings(n_screen=24))},
         "was made with other settings than a hunt has now (paste test)"),
        ({"hunt": {"depth": 3}},
         "was made with other settings than a hunt has now (unknown to this version)"),
        ({"hunt": None},
         "was made with other settings than a hunt has now (unknown to this version)"),
    ],
)  # fmt: skip
def test_what_differs_is_named(case, changes, said):
    assert outdated(case, hunt(case, **changes)) == said


@pytest.mark.parametrize("kind", ["hunts", "screens"])
def test_a_raised_revision_makes_a_hunt_outdated(case, monkeypatch, kind):
    before, other = hunt(case), hunt(case, labels="x")
    monkeypatch.setitem(evidence.REVISIONS, kind, evidence.REVISIONS[kind] + 1)
    assert outdated(case, before) == BY_VERSION
    assert outdated(case, other) == f"{BY_VERSION} and with other labels {THAN}"
    now = hunt(case, rests_on=rests_on())
    assert outdated(case, now) is None
    assert now.folder != before.folder  # hunting again makes it anew


def test_a_hunt_that_does_not_say_what_it_rests_on_is_of_revision_3(case, monkeypatch):
    key = {name: value for name, value in KEY.items() if name != "rests_on"}
    one = Listed("2026-01-01", evidence_dir(case, "hunts", key), {"key": key})
    monkeypatch.setitem(evidence.REVISIONS, "screens", 3)
    assert outdated(case, one) is None
    monkeypatch.setitem(evidence.REVISIONS, "screens", 4)
    assert outdated(case, one) == BY_VERSION


def test_the_newest_is_what_a_repair_uses(case):
    assert newest_outdated(case) is None
    for at, labels in (("2026-01-02", "l"), ("2026-01-01", "x")):
        one = hunt(case, labels=labels)
        with writing(one.folder, one.made["key"]):
            pass
        one.folder.with_name(f"{one.folder.name}.asked").write_text(json.dumps(at))
    with writing(evidence_dir(case, "hunts", KEY | {"suspect": "b"}), KEY | {"suspect": "b"}):
        pass
    assert [one.asked for one in kept_hunts(case)] == ["2026-01-02", "2026-01-01"]
    assert newest_outdated(case) is None
    newer = hunt(case, labels="x").folder
    newer.with_name(f"{newer.name}.asked").write_text(json.dumps("2026-01-03"))
    assert newest_outdated(case) == f"was made with other labels {THAN}"
    record = newer / "made.json"
    record.chmod(0o644)
    record.write_text("{")
    with pytest.raises(CaseError, match=f"{record} is damaged"):
        kept_hunts(case)


def test_a_bank_that_did_not_keep_its_controls_is_read(case, tmp_path):
    figures = Verification(
        label="dog", n=200, flips={"found": 0.9}, flip_rate=0.9, interval=(0.8, 0.95), entropy=0.1,
        flip_rate_trusted=0.0, p_trusted=0.0, labels_flipped=9, labels_tested=9, area_share=0.1,
        p_value=0.01, status="verified", large=False, controls=100, controls_as_good=0,
        control_pictures=40,
    )  # fmt: skip
    core, pixels = np.ones((4, 4), bool), np.zeros((4, 4, 3), np.uint8)
    bank = [
        Trigger("dog", "p0", (1, 1, 5, 5), pixels, core, core, ("p0",), False, figures, np.ones(3))
    ]
    for older in (False, True):
        one = hunt(case, older=older)
        with writing(one.folder, one.made["key"]) as part:
            write_bank(part, bank)
            if older:
                content = json.loads((part / BANK).read_text())
                for name in ("controls", "controls_as_good", "control_pictures"):
                    del content[0]["figures"][name]
                (part / BANK).write_text(json.dumps(content))
        found = read_bank(one.folder)[0].figures
        assert (found.p_value, found.controls) == (0.01, None if older else 100)
