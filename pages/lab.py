"""Attack lab: what does a known attack look like, and does it work?"""

import streamlit as st

from clipforensics.ui import attacktable, labpreview, labview, shell

shell.open_page("Attack lab", "Poison the demo world, train a suspect on it, open it as a case.")
if name := labview.opened():
    st.switch_page("pages/case.py", query_params={"case": name})
with shell.complaints():
    settings = labview.choose()
    labpreview.preview(settings)
    labview.launch(settings)
    labview.shown_run()
attacktable.show()
