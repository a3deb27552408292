"""Charts that argue about one pair, region or label: its scales, its paste test, its trigger's size."""

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

VAIN = ", largest tried in vain"
STRIP = {
    "suspected": ("#d5601a", "#d5601a", "diamond"),
    f"suspected{VAIN}": ("#d5601a", "transparent", "diamond"),
    "control": ("#2f7fc4", "#2f7fc4", "circle"),
    f"control{VAIN}": ("#2f7fc4", "transparent", "circle"),
}
"""Kinds of mark on a strip of sizes: stroke, fill, shape."""


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
