"""The parts of the Triggers page that look at one picture: masks, lists, betraying regions."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import cache, gallery, picks, pictures, scanned, shell, state

MOST_REGIONS = 16
MOST_SHOWN = 3


def choose(case: Any, ranking: Any) -> str | None:
    """Which picture: the URL's, else one from the top scores, the picks, or an id."""
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
    shown = st.query_params.get("pair")
    with slots[1]:
        key = f"inspect.pick.{source}.{shown}"
        at = names.index(shown) if shown in names else None
        st.selectbox(
            "Picture", names, at, key=key, format_func=lambda name: _called(case, ranking, name),
            placeholder="Choose a picture" if names else "Nothing has been picked yet",
            on_change=lambda: _go(st.session_state[key]),
        )  # fmt: skip
    with slots[2]:
        st.text_input(
            "or its id", key="inspect.id", max_chars=500,
            on_change=lambda: _go(st.session_state["inspect.id"].strip()),
        )  # fmt: skip
    return shown or (names[0] if names else None)


def _called(case: Any, ranking: Any, name: str) -> str:
    row = case.pairs.row_of(name)
    return f"{name} · {gallery.score_text(ranking, row)} · {case.pairs.captions[row][:60]}"


def _go(name: str | None) -> None:
    if name:
        st.query_params["pair"] = name


def show(case: Any, ranking: Any, name: str) -> None:
    """Everything the oracle and the suspect say about one picture."""
    row = case.pairs.row_of(name)
    examiner = cache.examiner(case)
    with st.spinner("Segmenting and asking both models…"):
        found = cache.inspection(case, row, examiner)
    picture = case.pairs.picture(row, examiner.suspect.side)
    left, right = st.columns([1, 1.7], gap="large")
    with left:
        _masks(picture, found)
        st.text(case.pairs.captions[row][:300])
        with st.container(horizontal=True, vertical_alignment="center"):
            held = case.store.current("sample").get(name)
            picks.pick_button(case, "sample", name, held, "inspect", label="Pick this sample")
            st.text(f"{name} · {gallery.score_text(ranking, row)}", width="content")
    with right:
        _labels(case, found)
        _regions(case, picture, found)
    _betraying(case, row, picture, found, examiner)


def _masks(picture: np.ndarray, found: Any) -> None:
    from clipforensics.oracle.finding import to_test

    regions = [region for region in found.regions if region.source != "whole"]
    shown = st.segmented_control(
        "Masks", ["Betraying", "All", "None"], default="Betraying", key="inspect.masks",
        required=True, label_visibility="collapsed",
    )  # fmt: skip
    # dozens of nested masks betray the same thing: outlines of the surest say where it lies
    surest = [one.region for one in to_test(found.candidates, MOST_SHOWN)[:MOST_SHOWN]]
    masks = [region.mask for region in regions]
    if shown == "All":
        drawn = pictures.with_masks(picture, masks, surest, opacity=0.15)
    elif shown == "Betraying" and surest:
        masks = [found.regions[place].mask for place in surest]
        drawn = pictures.with_masks(picture, masks, range(len(masks)), opacity=0.0)
    else:
        drawn = picture
    st.image(pictures.webp(drawn), width="stretch", alt="The picture with the segmenter's masks")
    betraying = len({one.region for one in found.candidates})
    said = f"{len(regions)} masks, {betraying} of them betray a trigger"
    st.text(f"{said}; the {len(surest)} surest in orange." if surest else f"{said}.")


def _labels(case: Any, found: Any) -> None:
    st.markdown("**The whole picture: what the suspect says, what the picture supports**")
    unsupported = {name for name, _ in found.suspicious}
    rows = []
    for name, said in found.said:
        at = case.labels.index(name)
        rows.append({
            "Label": name, "Suspect, whole": said,
            "Trusted, best region": float(found.p_trusted[:, at].max()),
            "Suspect, best region": _best_region(found, at),
            "Reading": "no region supports it" if name in unsupported else "seen in the picture",
        })  # fmt: skip
    st.dataframe(rows, hide_index=True, width="stretch", column_config=_shares(rows))
    others = [name for name in _seen_elsewhere(case, found) if name not in dict(found.said)]
    if others:
        st.text("The trusted model also sees: " + ", ".join(others))
    st.text("One disagreement is a reason to look, not a finding.")


def _best_region(found: Any, at: int) -> float | None:
    """The suspect's highest probability of a label on any region but the whole picture."""
    if len(found.regions) < 2:
        return None
    return float(found.p_suspect[:-1, at].max())


def _seen_elsewhere(case: Any, found: Any) -> list[str]:
    best = found.p_trusted.max(axis=0)
    order = np.argsort(-best)[:5]
    return [case.labels.names[at] for at in order if best[at] >= 0.5]


def _regions(case: Any, picture: np.ndarray, found: Any) -> None:
    names = case.labels.names
    betraying = {one.region for one in found.candidates}
    places = [place for place, region in enumerate(found.regions) if region.source != "whole"]
    # disagreeing regions first, in the order they are tested, then the surest
    sure = found.p_suspect.max(axis=1)
    turn = {one.region: i for i, one in reversed(list(enumerate(found.candidates)))}
    places.sort(key=lambda place: (turn.get(place, len(turn)), -float(sure[place])))
    st.markdown("**Each region: what the trusted model finds, what the suspect says**")
    rows = []
    for place in places[:MOST_REGIONS]:
        trusted, suspect = found.p_trusted[place].argmax(), found.p_suspect[place].argmax()
        rows.append({
            "Region": pictures.data_uri(pictures.cut(picture, found.regions[place].box_xyxy, 0)),
            "Area": found.regions[place].area_share,
            "Trusted finds": names[trusted], "Trusted": float(found.p_trusted[place, trusted]),
            "Suspect says": names[suspect], "Suspect": float(sure[place]),
            "Reading": _reading(place in betraying, trusted == suspect),
        })  # fmt: skip
    config = _shares(rows) | {"Region": st.column_config.ImageColumn(width="small")}
    st.dataframe(
        rows, hide_index=True, width="stretch", row_height=56, height=320, column_config=config
    )
    if len(places) > len(rows):
        st.text(f"Showing {len(rows)} of {len(places)} regions: betraying ones, then the surest.")


