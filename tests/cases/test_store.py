"""Decisions are kept, chained, and undone by new entries."""

import sqlite3
import subprocess
import sys

import pytest

from clipforensics.cases.store import ReviewStore
from clipforensics.errors import CaseError, ConfigError


@pytest.fixture
def store(tmp_path):
    store = ReviewStore(tmp_path / "review.sqlite")
    store.create()
    return store


def raw(store, *statements):
    db = sqlite3.connect(store.path)
    with db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_decision_survives_reopening(store):
    store.decide("sample", "a", "suspicious", "ann", reason="patch", note="corner")
    entry = ReviewStore(store.path).current("sample")["a"]
    assert (entry.verdict, entry.reviewer, entry.reason, entry.note) == (
        "suspicious", "ann", "patch", "corner",
    )  # fmt: skip


def test_kinds_do_not_mix(store):
    store.decide("sample", "banana", "suspicious", "ann")
    store.decide("label", "banana", "benign", "ann")
    assert store.current("sample")["banana"].verdict == "suspicious"
    assert store.current("label")["banana"].verdict == "benign"


def test_undo_is_a_new_entry_that_restores_what_held_before(store):
    store.decide("sample", "a", "unsure", "ann")
    store.decide("sample", "a", "suspicious", "ann")
    assert store.undo("ann").verdict == "unsure"
    assert store.undo("ann").verdict is None
    assert store.undo("ann") is None
    assert store.current("sample") == {}
    assert [entry.action for entry in store.entries()] == ["decide", "decide", "undo", "undo"]
    assert store.verify() == []


def test_a_decision_after_an_undo_can_be_undone(store):
    for verdict in ("unsure", "suspicious"):
        store.decide("sample", "a", verdict, "ann")
    store.undo("ann")
    store.decide("sample", "a", "benign", "ann")
    assert store.undo("ann").verdict == "unsure"


def test_a_group_is_undone_as_one(store):
    store.decide("sample", "a", "benign", "ann")
    store.decide_many("sample", ["a", "b", "c"], "suspicious", "ann")
    store.undo("ann")
    assert {s: e.verdict for s, e in store.current("sample").items()} == {"a": "benign"}


def test_undo_takes_back_only_the_own_decisions(store):
    store.decide("sample", "a", "suspicious", "ann")
    store.decide("sample", "b", "suspicious", "bob")
    assert store.undo("ann").subject == "a"
    assert list(store.current("sample")) == ["b"]


def test_undo_keeps_a_newer_verdict_of_somebody_else(store):
    store.decide("sample", "a", "suspicious", "ann")
    store.decide("sample", "a", "benign", "bob")
    entry = store.undo("ann")
    assert (entry.verdict, entry.reviewer) == ("benign", "bob")
    assert store.current("sample")["a"].verdict == "benign"
    assert store.undo("bob").verdict is None  # ann's own was taken back by herself


def test_one_verdict_is_withdrawn_and_the_withdrawal_undone(store):
    store.decide_many("sample", ["a", "b"], "suspicious", "ann")
    (entry,) = store.withdraw("sample", ["a"], "bob")
    assert (entry.action, entry.actor, entry.before["reviewer"]) == ("withdraw", "bob", "ann")
    assert list(store.current("sample")) == ["b"]
    assert store.undo("bob").verdict == "suspicious"
    assert store.current("sample")["a"].reviewer == "ann"
    assert store.undo("bob") is None
    assert store.verify() == []


def test_an_undo_of_the_verdict_leaves_it_withdrawn(store):
    store.decide_many("sample", ["a", "b"], "suspicious", "ann")
    store.withdraw("sample", ["a"], "bob")
    store.undo("ann")
    assert not store.current("sample")


def test_nothing_is_withdrawn_where_nothing_holds(store):
    assert store.withdraw("sample", ["a"], "ann") == []
    assert store.entries() == []
    with pytest.raises(ConfigError, match="about a sample"):
        store.withdraw("mood", ["a"], "ann")
    with pytest.raises(ConfigError, match="reviewer's name"):
        store.withdraw("sample", ["a"], " ")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET after = 'null'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log WHERE number = 1",
    ],
)
def test_the_file_itself_refuses_changes(store, statement):
    store.decide("sample", "a", "suspicious", "ann")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw(store, statement)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE log SET actor = 'eve' WHERE number = 2", "Entry 2"),
        ("UPDATE log SET after = 'no json' WHERE number = 2", "Entry 2"),
        ("DELETE FROM log WHERE number = 2", "Entry 2"),
    ],
)
def test_verify_finds_what_was_changed_behind_the_guards(store, change, fault):
    for subject in "abc":
        store.decide("sample", subject, "suspicious", "ann")
    raw(store, "DROP TRIGGER log_keeps_entries", "DROP TRIGGER log_never_forgets", change)
    problems = store.verify()
    assert any(fault in problem for problem in problems)
    assert any("log_keeps_entries" in problem for problem in problems)


def test_a_cut_tail_shows_only_against_a_printed_head(store):
    for subject in "abc":
        store.decide("sample", subject, "suspicious", "ann")
    head = store.head()
    raw(store, "DROP TRIGGER log_never_forgets", "DELETE FROM log WHERE number = 3")
    store.create()
    assert store.verify() == []
    assert "tail" in store.verify(head)[0]


