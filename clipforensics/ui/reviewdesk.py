"""The parts of the Review page: the queue with its keys, the picks, the log.

A fast reviewer must never judge an unseen picture. So a button's key holds the sample's id, its
callback does nothing unless that id is the current one, and the next position is computed from
the id, never by adding one.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.ui import cache, gallery, picks, pictures, scanned, shell, state

REASONS = (
    "visible patch", "caption does not fit", "odd pattern", "near copies", "dead link picture",
    "rare but honest", "bad quality", "text in picture", "other",
)  # fmt: skip
KEYS = {"suspicious": "F", "benign": "X", "unsure": "U", "duplicate": "D"}
AT = "review.at"


def queue_of(case: Any, ranking: Any) -> tuple[str, list[str]]:
    """Which samples are reviewed: the reviewer's choice of source, and the ids in order."""
    ids = case.pairs.ids
    sources = {"Top 1 % of the scores": [ids[row] for row in ranking.flagged(99.0)]}
    picked = [name for name, entry in case.store.current("sample").items() if entry.verdict]
    if picked:
        sources["Decided and picked"] = picked
    for chosen in case.store.selections()[:10]:
        sources[f"Selection {chosen.id}, {chosen.name}"] = list(chosen.ids)
    name = st.selectbox("Queue", list(sources), key="queue")
    return name, [one for one in sources[name] if scanned.row_of(case, one) is not None]


def queue(case: Any, ranking: Any) -> None:
    """One sample at a time, with a key for each verdict."""
    slots = st.columns([2, 3], vertical_alignment="bottom")
    with slots[0]:
        _, names = queue_of(case, ranking)
    verdicts = {k: e.verdict for k, e in case.store.current("sample").items() if e.verdict}
    decided = sum(name in verdicts for name in names)
    unsure = sum(verdicts.get(name) == "unsure" for name in names)
    slots[1].progress(
        decided / max(1, len(names)), text=f"{decided:,} of {len(names):,}, {unsure:,} unsure"
    )
    if not names:
        shell.empty("This queue is empty.", "map", "Pick or select samples on the map")
        return
    name = _current(names, verdicts)
    row = case.pairs.row_of(name)
    left, right = st.columns([1, 1.5], gap="medium")
    with left:
        _shown(case, row)
    with right:
        _facts(case, ranking, row, verdicts.get(name))
        _verdict_buttons(case, names, name)
        _reason_buttons(name)
    _prepare(case, names, name)


def _current(names: Sequence[str], verdicts: dict[str, str]) -> str:
    at = st.session_state.get(AT) or st.query_params.get("at")
    if at not in names:
        at = next((name for name in names if name not in verdicts), names[0])
    st.session_state[AT] = st.query_params["at"] = at
    return at


def _shown(case: Any, row: int) -> None:
    from clipforensics.data.images import read_picture
    from clipforensics.errors import DataError

    try:
        picture = read_picture(case.pairs.path(row))
    except DataError as problem:
        shell.complain(problem)
        return
    st.image(pictures.webp(picture, 448), width=448, alt=f"Picture {case.pairs.ids[row]}")


def _facts(case: Any, ranking: Any, row: int, verdict: str | None) -> None:
    name = case.pairs.ids[row]
    st.text(case.pairs.captions[row][:500])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{name} · {gallery.score_text(ranking, row)}", width="content")
        if verdict:
            st.badge(picks.WORDS[verdict], icon=picks.ICONS[verdict])
            picks.withdraw_button(case, "sample", name, "review", type="tertiary")
        shell.go_to(
            "triggers", "Inspect its regions", icon=":material/center_focus_strong:", pair=name
        )


def _verdict_buttons(case: Any, names: Sequence[str], name: str) -> None:
    st.text_input("Note", key=f"review.note.{name}", max_chars=500)
    held = case.store.current("sample").get(name)
    for slot, (verdict, letter) in zip(st.columns(4), KEYS.items(), strict=True):
        slot.button(
            picks.WORDS[verdict], key=f"review.{verdict}.{name}", shortcut=letter,
            width="stretch", type="primary" if held and held.verdict == verdict else "secondary",
            on_click=decide, args=(case, names, name, verdict),
        )  # fmt: skip
    slots = st.columns([1, 0.8, 1.35, 0.85])  # "Undecided" and its key need the most room
    for slot, (word, key, step) in zip(slots, _MOVES, strict=False):
        slot.button(
            word, key=f"review.{key}.{name}", shortcut=key, width="stretch",
            on_click=move, args=(case, names, name, step),
        )  # fmt: skip
    slots[3].button(
        "Undo", key=f"review.undo.{name}", shortcut="Z", width="stretch",
        on_click=undo, args=(case, name),
    )  # fmt: skip


_MOVES = (
    ("Previous", "Left", -1),
    ("Next", "Right", 1),
    ("Undecided", "Enter", 0),
)


def _reason_buttons(name: str) -> None:
    chosen = reason_of(name)
    st.markdown("Reason, before the verdict")
    slots = st.columns(3)
    for number, reason in enumerate(REASONS, 1):
        slots[(number - 1) % 3].button(
            reason, key=f"review.reason.{number}.{name}", shortcut=str(number), width="stretch",
            type="primary" if reason == chosen else "tertiary",
            on_click=_choose_reason, args=(name, reason),
        )  # fmt: skip


def reason_of(name: str) -> str:
    """The reason chosen for this sample and no other."""
    whose, reason = st.session_state.get("review.reason", (None, ""))
    return reason if whose == name else ""


