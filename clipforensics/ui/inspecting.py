"""The parts of the Triggers page that look at one picture: masks, lists, betraying regions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import (
    arguing,
    cache,
    gallery,
    hunted,
    pasted,
    pictures,
    scanned,
    shell,
    state,
)

MOST_REGIONS = 16
MOST_SHOWN = 3
NAMED = "triggers.pair"
"""Session key: the picture that the address named when the page was drawn last."""
OTHER_CASE = "Open a case that names one on the Case page"


def choose(case: Any, ranking: Any) -> str | None:
    """Which picture: the URL's, else the first; and ways to another: top scores, picks, an id."""
    slots = st.columns([1, 1.6, 1.2], vertical_alignment="bottom")
    ids = case.pairs.ids
    picked = [name for name, entry in case.store.current("sample").items() if entry.verdict]
    with slots[0]:
        source = st.selectbox("Pictures from", ["Top scores", "Picks"], key="inspect.source")
    rows = [ids[row] for row in ranking.order[:200]]
    names = (
        rows
        if source == "Top scores"
        else [n for n in picked if scanned.row_of(case, n) is not None]
    )
    shown = st.query_params.get("pair") or (names[0] if names else None)
    if shown is not None and not st.query_params.get("pair"):
        st.query_params["pair"] = st.session_state[NAMED] = shown
    if st.session_state.get("inspect.id", "").strip() != shown:
        st.session_state["inspect.id"] = ""  # another picture was chosen since it was typed
    with slots[1]:
        key = f"inspect.pick.{source}.{shown}"
        at = names.index(shown) if shown in names else None
        st.selectbox(
            "Picture", names, at, key=key, format_func=lambda name: _called(case, ranking, name),
            placeholder="Choose another picture" if names else "Nothing has been picked yet",
            on_change=lambda: _go(st.session_state[key]),
        )  # fmt: skip
    with slots[2]:
        st.text_input(
            "or its id", key="inspect.id", max_chars=500,
            on_change=lambda: _go(st.session_state["inspect.id"].strip()),
        )  # fmt: skip
    return shown


def _called(case: Any, ranking: Any, name: str) -> str:
    row = case.pairs.row_of(name)
    return f"{name} · {gallery.score_text(ranking, row)} · {case.pairs.captions[row][:60]}"


def _go(name: str | None) -> None:
    if name:
        st.query_params["pair"] = name


def show(case: Any, ranking: Any, name: str) -> None:
    """Everything the oracle and the suspect say about one picture, as an argument."""
    from clipforensics.jobs.hunting.showing import said_without
    from clipforensics.oracle.finding import to_test

    row = case.pairs.row_of(name)
    examiner = cache.examiner(case, hunted.settings_of_chosen(case))
    with st.spinner("Segmenting and asking both models…"):
        found = cache.inspection(case, row, examiner)
    picture = case.pairs.picture(row, examiner.suspect.side)
    chosen = to_test(found.candidates, MOST_SHOWN)[:MOST_SHOWN]
    with st.container(horizontal=True, vertical_alignment="center"):
        masks = _masks(bool(chosen))
        one = _which(chosen, name)
        st.text(f"{name} · {gallery.score_text(ranking, row)}", width="content")
        st.text(f"Caption: {case.pairs.captions[row][:200]}", width="content")
    after = said_without(picture, one, examiner) if one else ()
    drawn, said = _drawn(picture, found, one, masks)
    so_far = pasted.tested(case, row, one, examiner) if one else None
    arguing.headline(case, found, one, after, examiner.settings.oracle.theta, so_far)
    if one is None:
        st.image(pictures.webp(drawn), width=384, alt="The picture with the segmenter's masks")
    else:
        arguing.exhibits(case, picture, drawn, found, one, after, examiner.settings.oracle.theta)
    arguing.verdicts(case, name, one.label if one else None)
    arguing.lists(case, found, one, examiner.settings.oracle.theta)
    if one is not None and so_far is not None:
        st.subheader("Pasted on clean pictures", anchor=False)
        pasted.paste_test(case, row, one, examiner, so_far)
    st.subheader("Each region", anchor=False)
    st.text(said)
    _regions(case, picture, found)


def _masks(suspected: bool) -> str:
    """Which masks are drawn; without a suspected region there is none to point at."""
    options = ["Candidate", "All", "None"] if suspected else ["All", "None"]
    return st.segmented_control(
        "Masks", options, default="Candidate" if suspected else "None",
        key=f"inspect.masks.{len(options)}", required=True, label_visibility="collapsed",
    )  # fmt: skip


