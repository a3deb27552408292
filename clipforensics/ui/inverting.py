"""The part of the Triggers page for triggers that leave no region: inversion against controls."""

from typing import Any

import streamlit as st

from clipforensics.config.inversion import FAMILY_NAMES, INVERSION_PRESETS, InversionSettings
from clipforensics.ui import forms, inverted, live

FAMILY_TITLES = {
    "mask": ("Mask", "a pattern in part of the picture"),
    "blend": ("Blend", "a faint pattern over all of it"),
    "colour": ("Colour", "a filter"),
    "warp": ("Warp", "a smooth shift"),
}
"""Title, and what the change is."""


def section(case: Any) -> None:
    """Launch, progress and results of inversions."""
    st.markdown("#### Triggers that cover the whole picture")
    st.markdown(
        "A faint blend, a filter or a warp leaves no region to cut out. For each suspected label "
        "the smallest change is searched that makes the suspect say it, and compared with the "
        "same search for control labels."
    )
    run = _launch(case)
    inverted.show(case, run is not None)


def _launch(case: Any) -> Any | None:
    from clipforensics.jobs.hunting.inverting import suspected

    run = live.latest(case.dir, "invert")
    most = InversionSettings().most_labels
    with st.container(border=True):
        slots = st.columns([5, 6, 2], vertical_alignment="bottom")
        with slots[0]:
            labels = st.multiselect(
                "Labels", case.labels.names, list(suspected(case, most)), key="invert.labels",
                help="Suspected target labels; at first those that the latest scan suspects, at "
                f"most {most}",
                placeholder="The scan suspects no label: choose some",
            )  # fmt: skip
        with slots[1]:
            families = st.multiselect(
                "Families", FAMILY_NAMES, list(FAMILY_NAMES), key="invert.families",
                format_func=lambda name: FAMILY_TITLES[name][0],
                help="  \n".join(f"**{title}**: {what}" for title, what in FAMILY_TITLES.values()),
            )  # fmt: skip
        with slots[2]:
            quick = st.toggle(
                "Quick", False, key="invert.quick",
                help="Half the steps and half the pictures a step: a quarter of the time",
            )  # fmt: skip
        controls = forms.widget(InversionSettings, "controls", key="invert.controls", width=200)
        if labels and families:
            preset = INVERSION_PRESETS["quick" if quick else "full"]
            config = preset.model_dump(mode="json") | {
                "labels": labels, "families": families, "controls": controls,
            }  # fmt: skip
            st.text(_cost(case, (len(labels) + controls) * len(families), preset))
            live.start_button("Invert triggers", case.dir, "invert", config, "invert.start")
        else:
            st.text("Choose at least one label and one family.")
        if run is not None:
            live.watch(run, _progress)
    return run


def _cost(case: Any, searches: int, settings: InversionSettings) -> str:
    """How many searches, and how long they take where some were timed; kept ones cost nothing."""
    from clipforensics.jobs.hunting.inversions import seconds_of_search

    said = f"{searches:,} search{'es' * (searches != 1)} at most"
    each = seconds_of_search(case, settings)
    if each is not None:
        return (
            f"{said}, about {live.span(searches * each)} at the pace of earlier ones of this case "
            f"({each:.2g} s each); those that are kept already take no time."
        )
    return (
        f"{said}, each {settings.steps:,} steps of {settings.batch:,} pictures through the suspect "
        "and back. None was timed in this case yet: the run tells the time left once it has begun."
    )


def _progress(run: Any) -> None:
    asked = run.config
    st.text(
        f"{', '.join(asked.get('labels', []))} · {', '.join(asked.get('families', []))} · "
        f"{asked.get('steps', 0):,} steps · {asked.get('controls', 0):,} control labels"
    )
    live.status_line(run)
    live.details(run)
