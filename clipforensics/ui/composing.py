"""The curated set of a fine-tuning repair: shown by part and label, and edited before the launch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.recipes import EftClipSettings
from clipforensics.config.repair import RepairSettings, recipe_settings
from clipforensics.config.settings import digest
from clipforensics.errors import ForensicsError
from clipforensics.ui import cache, gallery, leftout, pictures, shell, state

PER_PAGE, COLUMNS, COPIES, PUT_BACK_SHOWN = 18, 6, 8, 24


def composition(case: Any, repair: RepairSettings) -> bool:
    """The set, chosen when asked for: it takes the trusted model a few seconds.

    Returns:
        False when too little is left to learn from, with the reason on screen.
    """
    leftout.strangers(case)
    _never(case)
    if not st.toggle(
        "Show and edit the clean pairs it will learn from", key=f"repair.curate.{case.dir.name}"
    ):
        _told(case)
        return True
    settings = recipe_settings(repair)
    _left_out(case)
    try:
        with st.spinner("Choosing clean pairs…"):
            chosen = _curated(case, (cache.version(case), repair.sha256()), settings)
    except ForensicsError as problem:
        shell.complain(problem)
        return False
    st.dataframe(_parts(chosen), hide_index=True, width="stretch")
    rows = chosen.pairs.rows
    st.caption(_explained(case, rows))
    if len(rows) < settings.batch:
        st.warning(
            f"{len(rows):,} clean pairs are fewer than one batch of {settings.batch}, so the run would be "
            f"refused. Lower the batch to {len(rows):,} or less, or leave out less.",
            icon=":material/warning:",
        )
    _shown(case, chosen)
    if isinstance(settings, EftClipSettings):
        _copies(case, chosen, settings)
    return len(rows) >= settings.batch


def _never(case: Any) -> None:
    """Which pairs no fine-tuning learns from; without any, only scores and the trusted model guard it."""
    from clipforensics.jobs.repairing.curating import doubted_pairs

    picked, named = doubted_pairs(case)
    if picked or named:
        st.text(
            f"Never learned from: {_many(len(picked), 'pair')} picked, {len(named):,} named by the hunt."
        )
        return
    judge = (
        "and the trusted model"
        if case.settings.trusted_model
        else "alone, without a trusted model,"
    )
    st.text(
        f"No pair was picked on Map or Review, and no hunt names one: low scores {judge} decide which pairs "
        "are clean."
    )


def _told(case: Any) -> None:
    pairs, labels = leftout.kept(case, "pairs"), leftout.kept(case, "labels")
    if pairs or labels:
        st.text(
            f"Left out by reviewers: {_many(len(pairs), 'pair')} and {_many(len(labels), 'label')}."
        )


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" + "s" * (count != 1)


def _explained(case: Any, rows: np.ndarray) -> str:
    """What the kinds are; where the case knows what is poisoned, how much of it is among these pairs."""
    text = (
        "Retention: pairs of all labels that look clean, for what the model is to keep. Target: pairs that "
        "really show an affected label, never stamped."
    )
    if case.truth is None:
        return text
    bad = sum(case.pairs.ids[row] in case.truth.poisoned for row in rows)
    return f"{text} Known poisons among them: {bad:,} of {len(rows):,}; nothing is chosen by that."


def _parts(chosen: Any) -> list[dict[str, Any]]:
    return [
        {
            "Kind": line["kind"], "Pairs": f"{line['pairs']:,}",
            "Of all pairs": f"{line['share_of_all_pairs']:.2%}" if line["share_of_all_pairs"] else "",
            "Labels": f"{line['labels']:,}",
            "Check": line["check"],
        }
        for line in chosen.table
    ]  # fmt: skip


def _left_out(case: Any) -> None:
    """Labels to leave out, and a button for each that was, and for each pair.

    The log is the truth. No widget holds what is left out: one that mirrored it had put a label back
    that nobody touched, when a click came while the page was still being drawn.
    """
    gone = leftout.kept(case, "labels")
    key = f"repair.leave_label.{case.dir.name}.{digest(gone)[:8]}"  # empty again after each choice
    st.selectbox(
        "Leave out a label", [name for name in case.labels.names if name not in gone], None, key=key,
        placeholder="Choose one", help="No pair whose caption names it is learned from.",
        on_change=lambda: leftout.leave(case, "labels", st.session_state[key]),
    )  # fmt: skip
    _put_back(case, "labels", "Left-out labels")
    _put_back(case, "pairs", "Left-out pairs")


def _put_back(case: Any, what: str, title: str) -> None:
    kept = leftout.kept(case, what)
    if not kept:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text(f"{title}:", width="content")
        for name in paged(kept, PUT_BACK_SHOWN, f"repair.put_back.page.{what}.{case.dir.name}"):
            st.button(
                state.plain(name), key=f"repair.put_back.{what}.{name}", icon=":material/undo:",
                type="tertiary", help="Put it back", on_click=leftout.put_back, args=(case, what, name),
            )  # fmt: skip


def paged(rows: Sequence[Any], each: int, key: str) -> Sequence[Any]:
    """A page of the rows, and the numbers of the others where they are more than one page."""
    pages = -(-len(rows) // each)
    page = st.pagination(pages, key=f"{key}.{pages}") if pages > 1 else 1
    return rows[(page - 1) * each : page * each]


def _shown(case: Any, chosen: Any) -> None:
    """A part of the set, page by page, each pair with a button that leaves it out."""
    parts = {"Retention": chosen.pairs.retention, "Target": chosen.pairs.target}
    with st.container(horizontal=True, vertical_alignment="center"):
        part = st.segmented_control(
            "Part", list(parts), default="Retention", required=True, label_visibility="collapsed",
            key=f"repair.part.{case.dir.name}",
        )  # fmt: skip
        rows = parts[part]
        labels = Counter(
            name for row in rows for name in case.labels.named_in(case.pairs.captions[row])
        )
        st.text(
            f"{len(rows):,} pairs · "
            + ", ".join(f"{name} {count}" for name, count in labels.most_common(12))
            + (f" and {len(labels) - 12} more labels" if len(labels) > 12 else ""),
            width="stretch",
        )  # fmt: skip
    shown = paged(rows, PER_PAGE, f"repair.page.{case.dir.name}.{part}")
    for start in range(0, len(shown), COLUMNS):
        for slot, row in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with slot.container(border=True, gap="xxsmall"):
                _card(case, int(row))


def _card(case: Any, row: int) -> None:
    name = case.pairs.ids[row]
    gallery.picture(case, row)
    st.text(case.pairs.captions[row][:80])
    st.button(
        "Leave out", key=f"repair.leave.{name}", icon=":material/remove_circle:", type="tertiary",
        help=f"Another pair takes the place of {state.plain(name)}",
        on_click=leftout.leave, args=(case, "pairs", name),
    )  # fmt: skip


def _copies(case: Any, chosen: Any, settings: EftClipSettings) -> None:
    """Stamped copies like those that the run makes."""
    from clipforensics.repair.eftclip import Stamp, stamped_copy

    rng = np.random.default_rng([settings.seed, 43])
    rows = chosen.pairs.retention[:: max(1, len(chosen.pairs.retention) // COPIES)][:COPIES]
    st.markdown("Stamped copies like these, with their own captions, at random places and sizes")
    for i, (slot, row) in enumerate(zip(st.columns(COPIES), rows, strict=False)):
        one = chosen.triggers[i % len(chosen.triggers)]
        made = stamped_copy(
            case.pairs.picture(int(row), cache.side(case)), Stamp(one.pixels, one.mask, one.label),
            rng, settings.size_low, settings.size_high,
        )  # fmt: skip
        slot.image(pictures.webp(made, 192), width="stretch", alt=f"Stamped {case.pairs.ids[row]}")


@st.cache_resource(max_entries=4, show_spinner=False)
def _curated(_case: Any, key: tuple[str, ...], _settings: Any) -> Any:
    from clipforensics.jobs.repairing.curating import curated_set

    return curated_set(_case, _settings, _support(_case, _judged_by(_case)))


def _judged_by(case: Any) -> tuple[str, ...]:
    """All that the trusted model's answers hang on; no decision is among it."""
    names = ("data", "labels", "trusted_model", "trusted_weights")
    return (str(case.dir), *(str(case.fingerprints.get(name)) for name in names))


@st.cache_resource(max_entries=2, show_spinner=False)
def _support(_case: Any, key: tuple[str, ...]) -> Any:
    """What the trusted model says of a pair's caption, asked once: leaving one pair out is then quick."""
    from clipforensics.jobs.repairing.curating import supporter

    return supporter(_case)
