"""The chained log inside one transaction: what holds, what may be taken back, what is added."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from clipforensics.cases.entries import Entry, entry_of
from clipforensics.cases.provenance import utc_now
from clipforensics.cases.schema import FIRST_HASH, chained, columns_of


class DecisionLog:
    """Reads the head once; every addition is chained to the one before."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        row = db.execute("SELECT number, hash FROM log ORDER BY number DESC LIMIT 1").fetchone()
        self.count, self.last = (row["number"], row["hash"]) if row else (0, FIRST_HASH)

    def current(self, kind: str, subject: str) -> dict[str, Any] | None:
        """What holds for a subject now, None where nothing does."""
        row = self._db.execute(
            "SELECT after FROM log WHERE kind = ? AND subject = ? ORDER BY number DESC LIMIT 1",
            (kind, subject),
        ).fetchone()
        return json.loads(row["after"]) if row else None

    def latest_group(self, actor: str, kinds: Sequence[str]) -> list[Entry]:
        """This reviewer's newest group about these kinds, without entries taken back."""
        marks = ", ".join("?" * len(kinds))
        left = f"""action IN ('decide', 'withdraw') AND actor = ? AND kind IN ({marks})
                   AND NOT EXISTS (SELECT 1 FROM log AS u WHERE u.undoes = log.number)"""
        rows = self._db.execute(
            f"""SELECT * FROM log WHERE {left} AND grp = (
                   SELECT grp FROM log WHERE {left} ORDER BY number DESC LIMIT 1)
               ORDER BY number""",
            (actor, *kinds, actor, *kinds),
        )
        return [entry_of(row) for row in rows]

    def without(self, old: Entry) -> dict[str, Any] | None:
        """What would hold for the subject had this entry, like those taken back, never been made."""
        row = self._db.execute(
            """SELECT after FROM log
               WHERE kind = :kind AND subject = :subject AND number != :number AND action != 'undo'
               AND NOT EXISTS (SELECT 1 FROM log AS u WHERE u.undoes = log.number)
               ORDER BY number DESC LIMIT 1""",
            {"kind": old.kind, "subject": old.subject, "number": old.number},
        ).fetchone()
        return json.loads(row["after"]) if row else None

    def add(
        self, actor: str, action: str, kind: str, subject: str, before: Any, after: Any,
        group: str, undoes: int | None = None,
    ) -> Entry:  # fmt: skip
        """Write one entry behind the last."""
        self.count += 1
        row = {
            "number": self.count, "time": utc_now(), "actor": actor, "action": action,
            "kind": kind, "subject": subject, "before": json.dumps(before, sort_keys=True),
            "after": json.dumps(after, sort_keys=True), "grp": group, "undoes": undoes,
            "previous": self.last,
        }  # fmt: skip
        row["hash"] = self.last = chained(row)
        names = columns_of(row)
        marks = ", ".join(f":{name}" for name in names)
        self._db.execute(f"INSERT INTO log ({', '.join(names)}) VALUES ({marks})", row)
        return entry_of(row)