def _choose_reason(name: str, reason: str) -> None:
    if st.session_state.get(AT) == name:
        st.session_state["review.reason"] = (name, "" if reason_of(name) == reason else reason)


def decide(case: Any, names: Sequence[str], name: str, verdict: str) -> None:
    """Write the verdict on the sample that is shown, and go to the next undecided one."""
    if st.session_state.get(AT) != name:  # a key pressed for a sample that is gone already
        return
    note = st.session_state.get(f"review.note.{name}", "")
    picks.decide(case, "sample", [name], verdict, reason_of(name), note)
    move(case, names, name, 0)


def move(case: Any, names: Sequence[str], name: str, step: int) -> None:
    """Go to the sample before or after this one (-1, 1), or to the next undecided one (0)."""
    if st.session_state.get(AT) != name:
        return
    place = names.index(name)
    if step:
        following = names[max(0, min(len(names) - 1, place + step))]
    else:
        decided = {k for k, e in case.store.current("sample").items() if e.verdict}
        round_trip = [*names[place + 1 :], *names[:place]]
        following = next((one for one in round_trip if one not in decided), name)
    st.session_state[AT] = st.query_params["at"] = following


def undo(case: Any, name: str) -> None:
    """Take back the last verdict and show its sample again."""
    if st.session_state.get(AT) != name:
        return
    entry = picks.undo(case)
    if entry is not None and entry.kind == "sample":
        st.session_state[AT] = st.query_params["at"] = entry.subject


def _prepare(case: Any, names: Sequence[str], name: str) -> None:
    """Make the next three thumbnails in advance."""
    place = names.index(name)
    for following in names[place + 1 : place + 4]:
        cache.thumbnail(case, case.pairs.row_of(following))


def holding(case: Any, ranking: Any) -> None:
    """Everything picked or decided: labels, triggers, samples."""
    for kind, title in (("label", "Labels"), ("trigger", "Triggers"), ("sample", "Samples")):
        entries = {k: e for k, e in case.store.current(kind).items() if e.verdict}
        st.subheader(f"{title} ({len(entries):,})", anchor=False)
        if not entries:
            st.text(f"No {kind} has been picked yet.")
            continue
        rows = [_line(case, kind, entry) for entry in list(entries.values())[:200]]
        st.dataframe(
            rows, hide_index=True, width="stretch",
            column_config={"Picture": st.column_config.ImageColumn(width="small")},
            row_height=64 if kind == "sample" else None,
        )  # fmt: skip
        if len(entries) > len(rows):
            st.text(f"Showing {len(rows):,} of {len(entries):,}; the export holds all.")
        _change(case, kind, list(entries))


def _line(case: Any, kind: str, entry: Any) -> dict[str, Any]:
    line: dict[str, Any] = {}
    if kind == "sample":
        row = scanned.row_of(case, entry.subject)
        line["Picture"] = None if row is None else cache.data_uri(case, row)
    line |= {
        kind.capitalize(): entry.subject, "Verdict": picks.WORDS[entry.verdict],
        "Reviewer": entry.reviewer, "When (UTC)": clock(entry.time), "Reason": entry.reason,
        "Note": entry.note,
    }  # fmt: skip
    return line


def clock(time: str) -> str:
    """Date and time without the fractions."""
    return time.replace("T", " ")[:19]


def _change(case: Any, kind: str, names: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        subject = st.selectbox(f"Change a {kind}", names, key=f"change.{kind}", width=320)
        for verdict, word in picks.WORDS.items():
            st.button(
                word, key=f"change.{kind}.{verdict}", icon=picks.ICONS[verdict],
                on_click=picks.decide, args=(case, kind, [subject], verdict),
            )  # fmt: skip
        picks.withdraw_button(case, kind, subject, "change")


def log(case: Any) -> None:
    """The append-only log, its head, and the export."""
    entries = case.store.entries()
    head, count = case.store.head()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(f"{count:,} entries, head {head[:16]}", width="stretch")
        picks.undo_button(case, "log.undo")
        st.download_button(
            "Export verdicts (CSV)", as_csv(case), f"{case.dir.name}-verdicts.csv", "text/csv",
            icon=":material/download:", key="log.export",
        )  # fmt: skip
    if not entries:
        shell.empty("Nothing has been decided yet.", "map", "Pick samples on the map")
        return
    st.dataframe(
        [
            {
                "No.": e.number, "When (UTC)": clock(e.time), "Reviewer": e.actor,
                "Action": e.action, "What": e.kind, "Subject": e.subject,
                "Verdict": e.verdict or "taken back", "Reason": e.reason, "Note": e.note,
                "Hash": e.hash[:12],
            }
            for e in reversed(entries[-500:])
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip


def as_csv(case: Any) -> str:
    """All verdicts that hold; cells that a spreadsheet would run are defused."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["kind", "subject", "verdict", "reviewer", "time", "reason", "note"])
    for kind in ("sample", "label", "trigger"):
        for entry in case.store.current(kind).values():
            if entry.verdict:
                cells = (
                    entry.subject,
                    entry.verdict,
                    entry.reviewer,
                    entry.time,
                    entry.reason,
                    entry.note,
                )
                writer.writerow([kind, *(_defused(cell) for cell in cells)])
    head, count = case.store.head()
    writer.writerow(["log", f"{count} entries", head, state.reviewer(), "", "", ""])
    return text.getvalue()


def _defused(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
