"""The Case page: what is under examination, the scan, a new case."""

import shutil

from clipforensics.jobs.runs.run_folder import Status


def test_it_shows_what_is_under_examination(home, visit):
    at = visit()
    figures = {metric.label: metric.value for metric in at.metric}
    assert figures["Pairs"] == "240"
    assert figures["Labels"] == "40"
    assert figures["Known poison"].startswith("5 ")
    assert any("scan is finished" in one.value for one in at.markdown)


def test_without_a_case_the_demo_builds_itself_once(no_home, launched, visit):
    visit()
    at = visit()
    assert [run.kind for run in launched] == ["demo"]
    assert launched[0].case_dir == no_home / "demo"
    assert any("Building the demonstration" in one.value for one in at.markdown)


def test_a_failed_demo_says_why_and_waits_for_a_click(no_home, launched, visit):
    launched.do = lambda run: run.write_status(Status("failed", message="No space left on disk."))
    visit()
    at = visit()
    assert len(launched) == 1
    assert at.error[0].value == "No space left on disk."
    launched.do = None
    next(one for one in at.button if one.label == "Try again").click().run()
    assert len(launched) == 2


def test_a_case_that_is_not_scanned_offers_the_scan(home, launched, visit):
    shutil.rmtree(home / "tiny" / "evidence")
    at = visit()
    at.button(key="case.scan").click().run()
    assert not at.exception
    assert [run.kind for run in launched] == ["scan"]
    assert not any(one.key == "case.scan" for one in at.button)


def test_wrong_paths_of_a_new_case_are_said_in_one_sentence(home, visit):
    at = visit()
    for name, value in (
        ("name", "Second"), ("data", "/nowhere/pairs.csv"), ("labels", "/nowhere/labels.txt"),
        ("model", "RN50"), ("weights", "/nowhere/w.safetensors"),
    ):  # fmt: skip
        at.text_input(key=f"case.new.{name}").set_value(value)
    next(one for one in at.button if one.label == "Open the case").click().run()
    assert not at.exception
    assert "No pairs at /nowhere/pairs.csv" in at.error[0].value
    assert not (home / "second").exists()


def test_an_empty_form_says_what_it_needs(home, visit):
    at = visit()
    next(one for one in at.button if one.label == "Open the case").click().run()
    assert not at.exception
    assert at.error[0].value.startswith("name=")


def test_changed_inputs_are_found(home, visit):
    (home / "tiny" / "data" / "labels.txt").write_text("dog\ncat\n")
    at = visit(case="tiny")
    shown = [one.value for one in at.error]
    assert any("changed since the case was made" in text for text in shown)


def test_the_reviewer_is_remembered_with_the_case(home, visit):
    at = visit(case="tiny")
    at.text_input(key="state.reviewer.field").set_value("Ada *Bold*").run()
    again = visit(case="tiny")
    assert again.text_input(key="state.reviewer.field").value == "Ada *Bold*"
