"""Picks and verdicts: buttons that write to the case's log, and its undo."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.errors import ForensicsError
from clipforensics.ui import state

PICKED = "suspicious"
WORDS = {
    "suspicious": "Suspicious",
    "benign": "Benign",
    "unsure": "Unsure",
    "duplicate": "Duplicate",
}
ICONS = {
    "suspicious": ":material/flag:", "benign": ":material/check:",
    "unsure": ":material/question_mark:", "duplicate": ":material/content_copy:",
}  # fmt: skip


def pick_button(
    case: Any, kind: str, subject: str, held: Any, key: str, reason: str,
    label: str | None = None, name: str | None = None,
) -> None:  # fmt: skip
    """Flag one sample, label or trigger as suspicious; shows the verdict that holds, if any.

    Beside what is flagged stands a button that takes it back, in the same horizontal container.

    Args:
        case: whose log is written.
        kind: "sample", "label" or "trigger".
        subject: which one.
        held: its entry in the log, if any.
        key: first part of the widget's key.
        reason: where the pick comes from, for the log.
        label: the button's text; without one "Pick", and the verdict alone where one holds.
        name: what stands before the verdict that holds; else the label.
    """
    verdict = held.verdict if held else None
    text = label or "Pick"
    if verdict:
        text = f"{name or label} · {verdict}" if label else WORDS.get(verdict, verdict)
    st.button(
        text,
        icon=ICONS.get(verdict or "", ":material/flag:"),
        key=f"{key}.pick.{kind}.{subject}", disabled=verdict == PICKED,
        type="secondary", help=f"Flag this {kind} as suspicious",
        on_click=decide, args=(case, kind, [subject], PICKED, reason),
    )  # fmt: skip
    if verdict == PICKED:
        text = f"Take back {name[0].lower()}{name[1:]}" if name else "Take back" if label else ""
        withdraw_button(case, kind, subject, key, text, type="tertiary")


def verdict_buttons(case: Any, kind: str, subject: str, held: Any, key: str, reason: str) -> None:
    """One button a verdict for one sample, label or trigger; the one that holds is filled."""
    verdict = held.verdict if held else None
    for word in ("suspicious", "benign", "unsure"):
        st.button(
            WORDS[word], icon=ICONS[word], key=f"{key}.{word}.{kind}.{subject}",
            type="primary" if word == verdict else "secondary",
            on_click=decide, args=(case, kind, [subject], word, reason),
        )  # fmt: skip


def decide(
    case: Any, kind: str, subjects: Sequence[str], verdict: str, reason: str = "", note: str = ""
) -> None:
    """Write a verdict; several subjects form one group, undone as one. For use as a callback."""
    try:
        case.store.decide_many(kind, list(subjects), verdict, state.reviewer(), reason, note)
    except ForensicsError as problem:
        st.toast(state.plain(str(problem)), icon=":material/error:")
        return
    what = f"{kind} {subjects[0]}" if len(subjects) == 1 else f"{len(subjects):,} {kind}s"
    st.toast(state.plain(f"{what}: {verdict}"), icon=ICONS[verdict])


def withdraw(case: Any, kind: str, subjects: Sequence[str]) -> None:
    """Take back verdicts by new entries, as one group; the undo brings them back. For a callback."""
    try:
        entries = case.store.withdraw(kind, list(subjects), state.reviewer())
    except ForensicsError as problem:
        st.toast(state.plain(str(problem)), icon=":material/error:")
        return
    what = f"{kind} {subjects[0]}" if len(subjects) == 1 else f"{len(entries):,} {kind}s"
    said = (
        f"Taken back: {what}" if entries else f"Nothing to take back: no verdict on {what} holds."
    )
    st.toast(state.plain(said), icon=":material/undo:")


def withdraw_button(
    case: Any, kind: str, subject: str, key: str, label: str = "Take back", **more: Any
) -> None:
    """Take back, as a button; without a label it is its icon."""
    st.button(
        label, key=f"{key}.withdraw.{kind}.{subject}", icon=":material/backspace:",
        help=f"Take back: no verdict holds for this {kind} then; the log keeps both entries.",
        on_click=withdraw, args=(case, kind, [subject]), **more,
    )  # fmt: skip


def undo(case: Any) -> Any | None:
    """Take back the reviewer's last decision by a new entry, and return it. Serves as callback."""
    try:
        entry = case.store.undo(state.reviewer())
    except ForensicsError as problem:
        st.toast(state.plain(str(problem)), icon=":material/error:")
        return None
    said = "Nothing left to take back." if entry is None else f"Taken back: {_undone(case, entry)}"
    st.toast(state.plain(said), icon=":material/undo:")
    return entry


def _undone(case: Any, entry: Any) -> str:
    """What one undo took back: a pick of many is one group."""
    many = sum(one.group == entry.group for one in case.store.entries())
    return f"{entry.kind} {entry.subject}" if many == 1 else f"{many:,} {entry.kind}s"


def undo_button(case: Any, key: str, **more: Any) -> None:
    """Undo, as a button."""
    st.button("Undo", key=key, icon=":material/undo:", on_click=undo, args=(case,), **more)


def bulk_button(case: Any, names: Sequence[str], key: str, what: str) -> None:
    """Pick many samples at once; asks once more, inline, with the count."""
    asked = f"{key}.asked"
    if st.session_state.get(asked) != what:
        st.button(
            f"Pick all {len(names):,}", key=key, icon=":material/library_add_check:",
            on_click=lambda: st.session_state.update({asked: what}),
        )  # fmt: skip
        return
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        st.markdown(f"Flag **{len(names):,}** samples as suspicious?", width="content")
        st.button(
            "Yes, flag them", key=f"{key}.yes", type="primary",
            on_click=_answered, args=(case, names, asked, what),
        )  # fmt: skip
        st.button("Cancel", key=f"{key}.no", on_click=lambda: st.session_state.pop(asked, None))


def _answered(case: Any, names: Sequence[str], asked: str, what: str) -> None:
    st.session_state.pop(asked, None)
    decide(case, "sample", names, PICKED, reason=what)


def bulk_done(case: Any, names: Sequence[str], key: str, what: str) -> None:
    """How many of these samples are picked, and the undo of those that `bulk_button` picked at once.

    Args:
        case: whose log tells.
        names: the samples that could be picked.
        key: name of the button.
        what: the reason that `bulk_button` gave in the log.
    """
    held = case.store.current("sample")
    picked = [name for name in names if name in held and held[name].verdict == PICKED]
    if not picked:
        return
    st.markdown(f"{ICONS[PICKED]} **{len(picked):,} picked**", width="content")
    together = [name for name in picked if held[name].reason == what]
    if together:
        st.button(
            "Undo", key=f"{key}.undo", icon=":material/undo:", type="tertiary",
            help=f"Takes back the {len(together):,} that were picked together; the log keeps both.",
            on_click=withdraw, args=(case, "sample", together),
        )  # fmt: skip
