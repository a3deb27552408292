"""The cut on the Map page: a percentile, a budget, or a rate of false alarms. Scores stay as they are."""

from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.config.scan import CleanSettings
from clipforensics.errors import ForensicsError
from clipforensics.ui import forms, live, shell
from clipforensics.ui.ranking import Ranking, clean_share

WAYS = ("Percentile", "Budget", "Clean pairs")
SHARES = (0.05, 0.01, 0.001)
"""Shares of clean pairs at which the case is compared with the clean reference."""


def threshold(
    case: Any,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    ranking: Ranking,
) -> np.ndarray:
    """How the reviewer cuts; returns the rows flagged and says how many, and how many by chance."""
    clean = _calibration(case, detector, density, reference)
    way = st.segmented_control(
        "Cut by", WAYS, default=WAYS[0], key="cut.by", required=True, bind="query-params"
    )
    total = len(ranking.order)
    if way == "Clean pairs":
        if clean is not None:
            clean = _choose(case, detector, density, reference, clean)
        cut = _by_clean(case, detector, density, reference, clean)
    elif way == "Budget":
        budget = st.number_input(
            "Pairs you will look at", 1, max(1, total), min(100, max(1, total)), 10, key="budget",
            bind="query-params",
        )  # fmt: skip
        cut = ranking.score[ranking.order[budget - 1]] if total else None
    else:
        percentile = st.slider(
            "Threshold (percentile)", 90.0, 99.9, 99.0, 0.1, format="%.1f", key="cut",
            bind="query-params",
        )  # fmt: skip
        flagged = ranking.flagged(percentile)
        cut = ranking.score[flagged[-1]] if len(flagged) else None
    rows = ranking.order[:0] if cut is None else ranking.above(float(cut))
    if cut is not None:
        st.markdown(
            f"Flags **{len(rows):,}** of {total:,} pairs (**{len(rows) / max(1, total):.2%}**), "
            f"scores from {cut:.4g} up."
        )
        _alarms(case, ranking, float(cut), clean)
    st.markdown("A high score makes a pair *suspicious*. Only truth or a verdict says more.")
    return rows


