"""The curated set of a fine-tuning repair: shown by part and label, and edited before the launch."""

from collections import Counter
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.recipes import EftClipSettings
from clipforensics.config.repair import RepairSettings, recipe_settings
from clipforensics.errors import ForensicsError
from clipforensics.ui import cache, gallery, leftout, pictures, shell, state

PER_PAGE, COLUMNS, COPIES = 18, 6, 8


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
    _labels(case)
    try:
        with st.spinner("Choosing clean pairs…"):
            chosen = _curated(case, (cache.version(case), repair.sha256()), settings)
    except ForensicsError as problem:
        shell.complain(problem)
        _put_back(case)
        return False
    st.dataframe(_parts(chosen), hide_index=True, width="stretch")
    rows = chosen.pairs.rows
    if len(rows) < settings.batch:
        st.warning(
            f"{len(rows):,} clean pairs are fewer than one batch of {settings.batch}, so the run would be "
            f"refused. Lower the batch to {len(rows):,} or less, or leave out less.",
            icon=":material/warning:",
        )
    _shown(case, chosen)
    if isinstance(settings, EftClipSettings):
        _copies(case, chosen, settings)
    _put_back(case)
    return len(rows) >= settings.batch


def _never(case: Any) -> None:
    """Which pairs no fine-tuning learns from; without any, only scores and the trusted model guard it."""
    from clipforensics.jobs.repairing.curating import doubted_pairs

    picked, named = doubted_pairs(case)
    if picked or named:
        st.text(
            f"Never learned from: {len(picked):,} pairs picked, {len(named):,} named by the hunt."
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
        st.text(f"Left out by reviewers: {len(pairs):,} pairs and {len(labels):,} labels.")


def _parts(chosen: Any) -> list[dict[str, Any]]:
    return [
        {
            "Kind": line["kind"], "Pairs": f"{line['pairs']:,}",
            "Of all pairs": f"{line['share_of_all_pairs']:.2%}" if line["share_of_all_pairs"] else "none more",
            "Labels": f"{line['labels']:,}",
            "Check": line["check"],
        }
        for line in chosen.table
    ]  # fmt: skip


def _labels(case: Any) -> None:
    """Labels to leave out. The log is the truth: another tab may have written to it."""
    key = f"repair.left_out.widget.{case.dir.name}"
    shown = leftout.kept(case, "labels")
    st.session_state[key] = list(shown)
    st.multiselect(
        "Leave out labels", case.labels.names, key=key,
        on_change=lambda: leftout.keep(case, "labels", shown, st.session_state[key]),
        help="No pair whose caption names one of them is learned from.",
    )  # fmt: skip


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
    pages = max(1, -(-len(rows) // PER_PAGE))
    page = (
        st.pagination(pages, key=f"repair.page.{case.dir.name}.{part}.{pages}") if pages > 1 else 1
    )
    shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
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
        on_click=lambda: leftout.keep(case, "pairs", [], [name]),
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


def _put_back(case: Any) -> None:
    kept = leftout.kept(case, "pairs")
    if not kept:
        return
    key = f"repair.left_out.pairs.widget.{case.dir.name}"
    st.session_state[key] = list(kept)
    st.multiselect(
        "Left-out pairs", kept, key=key, help="Remove one here to let it be chosen again.",
        on_change=lambda: leftout.keep(case, "pairs", kept, st.session_state[key]),
    )  # fmt: skip


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
