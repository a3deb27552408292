"""Repair runs side by side: curves, every checkpoint as a choice between ASR and CA, and a table."""

import html
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.ui import following, live, runtable

MOST_RUNS = 8
COLOURS = (
    "#2f7fc4", "#d5601a", "#3b8f5a", "#8b5bb0", "#b8860b", "#c2417c", "#4b8b95", "#6b6b6b",
)  # fmt: skip
SHAPES = (
    "circle", "diamond", "square", "triangle-up", "cross", "triangle-down", "triangle-left",
    "triangle-right",
)  # fmt: skip
SIGNS = "●◆■▲✚▼◀▶"
"""The shapes as letters, in the same order: one legend above both charts, which leaves them their room."""


def compare(runs: Sequence[Any], titles: dict[str, str]) -> None:
    """All chosen runs in one chart, their checkpoints in one scatter, the finished ones in a table."""
    known = {run.id: run for run in runs if live.evaluations(following.records(run))}
    if len(known) < 2:
        return
    st.divider()
    st.subheader("Compare runs", anchor=False)
    names = _names(known, titles)
    chosen = st.multiselect(
        f"Runs, at most {MOST_RUNS} of {len(known)}" if len(known) > MOST_RUNS else "Runs",
        list(known), list(known)[:MOST_RUNS], key=f"compare.{next(iter(known))}",
        format_func=names.__getitem__, max_selections=MOST_RUNS,
    )  # fmt: skip
    if not chosen:
        return
    active = any(known[name].status().active for name in chosen)
    st.fragment(run_every=live.EVERY if active else None)(_drawn)(known, names, chosen)


def _drawn(known: dict[str, Any], names: dict[str, str], chosen: list[str]) -> None:
    """Charts and table, again every two seconds while one of the runs is active."""
    lines = {names[name]: live.evaluations(following.records(known[name])) for name in chosen}
    st.html(legend(list(lines)))
    left, right = st.columns([1.4, 1], gap="medium")
    left.altair_chart(curves(lines), width="stretch")
    right.altair_chart(trade_off(lines), width="stretch")
    st.markdown(
        "**Left**: solid is clean accuracy, dashed ASR, over the share of each run's steps. "
        "**Right**: one point per checkpoint, the larger the later; best is top left. "
        "Fine-tuning needs clean pairs, retraining far more time: they are not one ranking."
    )
    runtable.tables([(names[name], known[name]) for name in chosen])


def legend(names: Sequence[str]) -> str:
    """HTML: each run's sign in its colour, and its name; they wrap as words do."""
    return " ".join(
        f'<span style="white-space:nowrap;margin-right:1.2rem"><span style="color:{colour}">{sign}'
        f"</span> {html.escape(name)}</span>"
        for name, colour, sign in (
            *zip(names, COLOURS, SIGNS, strict=False), ("the suspect, before", "black", "✖")
        )
    )  # fmt: skip


def _names(known: dict[str, Any], titles: dict[str, str]) -> dict[str, str]:
    """Run id to recipe and clock, told apart by number where two runs share both."""
    names: dict[str, str] = {}
    for key, run in known.items():
        name = f"{following.title(run, titles)} · {following.clock(run)}"
        same = sum(one.split(" (")[0] == name for one in names.values())
        names[key] = f"{name} ({same + 1})" if same else name
    return names


def long_table(lines: dict[str, list[dict[str, Any]]]) -> Any:
    """One row per evaluation: run, step, share of the run, ca, asr. The suspect's own is left out."""
    import pandas as pd

    rows = []
    for name, measured in lines.items():
        own = [line for line in measured if not line.get("baseline")]
        total = max([1, *(line.get("total") or line["step"] for line in own)])
        rows += [
            {
                "run": name, "step": line["step"], "done": line["step"] / total,
                "ca": line["ca"], "asr": line.get("asr"), "r1": line.get("r1"),
            }
            for line in own
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=["run", "step", "done", "ca", "asr", "r1"])


def curves(lines: dict[str, list[dict[str, Any]]]) -> Any:
    """Clean accuracy and ASR of every run over the share of its steps."""
    import altair as alt

    table = long_table(lines)
    table = table.rename(columns={"ca": "Clean accuracy", "asr": "ASR"})
    tall = table.melt(
        ["run", "step", "done"], ["Clean accuracy", "ASR"], var_name="what", value_name="value"
    ).dropna()
    base = alt.Chart(tall).encode(
        x=alt.X(
            "done:Q", title="Share of the run", scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format="%", tickCount=5),
        ),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        color=_colour(lines),
        tooltip=["run:N", "what:N", "step:Q", alt.Tooltip("value:Q", format=".2%")],
    )  # fmt: skip
    dash = alt.StrokeDash(
        "what:N", legend=None,
        scale=alt.Scale(domain=["Clean accuracy", "ASR"], range=[[1, 0], [5, 4]]),
    )  # fmt: skip
    return (
        (base.mark_line(strokeWidth=2).encode(strokeDash=dash) + base.mark_point(filled=True, size=45).encode(
            shape=alt.Shape("run:N", scale=_shapes(lines), legend=None)
        )).properties(height=320)
    )  # fmt: skip


def trade_off(lines: dict[str, list[dict[str, Any]]]) -> Any:
    """Clean accuracy against ASR, one point per checkpoint, and a cross for the suspect."""
    import altair as alt
    import pandas as pd

    table = long_table(lines).dropna(subset=["asr"])
    axis = {"scale": alt.Scale(domain=[0, 1]), "axis": alt.Axis(format="%", tickCount=5)}
    x, y = alt.X("asr:Q", title="ASR", **axis), alt.Y("ca:Q", title="Clean accuracy", **axis)
    tips = ["run:N", "step:Q", *(alt.Tooltip(f"{n}:Q", format=".2%") for n in ("asr", "ca", "r1"))]
    points = (
        alt.Chart(table)
        .mark_point(filled=True, opacity=0.75)
        .encode(
            x=x, y=y, color=_colour(lines), tooltip=tips,
            shape=alt.Shape("run:N", scale=_shapes(lines), legend=None),
            size=alt.Size("done:Q", scale=alt.Scale(domain=[0, 1], range=[25, 160]), legend=None),
        )
    )  # fmt: skip
    before = [
        {
            "run": "the suspect, before",
            "step": 0,
            "ca": line["ca"],
            "asr": line["asr"],
            "r1": line.get("r1"),
        }
        for measured in lines.values()
        for line in measured
        if line.get("baseline") and line.get("asr") is not None
    ][:1]
    cross = (
        alt.Chart(pd.DataFrame(before, columns=["run", "step", "ca", "asr", "r1"]))
        .mark_point(shape="cross", size=160, color="black", angle=45, filled=True)
        .encode(x=x, y=y, tooltip=tips)
    )
    return (points + cross).properties(height=320)


def _shapes(lines: dict[str, Any]) -> Any:
    import altair as alt

    return alt.Scale(domain=list(lines), range=SHAPES[: len(lines)])


def _colour(lines: dict[str, Any]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(lines), range=COLOURS[: len(lines)])
    return alt.Color("run:N", scale=scale, legend=None)
