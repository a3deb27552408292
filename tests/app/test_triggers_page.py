"""The Triggers page: one picture under the oracle, the hunt, and what it found."""

import shutil
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlencode

import numpy as np
import pytest
from streamlit.runtime.state.query_params import QueryParams

from clipforensics.jobs.hunting import examining
from clipforensics.oracle.competence import Recall
from clipforensics.oracle.regions import grid_regions
from clipforensics.oracle.segmenter import SmallSamSegmenter
from clipforensics.ui import arguing, verdict

NBSP = "\u00a0"


def test_a_hunt_starts_as_a_run_with_the_chosen_number(home, launched, visit):
    at = visit("triggers", case="tiny")
    at.number_input(key="hunt.top").set_value(40).run()
    at.button(key="hunt.start").click().run()
    assert not at.exception
    assert launched[0].kind == "triggers"
    assert launched[0].config == {"top": 40, "fast": False}


def test_found_triggers_show_their_figures_and_can_be_picked(case, bank, launched, visit):
    from clipforensics.jobs.repairing.curating import trigger_subject

    at = visit("triggers", case="tiny")
    said = " ".join(one.value for one in at.markdown)
    assert f"Flip rate **95.0%** (95{NBSP}% 91.0% to 97.0%, n{NBSP}={NBSP}200)" in said
    assert f"trusted model: 1.0% (n{NBSP}={NBSP}200)" in said
    assert (
        f"p{NBSP}={NBSP}0.025, 300 controls on 40 pictures each, Holm-corrected over the clusters "
        "tested" in said
    )
    assert [one.value for one in at.markdown if "Verified trigger" in one.value]
    subject = trigger_subject(bank[0])
    at.button(key=f"hunt.pick.trigger.{subject}").click().run()
    at.button(key="hunt.pick.label.banana").click().run()
    at.button(key=f"hunt.{subject}.pick.sample.{bank[0].pair}").click().run()
    assert not at.exception
    for kind, name in (("trigger", subject), ("label", "banana"), ("sample", bank[0].pair)):
        held = case.store.current(kind)[name]
        assert (held.verdict, held.reason) == ("suspicious", "hunt")
    # what was picked stays legible beside the verdict
    picked = at.button(key="hunt.pick.label.banana")
    assert picked.label == "banana · flips at least 91% (95 %, n = 200) · suspicious"
    assert picked.disabled
    assert at.button(key=f"hunt.pick.trigger.{subject}").label == "Trigger · suspicious"
    sample = at.button(key=f"hunt.{subject}.pick.sample.{bank[0].pair}")
    assert sample.label == "Sample · suspicious"


def test_a_hunt_that_did_not_keep_its_controls_shows_p_alone(bank, visit):
    bank[:] = [replace(bank[0], figures=replace(bank[0].figures, controls=None))]
    said = " ".join(one.value for one in visit("triggers", case="tiny").markdown)
    assert f"p{NBSP}={NBSP}0.025, Holm-corrected over the clusters tested" in said


def test_without_a_verified_trigger_the_page_says_why_and_where_to_go_on(case, bank, visit):
    seen = ("a", "b", "c")
    figures = replace(bank[0].figures, status="chance", p_value=1.0, large=True)
    rejected = replace(bank[0], figures=figures, pairs=seen)
    small = replace(figures, status="object", large=False)
    bank[:] = [rejected, replace(rejected, label="dog", pairs=("d",)),
               replace(rejected, label="cat", figures=small)]  # fmt: skip
    at = visit("triggers", case="tiny")
    assert not at.exception
    said = next(one.value for one in at.info if "verified" in one.value)
    assert "no better than controls (2), both models see it (1)" in said
    assert "In 4 pictures a candidate covers more than a quarter" in said
    assert "No label stands out among them" in said
    assert "Rejected candidates (3)" in [one.label for one in at.expander]
    assert any("Weaker: the caption names" in one.value for one in at.markdown)
    assert any(
        "The hunt below: 20 pairs, ranked by Density and caption" in one.value for one in at.caption
    )
    many = tuple(f"p{i}" for i in range(9))
    bank[0] = replace(rejected, pairs=many)
    said = next(one.value for one in visit("triggers", case="tiny").info)
    assert "9 of them make the suspect say **banana**" in said
    assert "inversion" in said
    bank[:] = [replace(rejected, figures=small)]
    at = visit("triggers", case="tiny")
    assert not any("inversion" in one.value for one in at.info)


