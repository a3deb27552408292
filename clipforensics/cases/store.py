"""The reviewers' decisions: one SQLite file per case, an append-only log whose entries are chained.

Each entry holds the hash of the one before it, so a changed or removed entry breaks every later
hash. Current verdicts are a view over the log; an undo takes back what its reviewer did last, a
withdrawal what holds for one subject, and both are new entries. A chain cannot show that its own
tail was cut off: keep `head()` elsewhere and give it to `verify`.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clipforensics.cases.decision_log import DecisionLog
from clipforensics.cases.entries import Entry, Selection, entry_of, selection_of
from clipforensics.cases.provenance import utc_now
from clipforensics.cases.schema import FIRST_HASH, GUARD_NAMES, GUARDS, SCHEMA, chained
from clipforensics.config.settings import digest
from clipforensics.errors import CaseError, ConfigError

KINDS = ("sample", "label", "trigger")
VERDICTS = ("suspicious", "benign", "unsure", "duplicate")
CURATED = ("curated pair", "curated label")
"""What a reviewer takes out of the set a repair learns from; no verdict on the pair or label."""
LEFT_OUT = "left out"
MAX_TEXT = 10_000


class ReviewStore:
    """Opens the file for each action, so that several tabs and processes can work at once."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def create(self) -> None:
        """Make the file with its tables and guards; an existing store stays as it is."""
        with self._connection(create=True) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.executescript(SCHEMA + GUARDS)

    def decide(
        self, kind: str, subject: str, verdict: str, reviewer: str,
        reason: str = "", note: str = "", group: str | None = None,
    ) -> Entry:  # fmt: skip
        """Record a verdict on one sample, label or trigger; see `decide_many`."""
        return self.decide_many(kind, [subject], verdict, reviewer, reason, note, group)[0]

    def decide_many(
        self, kind: str, subjects: Sequence[str], verdict: str, reviewer: str,
        reason: str = "", note: str = "", group: str | None = None,
    ) -> list[Entry]:  # fmt: skip
        """Record one verdict on many subjects as one group, all or none; undone as one.

        Args:
            kind: sample, label or trigger; curated pair or curated label.
            subjects: pair ids, label names or trigger ids.
            verdict: suspicious, benign, unsure or duplicate; left out, of a curated kind.
            reviewer: who decides; signs the entries.
            reason: a short reason code.
            note: free text.
            group: joins several calls into one undoable group; a fresh one when None.

        Raises:
            ConfigError: an unknown kind or verdict, no reviewer, or a text too long.
        """
        _check(kind, subjects, verdict, reviewer, reason, note)
        group = group or uuid.uuid4().hex
        with self._connection(write=True) as db:
            log = DecisionLog(db)
            entries = []
            for subject in dict.fromkeys(subjects):
                before = log.current(kind, subject)
                after = {
                    "decision": log.count + 1, "verdict": verdict, "reviewer": reviewer,
                    "reason": reason, "note": note,
                }  # fmt: skip
                entries.append(log.add(reviewer, "decide", kind, subject, before, after, group))
        return entries

    def withdraw(self, kind: str, subjects: Sequence[str], reviewer: str) -> list[Entry]:
        """Take back the verdicts that hold for these subjects, whoever gave them, as one group.

        Nothing holds for them afterwards; `undo` takes the withdrawal itself back.

        Returns:
            An entry for each subject that had a verdict; none where nothing held.

        Raises:
            ConfigError: an unknown kind, no subject, or no reviewer.
        """
        _check_about(kind, subjects, reviewer)
        group, entries = uuid.uuid4().hex, []
        with self._connection(write=True) as db:
            log = DecisionLog(db)
            for subject in dict.fromkeys(subjects):
                before = log.current(kind, subject)
                if before is not None:
                    entries.append(
                        log.add(reviewer, "withdraw", kind, subject, before, None, group)
                    )
        return entries

    def undo(self, reviewer: str, kinds: Sequence[str] = KINDS) -> Entry | None:
        """Take back this reviewer's latest group of decisions, or withdrawals, not yet taken back.

        Then the newest entry holds that nobody took back: what held before, or the verdict of
        somebody who decided since, or nothing.

        Args:
            reviewer: whose group.
            kinds: looked at; what is left out of a curated set is put back where it is shown.

        Returns:
            The last entry written, or None when there is nothing left to undo.
        """
        with self._connection(write=True) as db:
            log, entry = DecisionLog(db), None
            decisions = log.latest_group(reviewer, kinds)
            group = uuid.uuid4().hex
            for old in reversed(decisions):
                now = log.current(old.kind, old.subject)
                after = log.without(old)
                entry = log.add(
                    reviewer, "undo", old.kind, old.subject, now, after, group, old.number
                )
        return entry

    def current(self, kind: str) -> dict[str, Entry]:
        """The verdicts that hold now, by subject, in the order they came to hold."""
        with self._connection() as db:
            rows = db.execute("SELECT * FROM holding WHERE kind = ? ORDER BY number", (kind,))
            return {row["subject"]: entry_of(row) for row in rows}

    def entries(self) -> list[Entry]:
        """The whole log, oldest first."""
        with self._connection() as db:
            return [entry_of(row) for row in db.execute("SELECT * FROM log ORDER BY number")]

    def head(self) -> tuple[str, int]:
        """Hash of the last entry and the number of entries; print both on every report."""
        with self._connection() as db:
            log = DecisionLog(db)
            return log.last, log.count

    def verify(self, head: tuple[str, int] | None = None) -> list[str]:
        """Recompute the chain; one sentence for each fault, none when the log is whole.

        Args:
            head: hash and count printed earlier; shows a log whose tail was cut off.
        """
        with self._connection() as db:
            rows = db.execute("SELECT * FROM log ORDER BY number").fetchall()
            guards = {row["name"] for row in db.execute("SELECT name FROM sqlite_master")}
        problems = [
            f"The guard {name} is missing from {self.path}."
            for name in GUARD_NAMES
            if name not in guards
        ]
        previous, hashes = FIRST_HASH, []
        for place, row in enumerate(rows, 1):
            hashes.append(row["hash"])
            if row["number"] != place:
                problems.append(f"Entry {place} of {self.path} is missing.")
                break
            if row["previous"] != previous or row["hash"] != _hash_of(row):
                problems.append(f"Entry {place} of {self.path} was changed after it was written.")
            previous = row["hash"]
        if head is not None and (len(hashes) < head[1] or head[0] not in (FIRST_HASH, *hashes)):
            problems.append(
                f"{self.path} holds {len(hashes)} entries and not the head {head[0][:12]}… of "
                f"{head[1]}: its tail was cut off or replaced."
            )
        return problems

    def save_selection(self, name: str, polygon: Sequence, space: str, ids: Sequence[str]) -> str:
        """Keep a selection made on the map; equal selections have one id.

        Args:
            name: how it is called on screen.
            polygon: [[x, y], …] in map coordinates.
            space: which map: the key of the projection.
            ids: pair ids inside the polygon.
        """
        content = {"name": name, "polygon": [list(p) for p in polygon], "space": space}
        content["ids"] = list(ids)
        name_of_it = digest(content)[:12]
        with self._connection(write=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO selection VALUES (?, ?, ?)",
                (name_of_it, json.dumps(content), utc_now()),
            )
        return name_of_it

    def selection(self, sel_id: str) -> Selection:
        """One selection.

        Raises:
            CaseError: no selection has this id.
        """
        with self._connection() as db:
            row = db.execute("SELECT * FROM selection WHERE id = ?", (sel_id,)).fetchone()
        if row is None:
            raise CaseError(f"No selection {sel_id!r} in {self.path}. Select again on the map.")
        return selection_of(row)

    def selections(self) -> list[Selection]:
        """All selections, newest first."""
        with self._connection() as db:
            rows = db.execute("SELECT * FROM selection ORDER BY time DESC, rowid DESC")
            return [selection_of(row) for row in rows]

    @contextmanager
    def _connection(
        self, write: bool = False, create: bool = False
    ) -> Iterator[sqlite3.Connection]:
        if not create and not self.path.is_file():
            raise CaseError(f"No decisions at {self.path}. Restore the file from a backup.")
        db = None
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous=FULL")  # a verdict survives a power cut
            if create:
                yield db
                return
            # a writer takes its turn before it reads the head; readers never wait
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            with db:
                yield db
        except sqlite3.DatabaseError as problem:
            raise CaseError(f"{self.path} cannot be used: {problem}. Restore a backup.") from None
        except (ValueError, TypeError, RecursionError):  # json, text that is none, nesting
            raise CaseError(
                f"{self.path} holds an entry that cannot be read: it was changed behind our back. "
                "Restore a backup."
            ) from None
        finally:
            if db is not None:
                db.close()


