"""Curves of a training run over its steps: ASR and clean accuracy, and the loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np

CURVES = (("ASR", "asr", "#d5601a", "diamond"), ("Clean accuracy", "ca", "#2f7fc4", "circle"))
"""Name, journal field, colour, marker: told apart by both, safe for colour-blind viewers."""
PHASES = ("#5b6b78", "#8b5bb0", "#b8860b", "#1b8a6b")
"""Colours of the losses of a run's phases, apart from those of the curves."""


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
    x = _steps(last, 10)
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
    """Training loss over the steps; where phases have losses of their own, a curve for each."""
    import altair as alt
    import pandas as pd

    rows = [
        {"step": line["step"], "loss": line["loss"], "phase": line.get("phase") or "loss"}
        for line in _thinned(records)
    ]
    last = max([total or 1, *(row["step"] for row in rows)])
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    # one below another: beside the chart of ASR and CA there is no room for two
    legend = alt.Legend(orient="top", title=None, columns=1) if len(phases) > 1 else None
    shades = alt.Scale(domain=phases, range=[PHASES[i % len(PHASES)] for i in range(len(phases))])
    return (
        alt.Chart(pd.DataFrame(rows, columns=["step", "loss", "phase"]))
        .mark_line(strokeWidth=1.5, point=alt.OverlayMarkDef(size=12))
        .encode(
            x=_steps(last, 5),
            y=alt.Y("loss:Q", title="Loss", scale=alt.Scale(zero=False)),
            color=alt.Color("phase:N", scale=shades, legend=legend),
            tooltip=["phase:N", "step:Q", alt.Tooltip("loss:Q", format=".4g")],
        )
        .properties(height=300)
    )


def _steps(last: int, ticks: int) -> Any:
    """An axis of whole steps from 0 to the last."""
    import altair as alt

    axis = alt.Axis(tickCount=ticks, tickMinStep=1, format=",d")
    return alt.X("step:Q", title="Step", scale=alt.Scale(domain=[0, last], nice=False), axis=axis)