def test_what_cannot_be_tested_says_how_many_pictures_were_left(bank, monkeypatch):
    said = []
    monkeypatch.setattr(verdict.st, "badge", lambda word, **_: said.append(word))
    monkeypatch.setattr(verdict.st, "markdown", said.append)
    verdict.verification(replace(bank[0].figures, status="untested", n=7, p_value=None))
    assert said[0] == "Cannot be tested"
    assert said[1].startswith("Only 7 clean pictures were left for this step")
    assert len(said) == 2  # no rate of nothing


def test_a_verified_trigger_stands_before_the_rejected_ones(case, bank, visit):
    figures = replace(bank[0].figures, status="weak")
    bank.append(replace(bank[0], label="dog", figures=figures))
    at = visit("triggers", case="tiny")
    assert not any("No trigger was verified" in one.value for one in at.info)
    folded = next(one for one in at.expander if one.label == "Rejected candidates (1)")
    assert any("**dog**" in one.value for one in folded.markdown)
    assert not any("**banana**" in one.value for one in folded.markdown)


def test_one_picture_shows_lists_regions_and_verdicts(case, visit, monkeypatch):
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    assert any("masks: 0 candidates" in one.value for one in at.text)
    assert any(one.value.startswith(f"{pair} · score ") for one in at.text)
    masks = next(one for one in at.segmented_control if one.key.startswith("inspect.masks"))
    assert (masks.options, masks.value) == (["All", "None"], "None")
    said = " ".join(one.value for one in at.markdown)
    for title in ("The suspect says", "The trusted model finds", "Said but not found"):
        assert title in said
    assert ["Region", "Mask share", "Trusted finds"] == list(at.dataframe[0].value.columns)[:3]
    assert any("reason to look, not a finding" in one.value for one in at.caption)
    at.button(key=f"inspect.benign.sample.{pair}").click().run()
    assert not at.exception
    held = case.store.current("sample")[pair]
    assert (held.verdict, held.reason) == ("benign", "one picture")


def test_the_picture_that_is_shown_is_the_one_that_is_named(case, visit, monkeypatch):
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    at = visit("triggers", case="tiny")
    view = "triggers.view"
    at.segmented_control(key=view).set_value("One picture").run()
    name = at.query_params["pair"]
    box = next(one for one in at.selectbox if one.label == "Picture")
    assert box.value == name
    assert any(one.value.startswith(f"{name} · score ") for one in at.text)
    assert at.button(key=f"inspect.benign.sample.{name}")
    at.segmented_control(key=view).set_value("Hunt").run()  # the very next click counts
    assert at.segmented_control(key=view).value == "Hunt"
    assert not at.exception


def test_another_case_forgets_what_was_open_in_this_one(home, case, visit, monkeypatch):
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    other = home / "other"
    shutil.copytree(home / "tiny", other)
    at = visit("triggers", case="tiny", pair=case.pairs.ids[0])
    at.session_state["review.at"] = case.pairs.ids[0]
    at.selectbox(key="state.pick.tiny").set_value("other").run()
    assert not at.exception
    assert at.query_params["case"] == "other"
    assert "pair" not in at.query_params
    assert "review.at" not in at.session_state
    assert at.segmented_control(key="triggers.view").value == "Hunt"


def test_another_case_is_one_step_of_the_browsers_back(home, visit, monkeypatch):
    """The browser makes a step of every address that differs from the one before."""
    shutil.copytree(home / "tiny", home / "other")
    at = visit("triggers", case="tiny", run="1", near="2", sel="3")
    told = []
    monkeypatch.setattr(
        QueryParams, "_send_query_param_msg",
        lambda self: told.append(urlencode(self._query_params, doseq=True)),
    )  # fmt: skip
    at.selectbox(key="state.pick.tiny").set_value("other").run()
    assert not at.exception
    assert set(told) == {"case=other"}


