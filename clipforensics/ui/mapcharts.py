"""Figures of the map: every pair as a raster, some as points; one model's rows, or two side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MAX_DRAWN = 20_000
"""Points drawn over the raster; a browser returns every selected one as JSON."""
TICKS = (0.5, 0.9, 0.95, 0.99, 0.999)
MARKS = (("#d5601a", "diamond"), ("#8b5bb0", "cross"), ("#2f7fc4", "square"))
"""Colour and marker of the groups marked on both maps."""


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
