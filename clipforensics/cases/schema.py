"""Tables of the review store, the triggers that guard them, and the hash that chains the log."""

import json
from typing import Any

from clipforensics.config.settings import digest

FIRST_HASH = "0" * 64
"""What the first entry calls its predecessor."""

COLUMNS = (
    "number", "time", "actor", "action", "kind", "subject", "before", "after", "grp", "undoes",
    "previous", "hash",
)  # fmt: skip

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    kind TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    grp TEXT NOT NULL, undoes INTEGER, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS log_by_subject ON log (kind, subject, number);
CREATE INDEX IF NOT EXISTS log_by_undone ON log (undoes);
CREATE INDEX IF NOT EXISTS log_by_actor ON log (actor, action, number);
CREATE VIEW IF NOT EXISTS holding AS
    SELECT log.* FROM log
    JOIN (SELECT MAX(number) AS number FROM log GROUP BY kind, subject) USING (number)
    WHERE after != 'null';
CREATE TABLE IF NOT EXISTS selection (
    id TEXT PRIMARY KEY, content TEXT NOT NULL, time TEXT NOT NULL);
"""

GUARD_NAMES = ("log_only_grows", "log_keeps_entries", "log_never_forgets")

# INSERT OR REPLACE removes a row without waking a delete trigger, hence the first guard
GUARDS = """
CREATE TRIGGER IF NOT EXISTS log_only_grows BEFORE INSERT ON log
    WHEN NEW.number != (SELECT COALESCE(MAX(number), 0) + 1 FROM log)
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: entries follow the last one'); END;
CREATE TRIGGER IF NOT EXISTS log_keeps_entries BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: entries are never changed'); END;
CREATE TRIGGER IF NOT EXISTS log_never_forgets BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only: entries are never removed'); END;
CREATE TRIGGER IF NOT EXISTS selection_keeps BEFORE UPDATE ON selection
    BEGIN SELECT RAISE(ABORT, 'selections are never changed'); END;
CREATE TRIGGER IF NOT EXISTS selection_never_forgets BEFORE DELETE ON selection
    BEGIN SELECT RAISE(ABORT, 'selections are never removed'); END;
"""


def columns_of(row: Any) -> list[str]:
    """The log's columns that this row has, in their order; a row being made lacks its hash."""
    present = set(row.keys())
    return [name for name in COLUMNS if name in present]


def chained(row: Any) -> str:
    """The hash of one entry: SHA-256 over canonical JSON of all its columns but the hash itself."""
    return digest({name: _plain(name, row[name]) for name in columns_of(row) if name != "hash"})


def _plain(name: str, value: Any) -> Any:
    if name not in ("before", "after"):
        return value
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value  # tampered with: the hash will differ, which is the answer
