"""Review: what is my verdict on this sample, label, trigger?"""

import streamlit as st

from clipforensics.ui import cache, reviewdesk, scanned, shell, state

shell.open_page("Review")
with shell.complaints():
    case = state.active_case()
    view = st.segmented_control(
        "View", ["Queue", "Picks", "Log"], default="Queue", key="view", required=True,
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    if view == "Log":
        reviewdesk.log(case)
    elif not scanned.is_scanned(case):
        shell.empty("This case has not been scanned yet.", "case", "Run the scan on the Case page")
    elif view == "Picks":
        reviewdesk.holding(case, cache.default_ranking(case))
    else:
        reviewdesk.queue(case, cache.default_ranking(case))
