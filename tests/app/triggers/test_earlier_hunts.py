"""Hunts on screen that are not the newest, or not as one made now: they are shown, and say so."""

import json
from dataclasses import replace

import numpy as np
import pytest

from clipforensics.cases import evidence
from clipforensics.cases.evidence import evidence_dir, write_json, writing
from clipforensics.config.oracle import HuntSettings
from clipforensics.jobs.hunting import triggers
from clipforensics.jobs.hunting.banking import write_bank
from clipforensics.jobs.hunting.hunts import RESULT, rests_on
from clipforensics.oracle.bank import Trigger
from clipforensics.oracle.segmenter import fingerprint_of, preset_of
from clipforensics.oracle.verify import Verification
from clipforensics.ui import hunted

FOUND = Verification(
    label="banana", n=200, flips={"found": 0.9, "random": 0.95}, flip_rate=0.95,
    interval=(0.91, 0.97), entropy=0.12, flip_rate_trusted=0.01, p_trusted=0.02, labels_flipped=30,
    labels_tested=39, area_share=0.04, p_value=0.025, status="verified", large=False,
)  # fmt: skip
OUTDATED = "was made by an earlier version of the search"


def hunt_of(case, label, top, asked, fast=False):
    """A finished hunt as the job leaves it, with one verified trigger."""
    prints, name = case.fingerprints, case.settings.segmenter
    segmenter = fingerprint_of(name, preset_of(name, fast), prints["segmenter_weights"])
    settings = HuntSettings(top=top, fast=fast).model_dump(mode="json")
    key = {
        "data": prints["data"], "labels": prints["labels"], "suspect": prints["weights"],
        "trusted": prints["trusted_weights"], "segmenter": segmenter, "hunt": settings,
        "rests_on": rests_on(),
    }  # fmt: skip
    folder, pair = evidence_dir(case, "hunts", key), case.pairs.ids[top]
    core, pixels = np.ones((6, 6), bool), np.zeros((6, 6, 3), np.uint8)
    figures, shift = replace(FOUND, label=label), np.ones(4, np.float32)
    bank = [Trigger(label, pair, (2, 2, 8, 8), pixels, core, core, (pair,), False, figures, shift)]
    with writing(folder, key) as part:
        write_bank(part, bank)
        write_json(part / RESULT, {
            "inspected": top, "with_candidates": 1, "triggers": [{}], "victims": [pair],
            "affected_labels": [{"label": label, "flip_rate_low": 0.91}],
        })  # fmt: skip
    folder.with_name(f"{folder.name}.asked").write_text(json.dumps(asked))
    return folder


@pytest.fixture
def folders(case):
    """Two hunts: an earlier one that found dog, and the newest, that found banana."""
    return (
        hunt_of(case, "dog", 30, "2026-01-01T10:00:00+00:00"),
        hunt_of(case, "banana", 20, "2026-02-02T20:00:00+00:00"),
    )


def said(at):
    return " ".join(one.value for kind in (at.markdown, at.info, at.warning) for one in kind)


def choice(at):
    return next(one for one in at.selectbox if one.label == "Hunt")


def test_the_newest_hunt_is_shown_and_an_earlier_one_can_be_chosen(case, folders, visit):
    at = visit("triggers", case="tiny")
    assert "say **banana**" in said(at)
    assert "not the newest" not in said(at)
    assert "hunt" not in at.query_params
    options = choice(at).options
    assert options[0].startswith("2026-02-02 20:00 UTC · 20 pairs · ranked by Density and caption")
    assert ["newest" in one for one in options] == [True, False]
    choice(at).set_value(folders[0].name).run()
    assert at.query_params["hunt"] == folders[0].name
    assert "say **dog**" in said(at)
    assert "say **banana**" not in said(at)
    assert "This is not the newest hunt." in said(at)
    at.button(key="hunt.pick.label.dog").click().run()
    assert not at.exception
    held = case.store.current("label")["dog"]
    assert held.reason == "earlier hunt, 2026-01-01 10:00 UTC"
    choice(at).set_value(folders[1].name).run()
    assert "hunt" not in at.query_params