def test_a_picture_of_a_card_is_shown_from_the_top_of_the_page(case, bank, visit, monkeypatch):
    from clipforensics.jobs.repairing.curating import trigger_subject

    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    look = f"hunt.look.{trigger_subject(bank[0])}"
    at = visit("triggers", case="tiny")
    for _ in range(2):  # the second time the same picture is in the address already
        assert not scrolled_up(at)
        at.button(key=look).click().run()
        assert at.query_params["pair"] == bank[0].pair
        assert at.segmented_control(key="triggers.view").value == "One picture"
        assert scrolled_up(at)
        at.run()
        assert not scrolled_up(at)  # once: whoever reads on is left alone
        at.segmented_control(key="triggers.view").set_value("Hunt").run()
    assert not at.exception


def scrolled_up(at):
    return [one for one in at.sidebar.get("html") if "scrollTo(0, 0)" in one.proto.body]


def test_labels_that_are_next_to_unsaid_are_not_listed_as_said(case, monkeypatch):
    said = (("cat", 0.995), ("dog", 0.004), ("banana", 0.0))
    found = SimpleNamespace(
        said=said, suspicious=(("dog", 0.2), ("banana", 0.1)), p_trusted=np.full((2, 40), 0.1)
    )
    shown = []
    monkeypatch.setattr(arguing, "_lines", lambda rows: shown.append([one[0] for one in rows]))
    arguing.lists(case, found)
    assert shown[0] == ["cat"]
    assert len(shown) == 2  # nothing is said and not found
    shown.clear()
    arguing.lists(case, SimpleNamespace(**vars(found) | {"suspicious": (("cat", 0.3),)}))
    assert shown[2] == ["cat"]


def test_the_screen_alone_verifies_nothing(bank):
    figures = bank[0].figures
    assert verdict.badge_of(figures)[0] == "Verified trigger"
    word, colour, _ = verdict.badge_of(replace(figures, p_value=None))
    assert (word, colour) == ("Passed the first paste test", "gray")
    assert verdict.badge_of(replace(figures, status="weak", p_value=None))[0] == "Too weak"


def test_the_verdict_of_the_hunt_is_the_badge(case, bank, visit, monkeypatch):
    """One region, passed by the screen: without a hunt, with one that rejects, with one that agrees."""
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    monkeypatch.setattr(examining, "find_triggers", accused)
    screened = replace(bank[0].figures, p_value=None, n=40)
    monkeypatch.setattr(examining, "verify", lambda *a, **k: replace(screened, label=a[1]))
    monkeypatch.setattr(examining, "signature", lambda *a, **k: np.ones(4, np.float32))
    pair, hunted = case.pairs.ids[0], bank.pop()
    at = visit("triggers", case="tiny", pair=pair)
    at.button(key="inspect.paste").click().run()
    assert badges(at) == ["Passed the first paste test"]
    assert any("The hunt has not tried this region" in one.value for one in at.markdown)
    label = next(one.key for one in at.button if one.key.startswith("inspect.pick.label."))
    of_pair = replace(hunted, label=label.removeprefix("inspect.pick.label."), pairs=(pair,))
    chance = replace(hunted.figures, status="chance", p_value=0.4)
    for status, figures, word in (
        ("no better than controls", chance, "No better than controls"),
        ("verified trigger", hunted.figures, "Verified trigger"),
    ):
        bank[:] = [replace(of_pair, figures=figures)]
        again = visit("triggers", case="tiny", pair=pair)
        assert badges(again) == [word]
        (told,) = (one.value for one in again.markdown if one.value.startswith("The hunt, of this"))
        assert status in told
        assert "seen in 1 picture, flip rate" in told
    bank[:] = [replace(of_pair, label="another", figures=hunted.figures)]
    assert badges(visit("triggers", case="tiny", pair=pair)) == ["Passed the first paste test"]


