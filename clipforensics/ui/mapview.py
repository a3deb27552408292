"""The parts of the Map page: settings, figure, selection, figures against truth."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.detect import (
    CASE_DETECTORS,
    DETECTOR_TITLES,
    DETECTORS,
    MANY_SCALES,
    DensitySettings,
    ReferenceSettings,
)
from clipforensics.config.settings import digest, parse
from clipforensics.errors import ForensicsError
from clipforensics.ui import (
    asked,
    cache,
    forms,
    gallery,
    mapcharts,
    picks,
    scanned,
    state,
    suspectview,
)
from clipforensics.ui.ranking import BUDGETS, Ranking, against_truth, labels_named


def settings(case: Any) -> tuple[str, DensitySettings, ReferenceSettings]:
    """Detector, neighbours and reference sets, as the reviewer set them; at first the latest scan's."""
    first, near, sets = scanned.defaults(case)
    forms.link_by_id("detector", DETECTOR_TITLES)
    slots = st.columns([1.3, 1, 1.2, 1, 1.2], vertical_alignment="bottom")
    with slots[0]:
        detector = st.selectbox(
            "Detector", list(CASE_DETECTORS), CASE_DETECTORS.index(first),
            key="detector",
            format_func=lambda name: DETECTOR_TITLES[name], bind="query-params",
        )  # fmt: skip
    one_scale, drawn = detector in DETECTORS, detector in DETECTORS or detector in MANY_SCALES
    density = near.model_dump() | {"k": _number(slots[1], near, "k", one_scale)}
    reference = {
        "reference_size": _number(slots[2], sets, "reference_size", one_scale),
        "draws": _number(slots[3], sets, "draws", drawn),
    }
    with slots[4]:
        reference["normalize"] = st.toggle(
            "Normalize", sets.normalize, key="normalize", bind="query-params",
            help=ReferenceSettings.model_fields["normalize"].description,
        )  # fmt: skip
        reference["collapse"] = st.toggle(
            "Copies once", sets.collapse, key="collapse", bind="query-params",
            help=ReferenceSettings.model_fields["collapse"].description,
        )  # fmt: skip
    reference |= _as_scanned(sets)
    return detector, parse(DensitySettings, density), parse(ReferenceSettings, reference)


def _number(slot: Any, start: Any, name: str, read: bool) -> Any:
    """A setting that starts as the scan's; grey where the chosen detector does not read it."""
    with slot:
        return forms.widget(
            type(start), name, key=name, start=getattr(start, name), bind="query-params",
            disabled=not read, bounded=True,
        )  # fmt: skip


def _as_scanned(sets: ReferenceSettings) -> dict[str, Any]:
    """What the page has no widgets for: as in the latest scan, or as in a plain one."""
    said = [f"seed {sets.seed}"] if sets.seed != ReferenceSettings().seed else []
    said += scanned.special(sets)
    if said and st.toggle(
        f"As in the latest scan: {', '.join(said)}", True, key="as.scan", bind="query-params"
    ):
        return {"seed": sets.seed, "captions": sets.captions}
    return {}


def figure(case: Any, detector: str, ranking: Ranking, key: str) -> np.ndarray:
    """Draw the map and listen to its lasso; returns the rows drawn as points."""
    points = scanned.points(case)
    space = space_of(case)
    drawn = mapcharts.overlay_rows(ranking.rank, _strata(case))
    drawn = drawn[np.isfinite(points[drawn]).all(axis=1)]
    shown = cache.map_figure(
        digest([str(case.dir), space, key]),
        lambda: mapcharts.map_figure(points, ranking.rank, ranking.score, case.pairs.ids, drawn),
    )
    widget = f"map.figure.{key}.{st.session_state.get('map.cleared', 0)}"
    st.plotly_chart(
        shown, key=widget, selection_mode=("box", "lasso"), on_select=lambda: _select(case, widget),
        config={"displaylogo": False, "scrollZoom": True},
        alt=f"Map of {len(points):,} pairs coloured by {DETECTOR_TITLES[detector]}",
    )  # fmt: skip
    return drawn


def space_of(case: Any) -> str:
    """Names the map: the same data and weights are laid out alike."""
    return digest([case.fingerprints["data"], case.fingerprints["weights"]])[:16]


@st.cache_data(max_entries=4, show_spinner=False)
def _strata_of(_case: Any, folder: str, pairs_sha256: str, labels_sha256: str) -> np.ndarray:
    named = (_case.labels.named_in(caption) for caption in _case.pairs.captions)
    return np.array([_case.labels.index(one[0]) if one else -1 for one in named], np.int32)


def _strata(case: Any) -> np.ndarray:
    """The first label that each caption names, as a number; -1 for none."""
    return _strata_of(case, str(case.dir), case.fingerprints["data"], case.fingerprints["labels"])


def _select(case: Any, widget: str) -> None:
    """Resolve the polygon on the server and keep the selection in the case at once."""
    polygon = polygon_of(st.session_state.get(widget))
    if polygon is None:
        if "sel" in st.query_params:
            del st.query_params["sel"]
        return
    try:
        rows = rows_inside(scanned.points(case), polygon)
        names = [case.pairs.ids[row] for row in rows]
        name = f"{len(names):,} pairs"
        st.query_params["sel"] = case.store.save_selection(name, polygon, space_of(case), names)
        st.session_state["show"] = "Selection"
    except ForensicsError as problem:
        st.toast(state.plain(str(problem)), icon=":material/error:")


