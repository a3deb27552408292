"""Case: what is under examination, and is it what it claims to be?"""

import streamlit as st

from clipforensics.ui import casework, shell, state

shell.open_page("Case", "What is under examination, and is it what it claims to be?")
active = state.active_name()
with shell.complaints():
    if active is None:
        casework.demonstration()
    else:
        casework.overview(state.active_case())
        st.subheader("All cases", anchor=False)
        casework.case_list(active)
with st.expander("Open a new case by its paths", icon=":material/create_new_folder:"):
    casework.new_case()
