"""The hunt on the Triggers page: what it found, why it found nothing, and what may be picked."""

from dataclasses import replace

import pytest

from clipforensics.errors import CaseError
from clipforensics.ui import verdict

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
        f"p{NBSP}={NBSP}0.025, 0 of 300 controls as good, on 40 pictures each, Holm-corrected over the "
        "clusters tested" in said
    )
    assert [one.value for one in at.markdown if "Verified trigger" in one.value]
    poisoned = len(case.truth.poisoned)
    held = [one.value for one in at.caption if "Against the known truth" in one.value]
    assert held[0].endswith(
        f"1 of the 1 named are poisoned; 1 of the {poisoned} poisoned pairs are named."
    )
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
    at.button(key=f"hunt.benign.trigger.{subject}").click().run()
    assert case.store.current("trigger")[subject].verdict == "benign"
    assert at.button(key=f"hunt.pick.trigger.{subject}").label == "Trigger · benign"
    assert [one for one in at.button if one.key == f"hunt.benign.trigger.{subject}"] == []
    sample = at.button(key=f"hunt.{subject}.pick.sample.{bank[0].pair}")
    assert sample.label == "Sample · suspicious"


def test_a_manifest_that_changed_hides_nothing_else(bank, visit, monkeypatch):
    def changed(*_):
        raise CaseError("manifest.json was changed since intake.")

    monkeypatch.setattr("clipforensics.jobs.hunting.findings.against_truth", changed)
    at = visit("triggers", case="tiny")
    assert [one.value for one in at.error] == ["manifest.json was changed since intake."]
    assert [one.value for one in at.markdown if "Verified trigger" in one.value]


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
