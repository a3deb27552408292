"""Figures: the map and the repair curves. Each is a function of arrays; nothing here is clicked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_DRAWN = 20_000
"""Points drawn over the raster; a browser returns every selected one as JSON."""
TICKS = (0.5, 0.9, 0.95, 0.99, 0.999)
CURVES = (("ASR", "asr", "#d5601a", "diamond"), ("Clean accuracy", "ca", "#2f7fc4", "circle"))
"""Name, journal field, colour, marker: told apart by both, safe for colour-blind viewers."""

VAIN = ", largest tried in vain"
STRIP = {
    "suspected": ("#d5601a", "#d5601a", "diamond"),
    f"suspected{VAIN}": ("#d5601a", "transparent", "diamond"),
    "control": ("#2f7fc4", "#2f7fc4", "circle"),
    f"control{VAIN}": ("#2f7fc4", "transparent", "circle"),
}
"""Kinds of mark on a strip of sizes: stroke, fill, shape."""


def overlay_rows(
    rank: np.ndarray, strata: np.ndarray, limit: int = MAX_DRAWN, seed: int = 0
) -> np.ndarray:
    """Rows to draw as points: the highest ranks, and a fixed sample of each stratum.

    Args:
        rank: float [n] in [0, 1], NaN where there is no score.
        strata: int [n], such as the label a caption names; small strata keep their rows.
        limit: most rows to draw.
        seed: of the sample.

    Returns:
        int64 [min(n, limit)], lowest rank first, so that the most suspicious is drawn on top.
    """
    n = len(rank)
    filled = np.nan_to_num(rank, nan=0.0)
    if n <= limit:
        return np.argsort(filled, kind="stable")
    top = np.argsort(-filled, kind="stable")[: limit // 2]
    rest = np.setdiff1d(np.arange(n), top)
    bands = strata[rest].astype(np.int64) * 4 + np.clip((filled[rest] * 4).astype(int), 0, 3)
    shuffled = np.random.default_rng(seed).permutation(len(rest))
    # place in line within its own band: everyone's first comes before anyone's second
    by_band = shuffled[np.argsort(bands[shuffled], kind="stable")]
    starts = np.unique(bands[by_band], return_index=True)[1]
    sizes = np.diff(np.append(starts, len(by_band)))
    turn = np.arange(len(by_band)) - np.repeat(starts, sizes)
    chosen = rest[by_band[np.argsort(turn, kind="stable")[: limit - len(top)]]]
    drawn = np.concatenate([chosen, top])
    return drawn[np.argsort(filled[drawn], kind="stable")]


def map_figure(
    points: np.ndarray, rank: np.ndarray, score: np.ndarray, ids: Sequence[str], drawn: np.ndarray
) -> Any:
    """All points as a density raster, some of them as points coloured by percentile rank.

    Args:
        points: float32 [n, 2] on the map.
        rank: float [n] in [0, 1].
        score: float [n], for the ticks and the text of a point.
        ids: n pair ids; they travel with the points, so that a filter never mixes pictures up.
        drawn: rows to draw as points.
    """
    import plotly.graph_objects as go

    figure = go.Figure([_raster(points), _overlay(points, rank, score, ids, drawn)])
    figure.update_layout(
        height=520, margin={"l": 0, "r": 0, "t": 8, "b": 0}, dragmode="lasso", showlegend=False,
        uirevision="map", hoverlabel={"font": {"size": 14}},
    )  # fmt: skip
    plain = {"visible": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**plain)
    figure.update_yaxes(scaleanchor="x", scaleratio=1, **plain)
    return figure


MARKS = (("#d5601a", "diamond"), ("#8b5bb0", "cross"), ("#2f7fc4", "square"))


def before_after_figure(
    old: np.ndarray, new: np.ndarray, marked: Mapping[str, np.ndarray], texts: Mapping[int, str]
) -> Any:
    """Two models' rows on one map, side by side with equal axes; marked rows on top.

    Args:
        old: float32 [n, 2], places before.
        new: float32 [n, 2], places after, on the same map.
        marked: rows to mark, by the name of their group.
        texts: what a marked row says of itself.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(1, 2, subplot_titles=("Before", "After"), horizontal_spacing=0.02)
    for column, points in enumerate((old, new), start=1):
        figure.add_trace(_raster(points), 1, column)
        for (name, rows), (colour, symbol) in zip(marked.items(), MARKS, strict=False):
            figure.add_trace(
                go.Scattergl(
                    x=points[rows, 0], y=points[rows, 1], mode="markers", name=name,
                    legendgroup=name, showlegend=column == 1 and len(rows) > 0,
                    marker={"size": 8, "color": colour, "symbol": symbol,
                            "line": {"width": 1, "color": "white"}},
                    text=[texts.get(int(row), "") for row in rows],
                    hovertemplate="%{text}<extra></extra>",
                ), 1, column,
            )  # fmt: skip
    figure.update_layout(
        height=440, margin={"l": 0, "r": 0, "t": 28, "b": 0}, dragmode="pan",
        legend={"orientation": "h", "y": -0.02}, hoverlabel={"font": {"size": 14}},
    )  # fmt: skip
    plain = {"visible": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(matches="x", **plain)
    figure.update_yaxes(matches="y", scaleanchor="x", scaleratio=1, **plain)
    return figure


def _raster(points: np.ndarray) -> Any:
    import plotly.graph_objects as go

    from clipforensics.detect.raster import density_raster

    drawn = density_raster(points[np.isfinite(points).all(axis=1)])
    shade = np.log1p(drawn.cells)
    shade = np.rint(shade / max(float(shade.max()), 1e-9) * 255).astype(np.uint8)
    x0, x1, y0, y1 = drawn.extent
    return go.Heatmap(
        z=shade, x=_centres(x0, x1, shade.shape[1]), y=_centres(y0, y1, shade.shape[0]),
        colorscale=[[0, "rgba(120,135,145,0)"], [0.02, "rgba(120,135,145,0.22)"],
                    [1, "rgba(120,135,145,0.75)"]],
        showscale=False, hoverinfo="skip", zsmooth=False,
    )  # fmt: skip


def _centres(low: float, high: float, cells: int) -> np.ndarray:
    edges = np.linspace(low, high, cells + 1, dtype=np.float32)
    return (edges[:-1] + edges[1:]) / 2


def _overlay(
    points: np.ndarray, rank: np.ndarray, score: np.ndarray, ids: Sequence[str], drawn: np.ndarray
) -> Any:
    import plotly.graph_objects as go

    shown = np.nan_to_num(rank[drawn], nan=0.0)
    scored = score[np.isfinite(score)]
    ticks = [tick for tick in TICKS if len(scored) * (1 - tick) >= 1]
    raw = np.quantile(scored, ticks) if len(scored) else []
    return go.Scattergl(
        x=points[drawn, 0], y=points[drawn, 1], mode="markers",
        customdata=[ids[row] for row in drawn],
        text=[f"score {score[row]:.3g} · percentile {rank[row] * 100:.1f}" for row in drawn],
        hovertemplate="%{text}<extra></extra>" if len(drawn) <= 50_000 else None,
        marker={
            "size": np.where(shown >= 0.99, 7, 4).astype(np.uint8), "opacity": 0.85,
            "color": _stretched(shown).astype(np.float32), "colorscale": "Viridis",
            "cmin": 0.0, "cmax": 3.3,
            "colorbar": {
                "title": {"text": "Percentile · score"}, "thickness": 12, "len": 0.9,
                "tickvals": [float(_stretched(np.float64(tick))) for tick in ticks],
                "ticktext": [f"{tick * 100:g} % · {value:.3g}" for tick, value in zip(ticks, raw, strict=True)],
            },
        },
        unselected={"marker": {"color": "#9aa7b0", "opacity": 0.25}},
        selected={"marker": {"opacity": 1.0}},
    )  # fmt: skip


def _stretched(rank: np.ndarray) -> np.ndarray:
    """Percentile rank on a scale that gives each further nine the same room (90, 99, 99.9 %)."""
    return -np.log10(np.clip(1.0 - rank, 10**-3.3, 1.0))


def run_chart(
    evaluations: Sequence[dict[str, Any]], before: dict[str, Any] | None, total: int | None = None
) -> Any:
    """ASR and clean accuracy over the steps on one axis, with the values before as dashed lines.

    Args:
        evaluations: journal lines with `step`, `ca` and perhaps `asr`, in order.
        before: the line measured before the run, or None where there is none.
        total: steps of the whole run, so that the axis does not move while it grows.
    """
    import altair as alt

    names, colours, shapes = ([curve[i] for curve in CURVES] for i in (0, 2, 3))
    last = max([total or 1, *(line["step"] for line in evaluations)])
    x = alt.X("step:Q", title="Step", scale=alt.Scale(domain=[0, last], nice=False))
    y = alt.Y(
        "value:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", tickCount=5),
    )
    legend = alt.Legend(orient="top", title=None, symbolSize=90)
    colour = alt.Color("what:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
    shape = alt.Shape("what:N", scale=alt.Scale(domain=names, range=shapes), legend=legend)
    base = alt.Chart(_long(_thinned(evaluations)))
    line = base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour)
    tips = ["what:N", "step:Q", alt.Tooltip("value:Q", format=".2%")]
    dots = base.mark_point(size=80, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=tips
    )
    rules = (
        alt.Chart(_long([] if before is None else [before]))
        .mark_rule(strokeDash=[6, 5], strokeWidth=1.5, opacity=0.8)
        .encode(y=y, color=colour)
    )
    return (rules + line + dots).properties(height=300)