def polygon_of(event: Any) -> list[list[float]] | None:
    """Corners of what was drawn last, lasso or box, in map coordinates; None when nothing was."""
    drawn = (event or {}).get("selection") or {}
    for kind in ("lasso", "box"):
        found = drawn.get(kind) or []
        if found:
            x, y = list(found[-1]["x"]), list(found[-1]["y"])
            if kind == "box":
                (x0, x1), (y0, y1) = x, y
                x, y = [x0, x1, x1, x0], [y0, y0, y1, y1]
            return [[float(a), float(b)] for a, b in zip(x, y, strict=True)]
    return None


def rows_inside(points: np.ndarray, polygon: list[list[float]]) -> np.ndarray:
    """Rows of the points inside a polygon, drawn or not."""
    from clipforensics.detect.polygon import inside

    return np.flatnonzero(inside(points, np.asarray(polygon, np.float64)))


def selection(case: Any) -> Any | None:
    """The selection the URL names; None where it names none that is kept, which `asked` tells."""
    name = st.query_params.get("sel")
    return case.store.selection(name) if name and asked.has_selection(case, name) else None


def selected_rows(case: Any, chosen: Any) -> np.ndarray:
    """Rows of a stored selection, wherever it was drawn."""
    return np.array([case.pairs.row_of(name) for name in chosen.ids], np.int64)


def clear() -> None:
    """Forget the selection on screen; it stays in the case. The widget's new key empties the figure."""
    st.query_params.pop("sel", None)
    st.session_state["map.cleared"] = st.session_state.get("map.cleared", 0) + 1


def counts(n: int, drawn: np.ndarray, rows: np.ndarray | None) -> str:
    """Exactly what is drawn and what a selection covers."""
    said = f"Density of all {n:,} pairs; {len(drawn):,} of them drawn as points."
    if rows is not None:
        shown = int(np.isin(rows, drawn).sum())
        said += f" The selection covers {len(rows):,} (of these {shown:,} drawn)."
    return said


def truth_panel(case: Any, ranking: Ranking) -> None:
    """AUROC, AP and recall at budget, where the case knows which pairs are poisoned."""
    found = against_truth(case, ranking)
    if found is None:
        return
    st.markdown(
        f"**Against the known truth**, n = {found['n']:,} pairs, {found['poisoned']:,} poisoned"
    )
    first, second = st.columns(2)
    first.metric("AUROC", f"{found['auroc']:.4f}")
    second.metric(
        "AP", f"{found['average_precision']:.3f}",
        help=f"By chance {found['average_precision_by_chance']:.4f}",
    )  # fmt: skip
    st.dataframe(
        [
            {
                "Reviewing the top": f"{share:.1%}",
                "Pairs": f"{found['rows_in_budget'][f'{share:g}']:,}",
                "Poison found": f"{found['recall_at_budget'][f'{share:g}']:.1%}",
            }
            for share in BUDGETS
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip


def listed(case: Any, ranking: Ranking, flagged: np.ndarray, selected: np.ndarray | None) -> None:
    """The gallery: what is selected, flagged, or everything, most suspicious first."""
    options = {"Flagged": flagged, "All": ranking.order}
    if selected is not None:
        unscored = np.setdiff1d(selected, ranking.order)
        options = {"Selection": np.append(ranking.sorted(selected), unscored), **options}
    if st.session_state.get("show") not in options:
        st.session_state["show"] = next(iter(options))
    with st.container(horizontal=True, vertical_alignment="center"):
        show = st.segmented_control(
            "Show", list(options), key="show", required=True, label_visibility="collapsed"
        ) or next(iter(options))
        rows = options[show]
        told = f"**{len(rows):,}** pairs, most suspicious first"
        if show == "Flagged" and not len(rows):
            told = "No cut yet: score clean pairs, or cut by percentile or budget."
        st.markdown(told, width="content")
        if show == "Selection" and len(rows):
            names = [case.pairs.ids[row] for row in rows]
            picks.bulk_button(case, names, "map.bulk", f"selection {st.query_params.get('sel')}")
        picks.undo_button(case, "map.undo")
        if selected is not None:
            st.button("Clear selection", on_click=clear, icon=":material/close:")
    if show == "Selection" and not len(rows):
        st.info("No pair lies inside this shape. Draw it again, or clear it.")
    label_picks(case, rows if len(rows) <= 5000 else rows[:5000])
    gallery.gallery(case, rows, ranking, "page")


def label_picks(case: Any, rows: np.ndarray) -> None:
    """Labels that these captions name, most frequent first, each with a pick."""
    found = labels_named(case, rows)[:6]
    if not found:
        return
    held = case.store.current("label")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Labels named here", width="content")
        for name, count in found:
            picks.pick_button(
                case, "label", name, held.get(name), "map", "map",
                f"{state.plain(name)} · {count:,}",
            )  # fmt: skip


def neighbours(case: Any, detector: str, ranking: Ranking, reference: ReferenceSettings) -> None:
    """One sample: at which scale it stands out, and the pairs nearest to it in the full space."""
    name = st.query_params.get("near")
    if not name:
        return
    row = scanned.row_of(case, name)
    if row is None:  # `asked` says so
        return
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"#### Nearest to {state.plain(name)}", width="stretch")
            st.button(
                "Close", key="map.near.close", icon=":material/close:",
                on_click=lambda: st.query_params.pop("near", None),
            )  # fmt: skip
        if detector == "combined" and np.isfinite(ranking.score[row]):
            suspectview.joined(case, row, reference)
        suspectview.profile(case, row, reference)
        others = scanned.near(case, row, 7)
        notes = [f"distance {far:.3g}" for _, far in others]
        itself = f"itself, {gallery.score_text(ranking, row)}"
        gallery.strip(case, [row, *(other for other, _ in others)], [itself, *notes])