def badges(at):
    words = [word for word, _, _ in (*verdict.STATUS.values(), verdict.SCREENED)]
    drawn = [one.value for one in at.markdown if "-badge[" in one.value]
    found = [word for text in drawn for word in words if f" {word}]" in text]
    assert found[0::2] == found[1::2]  # the headline's, and the paste test's
    return found[0::2]


def test_a_region_is_argued_with_pictures_lists_paste_test_and_controls(case, visit, monkeypatch):
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    monkeypatch.setattr(examining, "find_triggers", accused)
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    said = " ".join(one.value for one in at.markdown)
    assert "Why the orange region is suspected" in said
    assert "in no region: " in said
    assert "66% would count as found" in said
    for title in ("The picture", "The region (box: ", "The region alone", "The region removed"):
        assert f"**{title}" in said
    assert len(at.get("image")) == 4
    assert not at.get("vega_lite_chart")
    at.button(key="inspect.paste").click().run()
    assert not at.exception
    assert len(at.get("vega_lite_chart")) == 1
    said = " ".join(one.value for one in at.markdown)
    assert "Same paste on the trusted model" in said
    assert "20 control crops of its size" in said
    again = visit("triggers", case="tiny", pair=pair)  # the figures are evidence now
    assert len(again.get("vega_lite_chart")) == 1
    (finished(case, "hunts") / "bank.json").unlink()
    again = visit("triggers", case="tiny", pair=pair)  # a damaged hunt hides nothing else
    assert ["bank.json is missing" in one.value for one in again.error] == [True]
    assert any("Same paste on the trusted model" in one.value for one in again.markdown)
    assert again.button(key=f"inspect.benign.sample.{pair}")


def test_the_headline_follows_the_best_evidence(case, bank, monkeypatch):
    """An accusation is made of what stands, not of every candidate: many clean pictures have one."""
    said = []
    monkeypatch.setattr(arguing.st, "markdown", said.append)
    region = SimpleNamespace(mask=np.ones((64, 64), bool))
    one = SimpleNamespace(label="cat", confidence=0.97, box_xyxy=(0, 0, 16, 16), region=0)
    found = SimpleNamespace(
        said=(("banana", 0.99), ("cat", 0.004)), p_trusted=np.full((2, 40), 0.1), regions=(region,)
    )  # fmt: skip
    passed = replace(bank[0].figures, label="cat")

    def headline(figures, **change):
        shown = SimpleNamespace(**vars(found) | change)
        so_far = SimpleNamespace(figures=figures)
        arguing.headline(case, shown, one, (("dog", 0.5),), 0.66, so_far)
        return said[-1]

    text = headline(None)
    assert "Hardly a reason to suspect" in text
    assert "Why the orange" not in text
    assert "**cat** only to 0%" in text
    assert "Why the orange" in headline(None, said=(("cat", 0.9), ("banana", 0.1)))
    assert "Verified trigger] **Why the orange" in headline(passed)
    assert "Passed the first paste test] **Why" in headline(replace(passed, p_value=None))
    for status, reason in (("weak", "too few"), ("object", "as it does in a real object"),
                           ("chance", "crops of the same size"), ("narrow", "of only")):  # fmt: skip
        text = headline(replace(passed, status=status))
        assert "did not pass as a trigger" in text
        assert reason in text
        assert "orange" not in text
    both = headline(replace(passed, status="object", flip_rate_trusted=0.21, n=200))
    assert "21% of 200 pictures (95\u00a0% 16% to 27%)" in both
    low = Recall(right=3, asked=20, of_label=False)
    for status in ("untested", "unjudged"):  # nobody looked: that acquits nothing
        text = headline(replace(passed, status=status, recall=low))
        assert "stays open" in text
        assert "did not pass" not in text
    one.box_xyxy = (0, 0, 64, 64)
    assert "without it, it says" not in headline(passed)


def windows(self, picture):
    return grid_regions(*picture.shape[:2])[:30]