def _long(lines: Sequence[dict[str, Any]]) -> Any:
    """One row per line and curve: step, what, value."""
    import pandas as pd

    rows = [
        {"step": line["step"], "what": name, "value": line[field]}
        for line in lines
        for name, field, _, _ in CURVES
        if line.get(field) is not None
    ]
    return pd.DataFrame(rows, columns=["step", "what", "value"])


def _thinned(lines: Sequence[dict[str, Any]], most: int = 1000) -> Sequence[dict[str, Any]]:
    """At most `most` lines, the first and the last always among them."""
    if len(lines) <= most:
        return lines
    keep = np.unique(np.linspace(0, len(lines) - 1, most).astype(int))
    return [lines[place] for place in keep]


def loss_chart(records: Sequence[dict[str, Any]], total: int | None = None) -> Any:
    """Training loss over the steps."""
    import altair as alt
    import pandas as pd

    rows = [{"step": line["step"], "loss": line["loss"]} for line in _thinned(records)]
    last = max([total or 1, *(row["step"] for row in rows)])
    return (
        alt.Chart(pd.DataFrame(rows, columns=["step", "loss"]))
        .mark_line(strokeWidth=1.5, color="#5b6b78")
        .encode(
            x=alt.X("step:Q", title="Step", scale=alt.Scale(domain=[0, last], nice=False)),
            y=alt.Y("loss:Q", title="Loss", scale=alt.Scale(zero=False)),
        )
        .properties(height=300)
    )