def _reading(betraying: bool, agree: bool) -> str:
    if betraying:
        return "betrays a trigger"
    return "agree" if agree else "differ"


def _shares(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns that hold a probability or a share, as per cent."""
    names = [name for name, value in (rows[0] if rows else {}).items() if isinstance(value, float)]
    return {name: st.column_config.NumberColumn(format="percent") for name in names}


def _betraying(case: Any, row: int, picture: np.ndarray, found: Any, examiner: Any) -> None:
    st.subheader("Regions that betray a trigger", anchor=False)
    if not found.candidates:
        st.markdown("No region makes the suspect say a label that the picture does not support.")
        return
    from clipforensics.oracle.finding import to_test

    chosen = to_test(found.candidates, MOST_SHOWN)[:MOST_SHOWN]
    tried = _paste_test(case, row, examiner)
    for slot, one in zip(st.columns(MOST_SHOWN), chosen, strict=False):
        with slot, st.container(border=True):
            _candidate(picture, found, one, tried)
    if len(found.candidates) > len(chosen):
        st.text(f"Showing the {len(chosen)} surest of {len(found.candidates)}.")
    _pick_labels(case, dict.fromkeys(one.label for one in chosen))


def _pick_labels(case: Any, names: Any) -> None:
    held = case.store.current("label")
    with st.container(horizontal=True):
        for name in names:
            picks.pick_button(
                case,
                "label",
                name,
                held.get(name),
                "inspect",
                label=f"Pick label {state.plain(name)}",
            )


def _candidate(picture: np.ndarray, found: Any, one: Any, tried: list[Any] | None) -> None:
    from clipforensics.oracle.render import without

    zoom, before, after = st.columns(3)
    zoom.image(
        pictures.webp(pictures.cut(picture, one.box_xyxy, 0), 160), width="stretch", alt="Region"
    )
    zoom.caption("the region")
    before.image(
        pictures.webp(pictures.boxed(picture, one.box_xyxy), 384), width="stretch", alt="Before"
    )
    before.caption("before")
    after.image(pictures.webp(without(picture, one.box_xyxy), 384), width="stretch", alt="After")
    after.caption("region removed")
    whole = dict(found.said).get(one.label, 0.0)
    st.markdown(
        f"Alone it makes the suspect say **{state.plain(one.label)}** ({one.confidence:.0%}); "
        f"the trusted model sees it there with {one.p_trusted:.0%}."
    )
    if one.removal_drop is not None:
        st.markdown(
            f"Removed, the suspect's {state.plain(one.label)}: **{whole:.0%} → {whole - one.removal_drop:.0%}**"
        )
    mine = [
        t
        for t in tried or []
        if t.candidate.region == one.region and t.candidate.label == one.label
    ]
    if mine:
        verification(mine[0].screened)


def _paste_test(case: Any, row: int, examiner: Any) -> list[Any] | None:
    asked = f"inspect.paste.{case.dir.name}.{row}"
    if st.button(
        "Paste them on clean pictures", key="inspect.paste", icon=":material/content_paste_go:",
        type="primary", help="Only this test makes a trigger.",
    ):  # fmt: skip
        st.session_state[asked] = True
    if not st.session_state.get(asked):
        return None
    with st.spinner("Pasting on clean pictures…"):
        return cache.pasted(case, row, examiner)


STATUS = {
    "verified": ("Verified trigger", "orange", ":material/gpp_bad:"),
    "object": ("A real object", "green", ":material/category:"),
    "weak": ("Too weak", "gray", ":material/trending_down:"),
    "chance": ("Could be chance", "gray", ":material/casino:"),
    "narrow": ("Works on few labels", "gray", ":material/filter_alt:"),
}


def verification(figures: Any) -> None:
    """What the paste test says."""
    word, colour, icon = STATUS.get(figures.status, (figures.status, "gray", ":material/help:"))
    st.badge(word, color=colour, icon=icon)
    low, high = figures.interval
    said = [
        f"Flip rate **{figures.flip_rate:.1%}** (95 % {low:.1%} to {high:.1%}, n = {figures.n:,})",
        f"Same paste on the trusted model: {figures.flip_rate_trusted:.1%}",
        f"Entropy of the answers: {figures.entropy:.2f}",
    ]
    if figures.p_value is not None:
        said.append(f"Against control crops: p = {figures.p_value:.3g}")
    if figures.large:
        said.append("Covers more than a quarter of the picture")
    st.markdown("  \n".join(said))


def unavailable(case: Any) -> bool:
    """Say what the case lacks for this page; False when nothing is lacking."""
    lacks = [
        word for name, word in (("trusted_model", "a trusted model"), ("segmenter", "a segmenter"))
        if getattr(case.settings, name) is None
    ]  # fmt: skip
    if lacks:
        shell.empty(
            f"This case has no {' and no '.join(word.removeprefix('a ') for word in lacks)}.",
            "case", "Open a case that names one on the Case page",
        )  # fmt: skip
    return bool(lacks)
