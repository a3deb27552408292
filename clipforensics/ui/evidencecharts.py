"""Charts that argue about one pair or one region: its scales, its paste test."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SCALE_COLOURS = ("#2f7fc4", "#d5601a", "#1b8a6b", "#a05195", "#8a6d1d", "#5b6b78")

PLACES = {
    "found": "Suspect, at the same place", "random": "Suspect, at random places",
    "top_left": "Suspect, top left", "top_right": "Suspect, top right",
    "bottom_left": "Suspect, bottom left", "bottom_right": "Suspect, bottom right",
}  # fmt: skip
TRUSTED, CONTROLS = "Trusted model, same paste", "Suspect, control crops"


def paste_chart(figures: Any, controls: Sequence[float]) -> Any:
    """Flip rates of a pasted region: bars for both models, a dot for each control crop.

    Args:
        figures: a `Verification`.
        controls: best flip rate of each control, to whichever label.
    """
    import altair as alt
    import pandas as pd

    rows = [{"what": PLACES[place], "rate": rate} for place, rate in figures.flips.items()]
    rows.append({"what": TRUSTED, "rate": figures.flip_rate_trusted})
    dots = [{"what": CONTROLS, "rate": rate} for rate in controls]
    order = [row["what"] for row in rows] + [CONTROLS]
    x = alt.X(
        "rate:Q", title=f"Clean pictures turned into {figures.label}; controls: into any one label",
        scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"),
    )  # fmt: skip
    y = alt.Y("what:N", title=None, sort=order, axis=alt.Axis(labelLimit=240))
    colour = alt.condition(alt.datum.what == TRUSTED, alt.value("#1b8a6b"), alt.value("#d5601a"))
    tips = ["what:N", alt.Tooltip("rate:Q", format=".1%")]
    bars = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar(height=14)
        .encode(x=x, y=y, color=colour, tooltip=tips)
    )
    points = (
        alt.Chart(pd.DataFrame(dots, columns=["what", "rate"]))
        .mark_point(size=70, filled=True, opacity=0.55, color="#5b6b78")
        .encode(x=x, y=y, tooltip=tips)
    )
    return (bars + points).properties(height=36 * len(order) + 40)


def scale_chart(records: Sequence[dict[str, Any]], z: np.ndarray) -> Any:
    """How far one pair stands out at each scale: z over the reference size, a line for each k.

    Args:
        records: `reference_size` and `k` of each scale.
        z: float [scales], robust standard deviations above the scale's median.
    """
    import altair as alt
    import pandas as pd

    rows = [
        {"size": one["reference_size"], "k": str(one["k"]), "z": float(value)}
        for one, value in zip(records, z, strict=True)
    ]
    order = [str(k) for k in sorted({one["k"] for one in records})]
    legend = alt.Legend(title="Neighbours", orient="right", symbolSize=70)
    x = alt.X("size:O", title="Reference size", axis=alt.Axis(labelAngle=0, format=",d"))
    y = alt.Y("z:Q", title="z", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5))
    colour = alt.Color("k:N", sort=order, scale=alt.Scale(range=list(SCALE_COLOURS)), legend=legend)
    shape = alt.Shape("k:N", sort=order, legend=legend)
    tips = ["size:O", "k:N", alt.Tooltip("z:Q", format=".2f")]
    base = alt.Chart(pd.DataFrame(rows, columns=["size", "k", "z"]))
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        x=x, y=y, color=colour, shape=shape, tooltip=tips
    )
    return (lines + dots).properties(height=210)