def test_an_older_head_still_fits_a_longer_log(store):
    empty = store.head()
    store.decide("sample", "a", "suspicious", "ann")
    head = store.head()
    store.decide("sample", "b", "suspicious", "ann")
    assert store.verify(empty) == store.verify(head) == []


@pytest.mark.parametrize(
    "wrong",
    [
        ("picture", "a", "benign", "ann"),
        ("sample", "a", "poisoned", "ann"),
        ("sample", "a", "benign", " "),
        ("sample", "", "benign", "ann"),
        ("sample", "a" * 10_001, "benign", "ann"),
    ],
)
def test_nonsense_is_refused_and_leaves_no_entry(store, wrong):
    with pytest.raises(ConfigError):
        store.decide(*wrong)
    assert store.entries() == []


def test_what_is_left_out_of_a_curated_set_is_no_verdict(store):
    store.decide("curated pair", "a", "left out", "ann")
    assert list(store.current("curated pair")) == ["a"]
    assert not store.current("sample")
    for wrong in (("curated pair", "a", "benign", "ann"), ("sample", "a", "left out", "ann")):
        with pytest.raises(ConfigError, match="is one of"):
            store.decide(*wrong)


@pytest.mark.parametrize("after", ["[1]", '{"verdict": 3}', '"left out"', "no json", "1"])
def test_a_damaged_entry_is_one_sentence(store, after):
    store.decide("curated pair", "a", "left out", "ann")
    raw(store, "DROP TRIGGER log_keeps_entries", f"UPDATE log SET after = '{after}'")
    with pytest.raises(CaseError, match="Entry 1 of the decision log is no decision"):
        store.current("curated pair")


def test_hostile_text_is_only_text(store):
    nasty = "'); DROP TABLE log; -- <script>\u202e=cmd()"
    store.decide("sample", nasty, "suspicious", "ann", note=nasty)
    assert store.current("sample")[nasty].note == nasty
    assert store.verify() == []


MANY = """
import sys
from pathlib import Path
from clipforensics.cases.store import ReviewStore
for number in range(20):
    ReviewStore(Path(sys.argv[1])).decide("sample", f"{number}", "suspicious", sys.argv[2])
"""


def test_two_processes_write_one_unbroken_chain(store):
    workers = [
        subprocess.Popen([sys.executable, "-c", MANY, str(store.path), name])
        for name in ("ann", "bob")
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert store.head()[1] == 40
    assert store.verify() == []


def test_a_damaged_file_is_a_case_error(store):
    store.path.write_bytes(b"not a database, not at all, by no means" * 100)
    with pytest.raises(CaseError, match="Restore"):
        store.current("sample")
    store.path.unlink()
    with pytest.raises(CaseError, match="No decisions"):
        store.decide("sample", "a", "benign", "ann")
    assert not store.path.exists()


def test_selections_are_kept_once_and_read_back(store):
    first = store.save_selection("corner", [[0, 0], [1, 0], [1, 1]], "map-1", ["a", "b"])
    again = store.save_selection("corner", [[0, 0], [1, 0], [1, 1]], "map-1", ["a", "b"])
    other = store.save_selection("edge", [[0, 0], [1, 0], [1, 2]], "map-1", [])
    assert first == again != other
    assert store.selection(first).ids == ["a", "b"]
    assert [sel.name for sel in store.selections()] == ["edge", "corner"]
    with pytest.raises(CaseError, match="No selection"):
        store.selection("nope")


def test_undoing_a_withdrawal_revives_no_verdict_that_its_author_took_back(store):
    store.decide("sample", "x", "suspicious", "ann")
    store.withdraw("sample", ["x"], "bob")
    store.undo("ann")
    store.undo("bob")
    assert store.current("sample") == {}


def test_undoing_a_withdrawal_revives_nothing_that_was_decided_over(store):
    store.decide("sample", "x", "suspicious", "ann")
    store.withdraw("sample", ["x"], "bob")
    store.decide("sample", "x", "benign", "cyd")
    store.withdraw("sample", ["x"], "dan")
    store.undo("bob")
    assert store.current("sample") == {}
    store.undo("dan")
    assert store.current("sample")["x"].verdict == "benign"


def test_undo_on_verdicts_leaves_the_curated_set_alone(store):
    store.decide("sample", "x", "suspicious", "ann")
    store.decide("curated pair", "p", "left out", "ann")
    assert store.undo("ann").subject == "x"
    assert list(store.current("curated pair")) == ["p"]


@pytest.mark.parametrize(
    "after",
    ["{", "[" * 200_000, b"\xff\xfe", '{"verdict": "\\ud800"}'],
    ids=["cut", "nested", "bytes", "half a letter"],
)
def test_a_forged_entry_is_one_sentence_and_verify_still_answers(store, after):

    store.decide("sample", "x", "suspicious", "ann")
    with sqlite3.connect(store.path) as db:
        db.execute("DROP TRIGGER log_keeps_entries")
        db.execute("UPDATE log SET after = ?", (after,))
    assert any("was changed after it was written" in one for one in store.verify())
    for act in (
        lambda: store.entries(),
        lambda: store.withdraw("sample", ["x"], "ann"),
        lambda: store.undo("ann"),
    ):
        with pytest.raises(CaseError, match="changed behind our back"):
            act()
