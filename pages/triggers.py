"""Triggers: does the picture support the label, and which region betrays it?"""

import streamlit as st

from clipforensics.ui import cache, hunting, inspecting, inverting, scanned, shell, state

shell.open_page("Triggers")
with shell.complaints():
    case = state.active_case()
    if not scanned.is_scanned(case):
        shell.empty("This case has not been scanned yet.", "case", "Run the scan on the Case page")
        st.stop()
    if inspecting.unavailable(case):
        st.stop()
    if inspecting.without_regions(case):
        inverting.section(case)
        st.stop()
    views = ["Hunt", "One picture"]
    named = st.query_params.get("pair")
    # the browser's Back and Forward change the address alone: the view follows it
    if "triggers.view" not in st.session_state or named != st.session_state.get(inspecting.NAMED):
        st.session_state["triggers.view"] = views[bool(named)]
        if named:
            shell.start_at_top()
    st.session_state[inspecting.NAMED] = named
    view = st.segmented_control(
        "View", views, key="triggers.view", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    if view == "Hunt":
        with shell.part():
            hunting.launch(case)
            hunting.found(case)
        with shell.part():
            inverting.section(case)
    else:
        ranking = cache.default_ranking(case)
        name = inspecting.choose(case, ranking)
        if name is not None:
            inspecting.show(case, ranking, name)
