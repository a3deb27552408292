"""Repair: does the defence remove the backdoor, and what does it cost?"""

import streamlit as st

from clipforensics.ui import repairing, rescanned, scanned, shell, state

shell.open_page("Repair")
with shell.complaints():
    case = state.active_case()
    if not scanned.is_scanned(case):
        shell.empty("This case has not been scanned yet.", "case", "Run the scan on the Case page")
    else:
        if case.settings.parent is not None:  # what a reviewer came for
            rescanned.compared(case)
            st.divider()
        settings = repairing.choose(case)
        if settings is not None and repairing.ingredients(case, settings):
            repairing.launch(case, settings)
        repairing.shown_run(case)
        if case.settings.parent is None:
            rescanned.compared(case)
