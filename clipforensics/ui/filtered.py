"""What filter-then-retrain dropped, on screen: how many, above which score, and of which labels."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.ui import state

EMPTIED_SHOWN = 12


def shown(lines: Sequence[dict[str, Any]]) -> None:
    """The filter's own record; nothing for other recipes."""
    made = next((line["filter"] for line in lines if line.get("filter")), None)
    if made is None:
        return
    st.markdown("**Dropped before the training**")
    st.text(said(made))
    if made.get("emptied"):
        names = made["emptied"]
        more = f" and {len(names) - EMPTIED_SHOWN} more" if len(names) > EMPTIED_SHOWN else ""
        st.warning(
            "No pair is left that names "
            + ", ".join(state.plain(name) for name in names[:EMPTIED_SHOWN])
            + f"{more}: the model cannot learn what it is not shown. Drop a smaller share.",
            icon=":material/warning:",
        )
    st.dataframe(
        [
            {
                "Label": line["label"], "Pairs naming it": line["pairs"], "Dropped": line["dropped"],
                "Share dropped": 100 * line["share"],
            }
            for line in made["worst_labels"]
        ],
        hide_index=True, width="stretch",
        column_config={"Share dropped": st.column_config.NumberColumn(format="%.1f %%")},
    )  # fmt: skip


def said(made: dict[str, Any]) -> str:
    """The filter in a sentence."""
    at = made.get("threshold")
    by = made["by"] if at is None else f"their score ({made['by']})"
    text = f"{made['dropped']:,} pairs dropped by {by}, {made['kept']:,} kept"
    text += f"; the least score dropped is {at:.3g}." if at is not None else "."
    if truth := made.get("truth"):
        text += f" Of {truth['poisoned']:,} known poisons {truth['poisoned_kept']:,} are still among them."
    return text + " Labels that lost the largest share:"
