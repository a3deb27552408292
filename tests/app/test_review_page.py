"""The Review page: each shown sample decided once, none unseen, everything undone by a new entry."""

from types import SimpleNamespace

import pytest

from clipforensics.ui import reviewdesk


@pytest.fixture
def at(home, visit):
    return visit("review", case="tiny")


def current(at):
    return at.session_state["review.at"]


def test_a_verdict_is_logged_and_the_next_undecided_sample_comes(at, case):
    first = current(at)
    at.button(key=f"review.reason.1.{first}").click().run()
    at.button(key=f"review.suspicious.{first}").click().run()
    assert not at.exception
    held = case.store.current("sample")[first]
    assert (held.verdict, held.reviewer, held.reason) == ("suspicious", "reviewer", "visible patch")
    assert current(at) != first


def test_a_key_pressed_for_a_sample_that_is_gone_does_nothing(case, monkeypatch):
    """A fast reviewer's second press arrives for a sample that is no longer on screen."""
    names = list(case.pairs.ids[:3])
    session = {reviewdesk.AT: names[1]}
    fake = SimpleNamespace(session_state=session, query_params={}, toast=lambda *_, **__: None)
    monkeypatch.setattr(reviewdesk, "st", fake)
    monkeypatch.setattr(reviewdesk.picks, "st", fake)
    monkeypatch.setattr(reviewdesk.state, "reviewer", lambda: "Ada")
    reviewdesk.decide(case, names, names[0], "benign")
    assert not case.store.entries()
    assert session[reviewdesk.AT] == names[1]
    reviewdesk.decide(case, names, names[1], "benign")
    assert [entry.subject for entry in case.store.entries()] == [names[1]]
    assert session[reviewdesk.AT] == names[2]


def test_undo_brings_the_sample_back(at, case):
    first = current(at)
    at.button(key=f"review.unsure.{first}").click().run()
    at.button(key=f"review.undo.{current(at)}").click().run()
    assert current(at) == first
    entry = case.store.entries()[-1]
    assert (entry.action, entry.subject) == ("undo", first)


def test_undo_says_how_many_it_took_back(case, monkeypatch):
    said = []
    fake = SimpleNamespace(session_state={}, toast=lambda text, **_: said.append(text))
    monkeypatch.setattr(reviewdesk.picks, "st", fake)
    monkeypatch.setattr(reviewdesk.state, "reviewer", lambda: "ann")
    case.store.decide("sample", case.pairs.ids[0], "unsure", "ann")
    case.store.decide_many("sample", case.pairs.ids[1:4], "suspicious", "ann")
    for _ in range(3):
        reviewdesk.picks.undo(case)
    assert said == [
        "Taken back: 3 samples", f"Taken back: sample {case.pairs.ids[0]}",
        "Nothing left to take back.",
    ]  # fmt: skip


def test_one_verdict_is_taken_back_and_the_others_stay(at, case, visit):
    first = current(at)
    second = next(name for name in case.pairs.ids if name != first)
    for name in (first, second):
        case.store.decide("sample", name, "suspicious", "ann")
    at = visit("review", case="tiny", at=first)
    at.button(key=f"review.withdraw.sample.{first}").click().run()
    assert not at.exception
    assert list(case.store.current("sample")) == [second]
    assert case.store.entries()[-1].action == "withdraw"
    picks = visit("review", case="tiny", view="Picks")
    picks.button(key=f"change.withdraw.sample.{second}").click().run()
    assert not picks.exception
    assert not case.store.current("sample")
    log = visit("review", case="tiny", view="Log").dataframe[0].value
    assert log["Action"].tolist()[:2] == ["withdraw", "withdraw"]


def test_the_queue_resumes_at_the_first_undecided(at, visit):
    first = current(at)
    at.button(key=f"review.benign.{first}").click().run()
    assert current(visit("review", case="tiny")) == current(at)


def test_shortcuts_avoid_reserved_keys():
    keys = [*reviewdesk.KEYS.values(), *(key for _, key, _ in reviewdesk._MOVES), "Z"]
    assert len(set(keys)) == len(keys)
    assert not {"C", "R"} & set(keys)


def test_picks_and_log_show_reviewer_and_time(case, visit):
    case.store.decide("label", "banana", "suspicious", "Ada", reason="trigger")
    case.store.decide("sample", case.pairs.ids[4], "benign", "Ada")
    at = visit("review", case="tiny", view="Picks")
    assert [one.value for one in at.subheader] == ["Labels (1)", "Triggers (0)", "Samples (1)"]
    log = visit("review", case="tiny", view="Log")
    table = log.dataframe[0].value
    assert list(table["Reviewer"]) == ["Ada", "Ada"]
    assert list(table["No."]) == [2, 1]


def test_the_export_defuses_spreadsheet_formulas(case, monkeypatch):
    monkeypatch.setattr(reviewdesk.state, "reviewer", lambda: "Ada")
    case.store.decide("sample", "x", "benign", "=cmd()", note="@SUM(1)")
    text = reviewdesk.as_csv(case)
    assert "'=cmd()" in text
    assert "'@SUM(1)" in text
    assert case.store.head()[0] in text
