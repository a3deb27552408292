"""What a case's decision file holds: entries of the log, and selections made on the map."""

import json
from dataclasses import dataclass
from typing import Any

from clipforensics.cases.schema import columns_of
from clipforensics.errors import CaseError

TEXTS = ("verdict", "reviewer", "reason", "note")


@dataclass(frozen=True)
class Entry:
    """One line of the log; `after` is what holds from then on, None when nothing does."""

    number: int
    time: str
    actor: str
    action: str
    kind: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    group: str
    undoes: int | None
    previous: str
    hash: str

    @property
    def verdict(self) -> str | None:
        """The verdict that holds after this entry."""
        return self.after["verdict"] if self.after else None

    @property
    def reviewer(self) -> str:
        """Who made the decision that holds after this entry."""
        return self.after["reviewer"] if self.after else self.actor

    @property
    def reason(self) -> str:
        """The reason code of the decision that holds after this entry."""
        return self.after["reason"] if self.after else ""

    @property
    def note(self) -> str:
        """The note of the decision that holds after this entry."""
        return self.after["note"] if self.after else ""


@dataclass(frozen=True)
class Selection:
    """Samples picked on the map: the polygon drawn, in which space, and the ids inside it."""

    id: str
    name: str
    polygon: list
    space: str
    ids: list[str]
    time: str


def entry_of(row: Any) -> Entry:
    """The entry of one line of the log table.

    Raises:
        CaseError: what it says held before or holds after it is no decision.
    """
    values = {name: row[name] for name in columns_of(row)}
    values["group"] = values.pop("grp")
    before, after = (_decision(values.pop(name), row) for name in ("before", "after"))
    return Entry(before=before, after=after, **values)


def _decision(text: Any, row: Any) -> dict[str, Any] | None:
    """What held, or holds, as JSON wrote it."""
    try:
        found = json.loads(text)
        if found is None or all(isinstance(found[name], str) for name in TEXTS):
            return found
    except (TypeError, ValueError, KeyError, RecursionError):
        pass  # said below
    raise CaseError(
        f"Entry {row['number']} of the decision log is no decision: {', '.join(TEXTS)} as text were "
        f"needed, {str(text)[:60]!r} came. It was changed behind our back: restore review.sqlite "
        "from a backup."
    )


def selection_of(row: Any) -> Selection:
    """The selection of one line of its table."""
    return Selection(id=row["id"], time=row["time"], **json.loads(row["content"]))
