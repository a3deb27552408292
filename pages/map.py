"""Map: where do the strange samples sit, and which do I want to look at?"""

import streamlit as st

from clipforensics.config.settings import digest
from clipforensics.ui import (
    asked,
    cache,
    cutview,
    groupview,
    mapview,
    scanned,
    shell,
    state,
    suspectview,
)

shell.open_page("Map")
with shell.complaints():
    case = state.active_case()
    if not scanned.is_scanned(case):
        shell.empty("This case has not been scanned yet.", "case", "Run the scan on the Case page")
        st.stop()
    asked.left_out(case)
    detector, density, reference = mapview.settings(case)
    ranking = cache.ranking(case, detector, density, reference)
    key = digest([detector, density.sha256(), reference.sha256()])
    chosen = mapview.selection(case)
    selected = None if chosen is None else mapview.selected_rows(case, chosen)

    left, right = st.columns([2.2, 1], gap="medium")
    with left:
        drawn = mapview.figure(case, detector, ranking, key)
        st.text(mapview.counts(len(case.pairs), drawn, selected))
        st.markdown("Scores come from the full embedding space, never from the two map axes.")
        suspectview.left_out(case, ranking)
    with right:
        flagged = cutview.threshold(case, detector, density, reference, ranking)
        mapview.truth_panel(case, ranking)
    mapview.neighbours(case, detector, ranking, reference)

    first, second = st.columns(2, gap="medium")
    with first:
        suspectview.scales(case, detector, reference, flagged)
    with second:
        cutview.beside_clean(case, detector, density, reference, ranking)
    suspectview.suspects(case, scanned.apart(case, detector, density, reference))
    with shell.part():
        suspectview.regions(case)
    groupview.repeated(case)
    mapview.listed(case, ranking, flagged, selected)