def _calibration(
    case: Any, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> Any | None:
    """The clean scores for these settings that were chosen last, else the newest."""
    from clipforensics.jobs.scanning.calibrating import calibrations

    found = calibrations(case, detector, density, reference)
    kept = st.session_state.get("clean.kept")
    return next((one for one in found if _called(one) == kept), found[0] if found else None)


def _called(clean: Any) -> str:
    return f"{clean.about['source']}, n = {len(clean.values):,}"


def _choose(
    case: Any, detector: str, density: DensitySettings, reference: ReferenceSettings, clean: Any
) -> Any:
    """Which clean reference, where there are several; and the way to another one."""
    from clipforensics.jobs.scanning.calibrating import calibrations

    found = {
        _called(one): one for one in reversed(calibrations(case, detector, density, reference))
    }
    names = list(found)[::-1]
    if len(names) > 1:
        name = st.selectbox("Clean reference", names, names.index(_called(clean)))
        st.session_state["clean.kept"], clean = name, found[name]
    with st.expander("Score other clean pairs", icon=":material/add:"):
        _start(case, detector, density, reference)
    return clean


def _by_clean(
    case: Any,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    clean: Any | None,
) -> float | None:
    """The cut that flags a chosen share of clean pairs; None until it can be told."""
    from clipforensics.detect.thresholds import cut_from_clean

    if clean is None:
        st.markdown(
            "Clean pairs are scored as the case's own are, and tell **what would be flagged when "
            "nothing is wrong**. Best are pairs the suspect was trained on that you know to be "
            "clean: fresh pairs, and simple test pictures even more, score lower, so that more is "
            "flagged than they promise."
        )
        _start(case, detector, density, reference)
        return None
    rate = st.number_input(
        "Clean pairs flagged (%)", 0.01, 50.0, 1.0, 0.1, format="%.2f", key="false.rate",
        bind="query-params", help="the share of false alarms you accept",
    )  # fmt: skip
    try:
        return cut_from_clean(clean.values, rate / 100).cut
    except ForensicsError as problem:
        shell.complain(problem)
        return None


def _start(
    case: Any, detector: str, density: DensitySettings, reference: ReferenceSettings
) -> None:
    run = live.latest(case.dir, "calibrate")
    if run is None or not run.status().active:
        given = {
            name: forms.widget(CleanSettings, name, key=f"clean.{name}")
            for name in ("data", "image_root")
        }
        refused = _cannot(case, detector) if given["data"] is None else None
        if refused is not None:
            st.text(refused)
        config = {
            **given, "detector": detector, "density": density.model_dump(mode="json"),
            "reference": reference.model_dump(mode="json"),
        }  # fmt: skip
        live.start_button(
            "Score clean pairs", case.dir, "calibrate", config, "clean.start", refused
        )
    if run is not None and run.status().state != "succeeded":
        live.watch(run, _progress)


def _cannot(case: Any, detector: str) -> str | None:
    """What the detector needs and the test set lacks, before a start; None when it can be read."""
    from clipforensics.jobs.scanning.calibrating import check_captions, clean_pairs

    try:
        check_captions(clean_pairs(case, CleanSettings())[0], detector)
    except ForensicsError as problem:
        return str(problem)


def _progress(run: Any) -> None:
    live.status_line(run)
    live.details(run)


def _alarms(case: Any, ranking: Ranking, cut: float, clean: Any | None) -> None:
    """False alarms to expect at this cut, and, where the truth is known, those there are."""
    from clipforensics.detect.thresholds import clean_rate, unlike

    if clean is None:
        st.markdown(
            "This cut by itself promises no rate of false alarms: cut by clean pairs for one."
        )
    else:
        made, total = clean_rate(clean.values, cut), len(ranking.order)
        expected, high = made.expected(total)
        odd = unlike(clean.values, ranking.score[ranking.order])
        if odd is not None:
            st.warning(
                f"Of the clean pairs {made.false_rate:.2%} lie above this cut, but they are of another "
                "kind than this case's pairs: it promises nothing here. Score pairs of the same kind.",
                icon=":material/warning:",
            )
        else:
            st.markdown(
                f"At this cut **{made.false_rate:.2%} of clean pairs** would be flagged: about "
                f"**{expected:,.0f} of {total:,}** (95 % interval up to {high:,.0f}), from n = {made.clean:,}."
            )
    share = clean_share(case, ranking, cut)
    if share is not None:
        st.markdown(f"Known truth: {share:.2%} of this case's clean pairs lie above it.")


def beside_clean(
    case: Any,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
    ranking: Ranking,
) -> None:
    """What would be flagged when nothing is wrong, beside what is flagged here."""
    from clipforensics.detect.thresholds import cut_from_clean, unlike

    clean = _calibration(case, detector, density, reference)
    if clean is None:
        return
    rows, odd = [], unlike(clean.values, ranking.score[ranking.order])
    for share in SHARES:
        if len(clean.values) + 1 < 1 / share:
            continue
        made, total = cut_from_clean(clean.values, share), len(ranking.order)
        here, (expected, _) = len(ranking.above(made.cut)), made.expected(total)
        rows.append({
            "Clean pairs flagged": f"{share:.1%}", "Expected here": f"{expected:,.0f}",
            "Flagged here": f"{here:,}", "Ratio": f"{here / expected:.1f}",
        })  # fmt: skip
    if not rows:
        return
    st.markdown("**If nothing were wrong**")
    if odd is not None:
        st.warning(
            f"These clean pairs are of another kind than the case's: {odd.clean:.1%} of them reach "
            f"the score that {odd.case:.0%} of the case's pairs reach, and poison of up to 2 % "
            "cannot explain that. The rates hold for such pairs, not for this case's. Take clean "
            "pairs from the same source.",
            icon=":material/info:",
        )
    st.dataframe(rows, hide_index=True, width="stretch")
    st.text(
        f"Clean reference: {clean.about['source']}, {len(clean.values):,} pairs. A ratio "
        "above 1 means pairs unlike the reference: poison, or honest pairs of another kind. It "
        "holds as far as the reference is like the case's clean pairs."
    )
