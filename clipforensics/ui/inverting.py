"""The part of the Triggers page for triggers that leave no region: inversion against controls."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from clipforensics.config.inversion import FAMILY_NAMES, INVERSION_PRESETS, InversionSettings
from clipforensics.ui import forms, inverted, live, shell, state

FAMILY_TITLES = {
    "mask": ("Mask", "a pattern in part of the picture"),
    "blend": ("Blend", "a faint pattern over all of it"),
    "colour": ("Colour", "a filter"),
    "warp": ("Warp", "a smooth shift"),
}
"""Title, and what the change is."""
MOST_RESULTS = 50


def section(case: Any) -> None:
    """Launch, progress and results of inversions."""
    st.markdown("#### Triggers that cover the whole picture")
    st.markdown(
        "A faint blend, a filter or a warp leaves no region to cut out. For each suspected label "
        "the smallest change is searched that makes the suspect say it, and compared with the "
        "same search for control labels."
    )
    run = _launch(case)
    _shown(case, run is not None)


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
            refused = forms.refusal(InversionSettings, config)
            if refused is None:
                st.text(_cost(case, len(labels) + controls, families, preset))
            live.start_button(
                "Invert triggers", case.dir, "invert", config, "invert.start", refused
            )
        else:
            st.text("Choose at least one label and one family.")
        if run is not None:
            live.watch(run, _progress)
            live.resume_ended(run)
    return run


def _cost(case: Any, labels: int, families: Any, settings: InversionSettings) -> str:
    """How many searches, and how long they take where some were timed; kept ones cost nothing."""
    from clipforensics.jobs.hunting.inversions import seconds_of_search

    searches = labels * len(families)
    said = f"{searches:,} searches at most"
    each = seconds_of_search(case, families, settings)
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


def _shown(case: Any, started: bool) -> None:
    """The newest comparison of this suspect, or an earlier one that is chosen."""
    from clipforensics.jobs.hunting.inversions import kept_inversions, read_inversion

    kept, damaged = kept_inversions(case)
    if damaged:
        st.text(
            f"{damaged:,} earlier result{'s' * (damaged != 1)} left out: the record is damaged. "
            "The command verify names the folder."
        )
    if not kept:
        if not started and not damaged:
            st.markdown("No inversion has finished yet. What it finds will stand here.")
        return
    chosen = _choice(kept[:MOST_RESULTS])
    with shell.part():
        result = read_inversion(chosen.folder)
        _made_by(result, chosen.made["made"])
        inverted.show(case, result)


def _choice(kept: list[Any]) -> Any:
    if len(kept) == 1:
        return kept[0]
    at = st.selectbox(
        "Result", range(len(kept)), format_func=lambda place: _called(kept[place]),
        key=f"invert.result.{kept[0].folder.name}.{kept[0].asked}",  # a new result starts afresh
        help="Of this suspect, the one asked for last first",
    )  # fmt: skip
    return kept[at or 0]


def _called(one: Any) -> str:
    """A result by what its record says; the record is not checked before it is chosen."""
    key = one.made["key"]
    labels, settings = key.get("labels"), key.get("settings")
    parts = [state.moment(one.asked)]
    if isinstance(labels, list) and labels:
        more = f" and {len(labels) - 3:,} more" if len(labels) > 3 else ""
        parts.append(", ".join(str(name)[:40] for name in labels[:3]) + more)
    if isinstance(settings, dict):
        if isinstance(settings.get("families"), list):
            parts.append(", ".join(str(name)[:40] for name in settings["families"][:4]))
        parts += [_preset(settings), f"seed {str(settings.get('seed', '?'))[:20]}"]
    return " · ".join(parts)


def _preset(settings: Mapping[str, Any]) -> str:
    for name, preset in INVERSION_PRESETS.items():
        if all(settings.get(one) == getattr(preset, one) for one in ("steps", "batch", "rate")):
            return name
    return "own settings"


def _made_by(result: dict[str, Any], made: str) -> None:
    """What made the result, in one line."""
    asked = result["settings"]
    st.text(
        f"{state.moment(made)} · {', '.join(result['labels'])} · {', '.join(result['families'])} · "
        f"{_preset(asked)}: {asked['steps']:,} steps of {asked['batch']:,} pictures · "
        f"{asked['controls']:,} control labels · seed {asked['seed']} · "
        f"{result['inversions']:,} searches in {live.span(result['seconds'])}"
    )
    if result.get("anew"):
        st.text(
            "Searched by an older version; its figures are compared anew here, without controls "
            "that were not reached."
        )