def test_a_link_to_an_earlier_hunt_opens_it_until_another_one_ends(case, folders, visit):
    at = visit("triggers", case="tiny", hunt=folders[0].name)
    assert choice(at).value == folders[0].name
    assert "say **dog**" in said(at)
    hunt_of(case, "cat", 40, "2026-03-03T20:00:00+00:00")
    at.run()
    assert "hunt" not in at.query_params
    assert "say **cat**" in said(at)


def test_a_link_to_no_hunt_says_so_and_the_rest_of_the_page_stays(folders, visit):
    at = visit("triggers", case="tiny", hunt="../x")
    assert "This case has no hunt named" in at.error[0].value
    assert at.button(key="hunt.start")
    assert [one for one in at.multiselect if one.label == "Families"]
    at.button(key="hunt.newest").click().run()
    assert not at.error
    assert choice(at).value == folders[1].name
    assert "hunt.newest" not in {one.key for one in at.button}


def test_a_picture_is_looked_at_as_the_hunt_that_is_shown_looked_at_it(case, visit, monkeypatch):
    """With other settings nothing that it pasted would be found again."""
    looked, load = [], triggers.load_examiner
    monkeypatch.setattr(
        triggers, "load_examiner",
        lambda case, settings, scores: looked.append(settings) or load(case, settings, scores),
    )  # fmt: skip
    pair = case.pairs.ids[0]
    visit("triggers", case="tiny", pair=pair)
    folder = hunt_of(case, "banana", 20, "2026-02-02T20:00:00+00:00", fast=True)
    hunt_of(case, "dog", 30, "2026-03-02T20:00:00+00:00")
    visit("triggers", case="tiny", pair=pair)
    visit("triggers", case="tiny", pair=pair, hunt=folder.name)
    assert looked == [None, HuntSettings(), HuntSettings(fast=True)]


def test_only_one_hunt_leaves_no_choice(case, visit):
    hunt_of(case, "banana", 20, "2026-02-02T20:00:00+00:00")
    at = visit("triggers", case="tiny")
    assert "say **banana**" in said(at)
    assert not [one for one in at.selectbox if one.label == "Hunt"]


@pytest.mark.parametrize("kind", ["hunts", "screens"])
def test_a_hunt_of_an_earlier_version_says_so_where_it_is_used(folders, visit, monkeypatch, kind):
    assert OUTDATED not in said(visit("triggers", case="tiny"))
    assert OUTDATED not in said(visit("repair", case="tiny"))
    monkeypatch.setitem(evidence.REVISIONS, kind, 99)
    at = visit("triggers", case="tiny")
    assert f"This hunt {OUTDATED}. Hunt again" in said(at)
    assert "say **banana**" in said(at)  # it still opens
    at = visit("repair", case="tiny")
    assert f"The newest hunt {OUTDATED}. Its triggers are what is healed" in said(at)
    at.segmented_control(key="recipe").set_value("safeclip").run()
    assert f"The newest hunt {OUTDATED}. Its triggers are measured" in said(at)
    assert OUTDATED in said(visit("map", case="tiny"))


def test_the_hunt_beside_a_paste_test_is_the_one_that_is_looked_at(case, folders, monkeypatch):
    from clipforensics.ui import pasted

    lines, asked = [], {"hunt": folders[0].name}
    monkeypatch.setattr(hunted.st, "query_params", asked)
    monkeypatch.setattr(pasted.st, "markdown", lambda text, **_: lines.append(text))
    for wanted in (
        "The earlier hunt, 2026-01-01 10:00 UTC, of another region",
        "The hunt, of another",
    ):
        one = hunted.chosen(case)
        (trigger,) = pasted._sightings(one, case.pairs.ids[20 if one.newest else 30])
        pasted._confirmed(one, [trigger], [])
        (line,) = lines
        assert line.startswith(wanted)
        assert line.endswith("over the clusters tested")
        lines.clear()
        pasted._confirmed(replace(one, outdated=OUTDATED), [trigger], [])
        assert lines.pop().endswith(f"tested. The hunt {OUTDATED}.")
        asked.clear()
