"""SafeCLIP's split on screen: who is trusted, by which cosine, and how the mixture was fitted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import state

LOW, HIGH = -1.0, 1.0


def splits(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The journal's split records, one for each epoch, the last written of each."""
    by_epoch = {line["split"]["epoch"]: line["split"] for line in lines if line.get("split")}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def shown(run: Any, lines: Sequence[dict[str, Any]]) -> None:
    """The newest split, or the epoch that is chosen; nothing for other recipes."""
    found = splits(lines)
    if not found:
        return
    st.markdown("**Safe and risky pairs**, by the cosine of picture and caption")
    one = found[-1]
    if len(found) > 1:
        names = [f"{split['epoch'] + 1}" for split in found]
        key = f"split.{run.id}.{len(found)}"
        at = names.index(st.selectbox("Main epoch", names, len(names) - 1, key=key))
        one = found[at]
    st.altair_chart(histogram(one), width="stretch")
    st.text(said(one))
    if one.get("warning"):
        st.warning(f"In this split {state.plain(one['warning'])}.", icon=":material/warning:")
    if least := one.get("by_label", {}).get("least"):
        st.caption(
            f"The labels that are trusted least; half of all labels have {one['by_label']['median']:.0%} of "
            "their pairs or more among the safe. Poisons that are doubted lower their target's share."
        )
        st.dataframe(
            [
                {"Label": line["label"], "Pairs naming it": line["pairs"], "Safe": line["safe"],
                 "Share safe": 100 * line["share"]}
                for line in least
            ],
            hide_index=True, width="stretch",
            column_config={"Share safe": st.column_config.NumberColumn(format="%.1f %%")},
        )  # fmt: skip


def said(one: dict[str, Any]) -> str:
    """A split in a sentence."""
    gmm, truth = one["gmm"], one.get("truth")
    text = (
        f"{one['n_safe']:,} pairs safe ({one['r']:.1%}), {one['n_risky']:,} risky; {one['entered']:,} "
        f"entered, {one['left']:,} left. Mixture: means {gmm['means'][0]:.3f} and {gmm['means'][1]:.3f}, "
        f"{gmm['d']:.2f} deviations apart."
    )
    if truth:
        text += f" Known poisons in the safe set: {truth['poisoned_in_safe']:,} of {truth['poisoned']:,}."
    return text


def histogram(one: dict[str, Any]) -> Any:
    """Cosines of all pairs, both fitted Gaussians, and the lowest cosine that is trusted."""
    import altair as alt
    import pandas as pd

    counts = np.array(one["hist"])
    edges = np.linspace(LOW, HIGH, len(counts) + 1)
    used = np.flatnonzero(counts)
    near = slice(max(0, int(used[0]) - 2), int(used[-1]) + 3) if len(used) else slice(None)
    bars = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "pairs": counts}).iloc[near]
    x = alt.X(
        "low:Q", title="Cosine of picture and caption", scale=alt.Scale(zero=False, nice=False)
    )
    drawn = (
        alt.Chart(bars)
        .mark_rect(color="#9aa7b0")
        .encode(
            x=x,
            x2="high:Q",
            y=alt.Y("pairs:Q", title="Pairs"),
            y2=alt.Y2Datum(0),
            tooltip=["low:Q", "pairs:Q"],
        )
    )
    curve = (
        alt.Chart(_curves(one["gmm"], bars, int(counts.sum()), edges[1] - edges[0]))
        .mark_line(strokeWidth=2)
        .encode(
            x="low:Q", y="pairs:Q",
            color=alt.Color("which:N", title=None, legend=alt.Legend(orient="top"),
                            scale=alt.Scale(range=["#d5601a", "#2f7fc4"])),
        )
    )  # fmt: skip
    lowest = pd.DataFrame({"low": [one["lowest_safe"]], "what": ["lowest trusted cosine"]})
    rule = (
        alt.Chart(lowest)
        .mark_rule(strokeDash=[6, 5], strokeWidth=2)
        .encode(x="low:Q", tooltip=["what:N", alt.Tooltip("low:Q", format=".3f")])
    )
    return (drawn + curve + rule).properties(height=220)


def _curves(gmm: dict[str, Any], bars: Any, n: int, width: float) -> Any:
    """Expected pairs per bar under each Gaussian."""
    import pandas as pd

    at = np.linspace(bars["low"].min(), bars["high"].max(), 200)
    parts = []
    for name, mean, sd, weight in zip(
        ("lower Gaussian", "upper Gaussian"), gmm["means"], gmm["sds"], gmm["weights"], strict=True
    ):
        density = np.exp(-0.5 * ((at - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
        parts.append(
            pd.DataFrame({"low": at, "pairs": weight * n * width * density, "which": name})
        )
    return pd.concat(parts)