def size_strip(
    own: tuple[str, float, bool], controls: Sequence[tuple[str, float, bool]], unit: str
) -> Any:
    """Sizes of inverted triggers on one logarithmic line: one label among its controls.

    Args:
        own: the suspected label, drawn as an orange diamond; the size of its trigger; and whether
            it was reached: if not, the size is the largest tried in vain, and the mark is hollow.
        controls: the same of the control labels, drawn as blue circles.
        unit: of all sizes.
    """
    import altair as alt
    import pandas as pd

    named = [("suspected", own), *(("control", one) for one in controls)]
    rows = [(name, size, kind + VAIN * (not ok)) for kind, (name, size, ok) in named]
    table = pd.DataFrame(rows, columns=["label", "size", "what"])
    table["size"] = table["size"].clip(lower=1e-6)  # a logarithmic axis has no 0
    kinds = [kind for kind in STRIP if kind in set(table["what"])]
    legend = alt.Legend(
        orient="top", title=None, symbolSize=120, columns=2, labelLimit=300, symbolStrokeWidth=2
    )

    def by_kind(place: int) -> dict[str, Any]:
        looks = [STRIP[kind][place] for kind in kinds]
        return {"legend": legend, "scale": alt.Scale(domain=kinds, range=looks)}

    return (
        alt.Chart(table)
        .mark_point(size=160, strokeWidth=2, opacity=0.8)
        .encode(
            x=alt.X(
                "size:Q", title=f"Size, {unit}", scale=alt.Scale(type="log", padding=20, nice=False)
            ),
            stroke=alt.Stroke("what:N", **by_kind(0)),
            fill=alt.Fill("what:N", **by_kind(1)),
            shape=alt.Shape("what:N", **by_kind(2)),
            tooltip=["label:N", alt.Tooltip("size:Q", format=".3g"), "what:N"],
        )
        .properties(height=140)
    )
