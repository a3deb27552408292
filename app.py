"""The front door: mark the visit, then hand the page list to Streamlit."""

import streamlit as st

from clipforensics.ui.shell import page_list

st.session_state["shell.entered"] = True
st.navigation(page_list(), position="hidden").run()
