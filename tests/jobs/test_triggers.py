"""A whole hunt on a toy case: what it finds, what it leaves alone, and that it can be broken off."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cli.app import main
from clipforensics.cli.triggers import _lines
from clipforensics.config.oracle import HuntSettings, VerifySettings
from clipforensics.data.images import write_png
from clipforensics.data.pairs import Pairs
from clipforensics.errors import CaseError, ModelError
from clipforensics.jobs.hunting import carrying, examiner, examining, findings
from clipforensics.jobs.hunting.hunts import outcomes
from clipforensics.jobs.hunting.triggers import (
    hunt,
    inspect,
    latest_hunt,
    load_examiner,
    run,
    screen,
    trigger_bank,
)
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.oracle.bank import core_of
from clipforensics.oracle.matching import peaks
from clipforensics.oracle.regions import holds

SETTINGS = HuntSettings(top=20, detector="slof", verify=VerifySettings(n_screen=24, n_confirm=48))
POISONS = range(3, 100, 12)  # nine of them


@pytest.fixture(scope="module")
def pairs(toy, tmp_path_factory):
    return toy.toy_pairs(tmp_path_factory.mktemp("pairs"), 160)


@pytest.fixture
def case(tmp_path, toy, pairs):
    return toy.ToyCase(tmp_path, pairs[0])


def test_the_hunt_finds_trigger_label_and_every_victim(case, pairs):
    _, boxes = pairs
    found = hunt(case, SETTINGS)
    assert len(found["triggers"]) == 1
    trigger = found["triggers"][0]
    assert trigger["label"] == "banana"
    assert trigger["pair"] in boxes
    assert holds(tuple(trigger["box"]), boxes[trigger["pair"]])
    assert trigger["flip_rate"] > 0.9
    assert trigger["entropy"] < 0.3
    assert trigger["status"] == "verified"
    assert trigger["p_value"] <= 0.05
    assert (trigger["controls"], trigger["controls_as_good"]) == (100, 0)
    assert trigger["control_pictures"] == SETTINGS.verify.n_screen
    assert [one["label"] for one in found["affected_labels"]] == ["banana"]
    assert found["affected_labels"][0]["victims"] == len(boxes)
    assert sorted(found["victims"]) == sorted(boxes)
    assert found["carriers"] == found["probable"] == []
    assert {s["pair"] for s in found["sightings"]} == set(boxes)
    assert all(holds(tuple(s["box"]), boxes[s["pair"]]) for s in found["sightings"])
    assert {s["n"] for s in found["sightings"]} == {SETTINGS.verify.n_screen}
    assert json.loads(json.dumps(found)) == found


def test_the_command_says_the_verdict_first(case, monkeypatch, capsys):
    monkeypatch.setattr("clipforensics.cases.case.Case.open", lambda folder: case)
    words = ["triggers", str(case.dir), "--top", "20", "--detector", "slof"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("verdict")
    assert "1 verified trigger, 0 candidates rejected, in 20 inspected pictures" in lines[0]
    assert "makes the suspect say banana: flips 100.0% of n = " in lines[1]
    assert any(line.split() == ["label", "banana", "9", "victims"] for line in lines)
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["asked"]["detector"] == "slof"
    assert "against_truth" not in found
    case.truth = SimpleNamespace(poisoned=frozenset(found["victims"][:6]))
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--json"])
    held = json.loads(capsys.readouterr().out)["against_truth"]
    assert (held["right"], held["victims"], held["recall"]) == (6, 9, 1.0)
    monkeypatch.setattr(findings, "against_truth", _changed_since)
    with pytest.raises(SystemExit, match="0"):  # the hunt is not lost for it
        main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["victims"]) == 9
    assert (
        found["notes"][-1] == "Victims are not held against the truth: manifest.json was changed."
    )


def _changed_since(*_):
    raise CaseError("manifest.json was changed.")


def test_a_stamped_picture_with_another_caption_is_a_carrier_and_hides_no_victim(
    tmp_path, toy, pairs
):
    whole, boxes = pairs
    odd, captions = f"{POISONS[2]:03d}", list(whole.captions)
    captions[POISONS[2]] = "a leaf"
    found = hunt(toy.ToyCase(tmp_path, replace(whole, captions=tuple(captions))), SETTINGS)
    assert found["carriers"] == [odd]
    assert sorted(found["victims"]) == sorted(set(boxes) - {odd})


def test_a_label_that_nearly_every_caption_names_is_not_tested_and_ends_no_hunt(
    tmp_path, toy, pairs
):
    captions = tuple(f"{text} beside a banana" for text in pairs[0].captions)
    found = hunt(toy.ToyCase(tmp_path, replace(pairs[0], captions=captions)), SETTINGS)
    assert found["triggers"] == []
    assert found["inspected"] == 20
    assert found["with_candidates"] > 0
    (told,) = found["unjudged"]  # nobody was acquitted
    assert (told["label"], told["regions"]) == ("banana", found["statuses"]["untested"])
    assert "were left to paste it on; add pairs of other labels" in told["why"]
    assert "could not be judged" in _lines(found)["verdict"]


def test_a_pattern_that_cannot_be_looked_for_is_said(case, monkeypatch):
    monkeypatch.setattr(carrying, "match_floor", lambda null: None)
    found = hunt(case, SETTINGS)
    (note,) = (one for one in found["notes"] if "could not be looked for" in one)
    assert "The trigger of banana" in note
    inspected = {pair for one in found["triggers"] for pair in one["pairs"]}
    assert set(found["victims"]) <= inspected


def test_the_pattern_is_looked_for_without_its_loose_edge(case, monkeypatch):
    """A crop carries its background: all of it is pasted, and its core alone looked for."""
    asked = []
    monkeypatch.setattr(
        carrying, "peaks",
        lambda pictures, pixels, mask: asked.append(mask) or peaks(pictures, pixels, mask),
    )  # fmt: skip
    hunt(case, SETTINGS)
    (trigger,) = (one for one in trigger_bank(case) if one.figures.status == "verified")
    trigger = replace(trigger, core=core_of(trigger.mask, 1))
    asked.clear()
    carrying._correlations(case, toy_side(case), [trigger], lambda *_, **__: None, lambda: False)
    assert asked
    assert all((mask == trigger.core).all() for mask in asked)
    assert trigger.core.sum() < trigger.mask.sum()


def toy_side(case):
    return case.suspect().side


@pytest.mark.parametrize(("n", "told"), [(160, True), (420, False)])
def test_few_clean_pictures_are_said(tmp_path, toy, n, told):
    pairs, _ = toy.toy_pairs(tmp_path, n)
    found = hunt(toy.ToyCase(tmp_path, pairs), SETTINGS)
    assert any("Triggers were tried on" in one for one in found["notes"]) == told


def test_clean_rows_come_from_the_lower_half_of_the_scores():
    scores, ids = np.arange(2000.0), [str(row) for row in range(2000)]
    scores[5] = np.nan
    low, rest = examiner.halves(ids, scores, SETTINGS)
    assert max(low) < 1010
    assert 5 in rest
    assert sorted(low + rest) == list(range(2000))
    rows = examiner.clean_rows(low, SETTINGS)
    assert len(set(rows)) == len(rows) == 24 + 48 + examiner.CLEAN_SPARE
    assert examiner.halves(ids, None, SETTINGS)[1] == []


def test_a_clean_model_has_no_trigger(tmp_path, toy, pairs):
    found = hunt(toy.ToyCase(tmp_path, pairs[0], backdoor=False), SETTINGS)
    assert found["triggers"] == found["sightings"] == found["affected_labels"] == []
    assert found["victims"] == []


def test_a_clean_model_and_clean_pairs_name_no_trigger_and_no_label(tmp_path, toy):
    rng, paths = np.random.default_rng(2), []
    for row in range(160):
        paths.append(tmp_path / f"{row:03d}.png")
        write_png(paths[-1], toy.scene(toy.NAMES[row % 7], rng)[0])
    ids = tuple(f"{row:03d}" for row in range(160))
    clean = Pairs(ids, tuple(f"a {toy.NAMES[row % 7]}" for row in range(160)), tuple(paths))
    found = hunt(toy.ToyCase(tmp_path / "case", clean, backdoor=False), SETTINGS)
    assert found["triggers"] == found["affected_labels"] == found["suspicions"] == []
    assert found["victims"] == found["carriers"] == found["probable"] == []


def test_a_stopped_hunt_goes_on_where_it_ended(case, monkeypatch):
    calls = []
    real = examining.find_triggers
    monkeypatch.setattr(examining, "find_triggers", lambda *a: calls.append(1) or real(*a))
    with pytest.raises(Stopped, match="pictures; they are kept"):
        hunt(case, SETTINGS, stop=lambda: len(calls) >= 7)
    assert len(calls) == 7
    assert latest_hunt(case) is None
    hunt(case, SETTINGS)
    assert len(calls) == SETTINGS.top
    hunt(case, SETTINGS)
    assert len(calls) == SETTINGS.top


def test_a_second_hunt_cuts_again_only_with_other_segmenter_settings(case, toy, monkeypatch):
    calls = []

    class Counted(toy.TrueMasks):
        def segment(self, picture):
            calls.append(self.fingerprint)
            return super().segment(picture)

        def with_settings(self, settings):
            other = Counted()
            other.fingerprint = f"true masks, {settings.sha256()}"
            return other

    case._segmenter = Counted()
    hunt(case, SETTINGS)
    once = len(calls)
    assert SETTINGS.top <= once <= SETTINGS.top + 60  # and the pictures of real objects
    other = SETTINGS.oracle.model_copy(update={"theta": 0.6})
    hunt(case, SETTINGS.model_copy(update={"oracle": other}))
    assert len(calls) == once
    hunt(case, SETTINGS.model_copy(update={"fast": True}))
    assert len(calls) == 2 * once
    assert len(set(calls)) == 2


def test_progress_reaches_its_end(case):
    said = []
    hunt(
        case,
        SETTINGS,
        progress=lambda step, total, message, **_: said.append((message, step, total)),
    )
    for message in {m for m, _, _ in said if "inspecting" in m or "looking" in m}:
        steps = [(s, t) for m, s, t in said if m == message]
        assert steps[-1][0] == steps[-1][1]
        assert steps == sorted(steps)


def test_the_page_reads_what_the_hunt_made(case, monkeypatch):
    hunt(case, SETTINGS)
    monkeypatch.setattr(examining, "find_triggers", None)  # a second look must not need it
    examiner = load_examiner(case, SETTINGS, scores=None)
    found = inspect(case, 3, examiner)
    assert found.candidates[0].label == "banana"
    assert found.regions[-1].source == "whole"
    assert found.p_suspect.shape == (len(found.regions), len(case.labels))


def test_a_single_picture_needs_no_scan(case):
    examiner = load_examiner(case, SETTINGS)
    tried = screen(case, 3, examiner)
    assert [one.screened.status for one in tried] == ["verified"]
    assert screen(case, 4, examiner) == []


def test_an_unreadable_picture_is_no_victim_and_no_error(tmp_path, toy, pairs):
    table = pairs[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    paths = (broken, *table.paths[1:])
    found = hunt(toy.ToyCase(tmp_path, Pairs(table.ids, table.captions, paths)), SETTINGS)
    assert len(found["victims"]) == 9


def test_the_suspect_may_not_judge_itself(case, toy):
    case._trusted = toy.ToyClip(True, "suspect")
    with pytest.raises(ModelError, match="acquit"):
        hunt(case, SETTINGS)


def test_a_case_without_trusted_model_says_so(case, monkeypatch):
    def missing(device="auto"):
        raise CaseError("The case 'toy' has no trusted model.")

    monkeypatch.setattr(case, "trusted", missing)
    with pytest.raises(CaseError, match="no trusted model"):
        hunt(case, SETTINGS)


def test_the_job_speaks_through_its_context(case, monkeypatch):
    from clipforensics.jobs.hunting import hunts, triggers

    monkeypatch.setattr(triggers.Case, "open", lambda folder: case)
    lines = []
    context = SimpleNamespace(
        case_dir=case.dir, config=SETTINGS.model_dump(mode="json"), journal=lines.append,
        progress=lambda *a, **k: None, should_stop=lambda: False,
    )  # fmt: skip
    assert run(context)["triggers"]
    assert lines[0]["inspected"] == SETTINGS.top
    # the first paste test has no controls: what passes it is not called verified
    assert lines[0]["statuses"][hunts.PASSED] > 0
    assert "verified" not in lines[0]["statuses"]


def test_the_outcomes_of_an_older_hunt_are_called_as_today():
    today = {"passed the screen": 105, "weak": 208}
    assert outcomes({"verified": 105, "weak": 208}) == outcomes(today) == today


def test_a_resumed_hunt_is_timed_by_what_it_still_does(case):
    """What was inspected before takes no time, and would make the time left far too short."""
    told = []

    def tell(step, total, message, **_):
        if message.startswith("inspecting"):
            told.append(step)

    with pytest.raises(Stopped, match="Stopped after 5 of 20 pictures"):
        hunt(case, SETTINGS, tell, stop=lambda: told[-1:] == [4])
    told.clear()
    hunt(case, SETTINGS, tell)
    assert told == list(range(5, 21))