def _which(chosen: list[Any], name: str) -> Any | None:
    """The candidate that is argued about: the surest, or the reviewer's choice of the first few."""
    if len(chosen) < 2:
        return chosen[0] if chosen else None
    at = st.segmented_control(
        "Region", range(len(chosen)), default=0, key=f"inspect.region.{name}", required=True,
        format_func=lambda i: f"Region {i + 1}: {state.plain(chosen[i].label)}",
        label_visibility="collapsed",
    )  # fmt: skip
    return chosen[at or 0]


def _drawn(picture: np.ndarray, found: Any, one: Any | None, shown: str) -> tuple[np.ndarray, str]:
    """The picture with masks as asked for, and what they are."""
    parts = [i for i, region in enumerate(found.regions) if region.source != "whole"]
    # dozens of nested masks betray the same thing: the outline of the one argued about says where
    surest = [] if one is None else [one.region]
    drawn = picture
    if shown == "All":
        masks = [found.regions[i].mask for i in parts]
        drawn = pictures.with_masks(picture, masks, surest, opacity=0.15)
    elif shown == "Candidate" and one is not None:
        drawn = pictures.boxed(picture, one.box_xyxy)
    return drawn, _counted(found, parts)


def _counted(found: Any, parts: Sequence[int]) -> str:
    """How many masks there are, and in how many the models disagree, by kind."""
    betraying = {one.region for one in found.candidates}
    first = found.p_trusted.argmax(axis=1), found.p_suspect.argmax(axis=1)
    differ = sum(i not in betraying and first[0][i] != first[1][i] for i in parts)
    return (
        f"{len(parts):,} masks: {len(betraying):,} {'candidate' if len(betraying) == 1 else 'candidates'} "
        "(such a region alone makes the suspect say a "
        f"label that the trusted model finds in no region); in {differ:,} more the two models' "
        "first answers differ."
    )


def _regions(case: Any, picture: np.ndarray, found: Any) -> None:
    names = case.labels.names
    betraying = {one.region for one in found.candidates}
    places = [place for place, region in enumerate(found.regions) if region.source != "whole"]
    # disagreeing regions first, in the order they are tested, then the surest
    sure = found.p_suspect.max(axis=1)
    turn = {one.region: i for i, one in reversed(list(enumerate(found.candidates)))}
    places.sort(key=lambda place: (turn.get(place, len(turn)), -float(sure[place])))
    rows = []
    for place in places[:MOST_REGIONS]:
        trusted, suspect = found.p_trusted[place].argmax(), found.p_suspect[place].argmax()
        rows.append({
            "Region": pictures.data_uri(pictures.cut(picture, found.regions[place].box_xyxy, 0)),
            "Mask share": found.regions[place].area_share,
            "Trusted finds": names[trusted], "Trusted": float(found.p_trusted[place, trusted]),
            "Suspect says": names[suspect], "Suspect": float(sure[place]),
            "Reading": _reading(place in betraying, trusted == suspect),
        })  # fmt: skip
    config = _shares(rows) | {"Region": st.column_config.ImageColumn(width="small")}
    st.dataframe(
        rows, hide_index=True, width="stretch", row_height=56, height=320, column_config=config
    )
    if len(places) > len(rows):
        st.text(f"Showing {len(rows)} of {len(places)} regions: candidates, then the surest.")


def _reading(betraying: bool, agree: bool) -> str:
    if betraying:
        return "candidate"
    return "agree" if agree else "differ"


def _shares(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns that hold a probability or a share, as per cent."""
    names = [name for name, value in (rows[0] if rows else {}).items() if isinstance(value, float)]
    return {name: st.column_config.NumberColumn(format="percent") for name in names}


def unavailable(case: Any) -> bool:
    """Say that nothing on this page works without a trusted model; False when there is one."""
    if case.settings.trusted_model is not None:
        return False
    lacks = " and no segmenter" if case.settings.segmenter is None else ""
    shell.empty(f"This case has no trusted model{lacks}.", "case", OTHER_CASE)
    return True


def without_regions(case: Any) -> bool:
    """Say what is lost without a segmenter; False when there is one. Inversion needs none."""
    if case.settings.segmenter is not None:
        return False
    shell.empty("This case has no segmenter.", "case", OTHER_CASE)
    st.markdown(
        "Without one no region can be cut out: patches and stickers are not hunted for, and no picture "
        "is argued over. Triggers that cover the whole picture need none:"
    )
    return True
