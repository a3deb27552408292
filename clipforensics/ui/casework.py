"""The parts of the Case page: the demo being built, the case at a glance, a new case."""

import re
from typing import Any

import streamlit as st

from clipforensics.config.case import CaseSettings
from clipforensics.errors import ConfigError, ForensicsError
from clipforensics.ui import forms, live, shell, state

DEMO = "demo"
SHOWN_INPUTS = {
    "data": "Pairs", "labels": "Labels", "model": "Suspect model", "weights": "Suspect weights",
    "trusted_model": "Trusted model", "trusted_weights": "Trusted weights",
    "segmenter_weights": "Segmenter weights", "truth": "Truth", "test": "Test set",
}  # fmt: skip


def demonstration() -> None:
    """No case yet: build the demo case at once, and show how far it is."""
    folder = state.home() / DEMO
    run = live.latest(folder, "demo") or live.start(folder, "demo", {})
    st.markdown(
        "#### Building the demonstration case\n"
        "Sticker scenes with captions are drawn, a few of them poisoned, and scanned with a small "
        "CLIP that has really learned the trigger. Nothing is downloaded."
    )
    live.watch(run, _demo_progress)
    if run.status().state in ("failed", "cancelled"):
        live.resume_button(run, "Try again")


def _demo_progress(run: Any) -> None:
    live.status_line(run)
    live.details(run)


def overview(case: Any) -> None:
    """The case at a glance: size, scan, fingerprints."""
    _figures(case)
    for warning in case.warnings:
        st.warning(state.plain(warning), icon=":material/warning:")
    _scan(case)
    st.subheader("What is under examination", anchor=False)
    st.dataframe(_inputs(case), hide_index=True, width="stretch")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Check the hashes again", icon=":material/verified:"):
            _verify(case)
        made = ", ".join(f"{name} {version}" for name, version in case.versions.items())
        st.text(f"Made {case.created}. {made}", width="stretch")


def _figures(case: Any) -> None:
    truth = case.truth
    slots = st.columns(4)
    slots[0].metric("Pairs", f"{len(case.pairs):,}", border=True)
    slots[1].metric("Labels", f"{len(case.labels):,}", border=True)
    slots[2].metric("Test pictures", f"{len(case.test):,}" if case.test else "none", border=True)
    if truth is None:
        slots[3].metric("Known poison", "unknown", border=True)
        return
    count = len(truth.poisoned)
    slots[3].metric(
        "Known poison", f"{count:,} ({count / len(case.pairs):.2%})", border=True,
        help="Ground truth of a known attack. Only figures read it; no detector does.",
    )  # fmt: skip


def _inputs(case: Any) -> list[dict[str, str]]:
    rows = []
    for name, title in SHOWN_INPUTS.items():
        value = getattr(case.settings, name)
        if value:
            digest = case.fingerprints.get(name, "")
            rows.append({"Input": title, "SHA-256": digest[:16] or "by name", "Where": str(value)})
    return rows


def _verify(case: Any) -> None:
    from clipforensics.jobs.verifying import verify

    with st.spinner("Comparing inputs, pictures, evidence and decisions…"):
        problems = verify(case)
    for problem in problems:
        st.error(state.plain(problem), icon=":material/error:")
    if not problems:
        st.success(
            "Every input, picture, piece of evidence and decision is unchanged.",
            icon=":material/verified:",
        )


def _scan(case: Any) -> None:
    from clipforensics.ui.scanned import is_scanned

    run = live.latest(case.dir, "scan", "demo", "lab")
    done = is_scanned(case)
    with st.container(border=True):
        if run is not None and (run.status().active or not done):
            st.markdown("#### Scan")
            live.watch(run, _demo_progress)
        if done:
            st.markdown("#### The scan is finished")
            _scan_result(case)
            shell.go_to("map", "Open the map", icon=":material/scatter_plot:")
            if case.settings.parent is not None:
                shell.go_to("repair", "Before and after the repair", icon=":material/healing:")
        elif run is None or not run.status().active:
            st.markdown("#### Next: scan the pairs")
            st.markdown("Embeds every pair with the suspect, scores it, and draws the map.")
            live.start_button("Run scan", case.dir, "scan", {}, key="case.scan")


def _scan_result(case: Any) -> None:
    from clipforensics.jobs.scanning import scan

    kept = scan.latest_scan(case) or {}
    said = f"{kept.get('scored', 0):,} of {kept.get('rows', 0):,} pairs scored"
    if kept.get("bad"):
        said += f", {kept['bad']:,} pictures could not be read"
    st.markdown(f"{said} in {live.span(kept.get('seconds_total'))}.")
    stages = [f"{name} {live.span(value)}" for name, value in kept.get("seconds", {}).items()]
    st.text(" · ".join(stages))
    _bad_pictures(scan.bad_pictures(case))


def _bad_pictures(bad: Any) -> None:
    if not bad:
        return
    with st.expander(f"{len(bad):,} pictures left out", icon=":material/broken_image:"):
        rows = bad if isinstance(bad, list) else [{"row": k, "reason": v} for k, v in bad.items()]
        st.dataframe(rows, hide_index=True, width="stretch")


def case_list(active: str | None) -> None:
    """Every case in the home folder, the active one marked."""
    from clipforensics.ui import cache

    rows = []
    for name in state.case_names():
        try:
            case = cache.case(state.home() / name)
        except ForensicsError as problem:
            rows.append({"": "!", "Folder": name, "Case": str(problem), "Made": ""})
            continue
        mark = "●" if name == active else ""
        rows.append({"": mark, "Folder": name, "Case": case.name, "Made": case.created})
    st.dataframe(rows, hide_index=True, width="stretch")
    st.text(f"Cases lie in {state.home()}")


def new_case() -> None:
    """Open a new case by paths; what is wrong with them is said in place."""
    with st.form("case.new", border=False):
        try:
            settings = forms.settings_form(CaseSettings, "case.new", only=_ASKED)
            problem = None
        except ConfigError as found:
            settings, problem = None, found
        sent = st.form_submit_button("Open the case", icon=":material/create_new_folder:")
    if not sent:
        return
    if problem is not None or settings is None:
        st.error(state.plain(str(problem)), icon=":material/error:")
        return
    try:
        with st.spinner("Reading the data and the models…"):
            case = _create(settings)
    except ForensicsError as complaint:
        shell.complain(complaint)
        return
    state.choose(case.dir.name)
    st.rerun()


_ASKED = (
    "name", "data", "image_root", "labels", "model", "weights", "trusted_model", "trusted_weights",
    "segmenter", "segmenter_weights", "truth", "test",
)  # fmt: skip


def _create(settings: CaseSettings) -> Any:
    from clipforensics.cases.case import Case

    return Case.create(state.home() / _folder_name(settings.name), settings)


def _folder_name(name: str) -> str:
    """A folder name for a case: letters, digits and hyphens; never a path."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:60]
    if not plain:
        raise ConfigError(f"The name {name!r} has no letter or digit. Choose another name.")
    taken = set(state.case_names())
    return next(n for n in (plain, *(f"{plain}-{i}" for i in range(2, 10_000))) if n not in taken)