def accused(picture, suspect, oracle, settings):
    """A real inspection, and one region of it accused of the suspect's first answer."""
    from dataclasses import replace

    from clipforensics.oracle.finding import Candidate, find_triggers

    found = find_triggers(picture, suspect, oracle, settings)
    label = found.said[0][0]
    one = Candidate(label, 0, found.regions[0].box_xyxy, 0.9, 0.01, 0.5)
    return replace(found, seen=(), suspicious=((label, 0.01),), candidates=(one,))


def test_back_from_one_picture_leads_to_the_hunt(case, visit, monkeypatch):
    monkeypatch.setattr(SmallSamSegmenter, "segment", windows)
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    view = "triggers.view"
    assert at.segmented_control(key=view).value == "One picture"
    del at.query_params["pair"]
    at.run()
    assert at.segmented_control(key=view).value == "Hunt"
    at.query_params["pair"] = pair  # forward again
    at.run()
    assert at.segmented_control(key=view).value == "One picture"
    at.segmented_control(key=view).set_value("Hunt").run()  # a click, with a picture named
    assert at.segmented_control(key=view).value == "Hunt"
    assert not at.exception


def test_an_unknown_picture_says_so(home, visit):
    at = visit("triggers", case="tiny", pair="<b>nobody</b>")
    assert "No pair has the id" in at.error[0].value
    assert "<b>" not in at.error[0].value.replace("\\<", "")


@pytest.mark.parametrize("lack", ["trusted_model", "segmenter"])
def test_a_case_without_oracle_says_what_is_missing(home, visit, lack, monkeypatch):
    import json

    path = home / "tiny" / "case.json"
    content = json.loads(path.read_text())
    gone = ("trusted_model", "trusted_weights") if lack == "trusted_model" else ("segmenter", "segmenter_weights")  # fmt: skip
    for name in gone:
        content["settings"][name] = None
    path.write_text(json.dumps(content))
    at = visit("triggers", case="tiny")
    word = lack.replace("_", " ").removesuffix(" model")
    assert any(f"no {word}" in one.value for one in at.markdown)
    assert not any(one.key == "hunt.start" for one in at.button)
    # inversion cuts nothing out: it needs the trusted model alone
    inverts = [one.key for one in at.multiselect if one.key == "invert.labels"]
    assert inverts == (["invert.labels"] if lack == "segmenter" else [])


NEXT = "Triggers that cover the whole picture"


@pytest.mark.parametrize("kind", ["hunts", "inverted"])
def test_damage_is_one_sentence_and_the_rest_of_the_page_stands(case, launched, visit, kind):
    folder = finished(case, kind)
    (folder / "result.json").chmod(0o644)
    (folder / "result.json").write_text('{"vict')
    at = visit("triggers", case="tiny")
    (told,) = (one.value for one in at.error)
    assert "result.json changed since it became evidence" in told
    assert "run again" in told
    at.button(key="hunt.start")
    assert any(NEXT in one.value for one in at.markdown)
    at.multiselect(key="invert.labels").set_value(["banana"]).run()
    at.button(key="invert.start").click().run()
    assert [run.kind for run in launched] == ["invert"]


def test_two_damages_are_two_sentences(case, visit):
    for kind in ("hunts", "inverted"):
        (finished(case, kind) / "result.json").unlink()
    at = visit("triggers", case="tiny")
    assert ["result.json is missing" in one.value for one in at.error] == [True, True]


def test_a_damaged_hunt_leaves_the_map_usable(case, visit):
    folder = finished(case, "hunts")
    (folder / "bank.json").chmod(0o644)
    (folder / "bank.json").write_text('"verified"')
    at = visit("map", case="tiny")
    assert ["bank.json changed since" in one.value for one in at.error] == [True]
    assert at.segmented_control(key="show")  # the gallery, below


def finished(case, kind):
    """Evidence of this kind for the suspect, as a job would have left it; its content is empty."""
    from clipforensics.cases.evidence import evidence_dir, writing

    key = {"suspect": case.fingerprints["weights"]}
    folder = evidence_dir(case, kind, key)
    with writing(folder, key) as part:
        for name in ("result.json", "bank.json"):
            (part / name).write_text("{}")
    return folder