def _hash_of(row: sqlite3.Row) -> str | None:
    """The hash that an entry should have; None when it holds what no entry of ours can."""
    try:
        return chained(row)
    except (ValueError, TypeError, RecursionError):
        return None


def _check(
    kind: str, subjects: Sequence[str], verdict: str, reviewer: str, reason: str, note: str
) -> None:
    _check_about(kind, subjects, reviewer)
    allowed = (LEFT_OUT,) if kind in CURATED else VERDICTS
    if verdict not in allowed:
        raise ConfigError(f"A verdict on a {kind} is one of {', '.join(allowed)}; got {verdict!r}.")
    if max(len(reason), len(note)) > MAX_TEXT:
        raise ConfigError(f"A text is longer than {MAX_TEXT:,} characters. Shorten it.")


def _check_about(kind: str, subjects: Sequence[str], reviewer: str) -> None:
    if kind not in KINDS + CURATED:
        raise ConfigError(f"A verdict is about a {', '.join(KINDS + CURATED)}; got {kind!r}.")
    if not reviewer.strip():
        raise ConfigError("A verdict needs the reviewer's name. Enter it on the Case page.")
    if not subjects or not all(subjects):
        raise ConfigError(f"A verdict needs at least one {kind}. Select some first.")
    if max(len(text) for text in (*subjects, reviewer)) > MAX_TEXT:
        raise ConfigError(f"A text is longer than {MAX_TEXT:,} characters. Shorten it.")
