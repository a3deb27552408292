"""Attack x detector: what was measured, read from the file that `bench detection` writes."""

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.config.detect import DETECTOR_TITLES
from clipforensics.config.results import DetectionRow, DetectionTable, read_detection
from clipforensics.errors import ForensicsError
from clipforensics.ui import shell
from clipforensics.ui.labpreview import TITLES

FILE = shell.ROOT / "assets" / "results" / "detection.json"
FIGURES = {
    "Recall in the top 1 %": "recall_0_01",
    "Recall in the top 0.1 %": "recall_0_001",
    "Recall in the top 5 %": "recall_0_05",
    "AUROC": "auroc",
    "Average precision": "average_precision",
}
LOW, HIGH = (243, 239, 228), (20, 105, 122)
"""From little found to all found; text on it is dark or white, whichever reads better."""
NOT_WORKING = "not working"
PAST_CONCEPT = {"clean_label": 0.01}
"""From these rates on an attack stamps 29 % and more of the target's own pairs of this table, which
are no longer a few of a concept; benchmarks/_attack_table.py tells them apart, too."""
FIXED = {"Attack": 172, "Poison": 92, "ASR": 178, "CA": 50}
"""Columns beside the detectors, and their width in pixels."""
DETECTOR_PX = 58
FIRST = (
    "combined", "scales", "clip", "lof", "kdist", "iforest", "feature norm", "lof, whole set",
)  # fmt: skip
"""Shown until others are chosen, in this order; all that fit beside each other."""
SHORT = {
    "combined": "Both", "scales": "Scales", "kdist": "k-dist.", "dao_pow": "DAO pow", "iforest": "Forest",
    "clip": "Caption", "gmm": "Gauss", "feature norm": "Norm", "lof, whole set": "LOF, all",
    "lof, normalized": "LOF, unit", "slof, normalized": "SLOF, unit",
    "lof, captions in the reference": "LOF+text", "lof, near-duplicates collapsed": "LOF, once",
}  # fmt: skip
"""Detectors whose whole name is too wide for a column; it shows when one points at it."""


def show() -> None:
    """The table with its controls, and how to read it; a missing or broken file says so."""
    st.divider()
    st.subheader("Which detector finds which attack?", anchor=False)
    try:
        table = read_detection(FILE)
    except ForensicsError as problem:
        shell.complain(problem)
        return
    if table is None:
        st.text(
            "Not measured yet: there is no assets/results/detection.json. "
            "The command clipforensics bench detection --part attacks measures every attack and writes it."
        )
        return
    figure, detectors, all_rows = _controls(table)
    rows = [row for row in table.rows if row.detector in detectors]
    if not all_rows:
        rows = [row for row in rows if row.working]
    if not rows:
        st.info("Nothing is left to show. Choose a detector, or show every attack.")
        return
    _reading(figure, rows)
    st.dataframe(
        styled(rows, FIGURES[figure]), hide_index=True, width="stretch", height="content",
        column_config=_widths(rows),
    )  # fmt: skip
    _made(table)


def _controls(table: DetectionTable) -> tuple[str, list[str], bool]:
    names = list(dict.fromkeys(row.detector for row in table.rows))
    first, second, third = st.columns([1.1, 2.2, 1], vertical_alignment="bottom")
    with first:
        figure = st.selectbox("Figure", list(FIGURES), key="table.figure")
    with second:
        detectors = st.multiselect(
            "Detectors",
            names,
            [one for one in FIRST if one in names] or names,
            key="table.detectors",
            format_func=detector_title,
        )
    with third:
        all_rows = st.toggle("Attacks that do not work, too", True, key="table.all")
    return figure, sorted(detectors, key=_rank), all_rows


def detector_title(name: str) -> str:
    """How a detector is called on screen: "lof, whole set" is "LOF, whole set"."""
    first, comma, rest = name.partition(",")
    return f"{DETECTOR_TITLES.get(first, first.capitalize())}{comma}{rest}"  # type: ignore[call-overload]


def _rank(detector: str) -> tuple[int, str]:
    return (FIRST.index(detector) if detector in FIRST else len(FIRST), detector)


def attack_title(name: str) -> str:
    """How an attack is called on screen: "badnets_corner" is "BadNets patch, corner"."""
    known = next((one for one in sorted(TITLES, key=len, reverse=True) if name.startswith(one)), "")
    rest = name.removeprefix(known).strip("_").replace("_", " ")
    return ", ".join(filter(None, [TITLES.get(known, ""), rest]))


def _past(row: DetectionRow) -> bool:
    """Whether it stamps so many of the target's own pairs that it is another kind of attack."""
    return row.rate >= PAST_CONCEPT.get(row.attack, math.inf)


def _reading(figure: str, rows: Sequence[DetectionRow]) -> None:
    if figure.startswith("Recall"):
        share = figure.removeprefix("Recall in the top ")
        said = (
            f"Of every 100 poisoned pairs, so many lie among the {share} of all pairs that score "
            "highest: what a reviewer finds who looks at these. No more than fit: where 3 % are "
            "poisoned, the top 1 % holds a third of them at most."
        )
    elif figure == "AUROC":
        said = (
            "How often a poisoned pair scores above a clean one: 1 always, .5 by chance. High values "
            "can still mean few finds, because clean pairs are so many."
        )
    else:
        said = "Precision averaged over the ranking; by chance it equals the poison rate."
    marked = (
        "† Here a good part or most of the target's own pairs are stamped: the poison is the concept, "
        "not a rare few in it, and no density can set it apart. "
        if any(map(_past, rows))
        else ""
    )
    st.markdown(
        f"{said} {marked}Each row is an attack at a poison rate, each value the mean over its seeds. The "
        f"darker a cell, the more is found. A row marked *{NOT_WORKING}* has an ASR (or PSR) under "
        "80 %, so it is no working attack: the model hardly learned it, and a low value there is no failure "
        "of the detector."
    )


def styled(rows: Sequence[DetectionRow], figure: str) -> Any:
    """A pandas Styler: a line per attack and rate, a column per detector, cells shaded by value."""
    import pandas as pd

    detectors = sorted({row.detector for row in rows}, key=_rank)
    places = sorted({(_order(row.attack), row.attack, row.rate) for row in rows})
    found = {(row.attack, row.rate, row.detector): row for row in rows}
    lines, working = [], []
    for _, attack, rate in places:
        several = [found[attack, rate, one] for one in detectors if (attack, rate, one) in found]
        line: dict[str, Any] = _about(several[0])
        for one in detectors:
            row = found.get((attack, rate, one))
            line[detector_title(one)] = math.nan if row is None else float(getattr(row, figure))
        lines.append(line)
        working.append(several[0].working)
    frame = pd.DataFrame(lines)
    shown = [detector_title(one) for one in detectors]
    css = pd.DataFrame("", index=frame.index, columns=frame.columns)
    for at, works in enumerate(working):
        for name in frame.columns:
            shade = name in shown and works
            css.loc[at, name] = shaded(frame.loc[at, name]) if shade else _faint(works)
    form = "{:.3f}" if figure in ("auroc", "average_precision") else "{:.0%}"
    return frame.style.apply(lambda _: css, axis=None).format(
        dict.fromkeys(shown, form), na_rep="–"
    )


def _about(row: DetectionRow) -> dict[str, str]:
    what = "PSR " if row.attack == "tdpa" else ""
    spread = "" if row.asr_sd is None or row.seeds < 2 else f" ± {100 * row.asr_sd:.0f}"
    said = f"{what}{100 * row.asr_or_psr:.0f}{spread} %"
    return dict(zip(FIXED, (
        attack_title(row.attack) + (" †" if _past(row) else ""), f"{row.rate:.2%} ({row.poisons:,})",
        said if row.working else f"{said}, {NOT_WORKING}", f"{row.ca:.0%}",
    ), strict=True))  # fmt: skip


def _widths(rows: Sequence[DetectionRow]) -> dict[str, Any]:
    """Narrow columns under short names."""
    made = {name: st.column_config.Column(width=pixels) for name, pixels in FIXED.items()}
    for name in dict.fromkeys(row.detector for row in rows):
        title = detector_title(name)
        made[title] = st.column_config.Column(SHORT.get(name, title), width=DETECTOR_PX, help=title)
    return made


def _order(attack: str) -> int:
    """Attacks in the order of the lab's own list, unknown ones last."""
    names = [name for name in TITLES if attack.startswith(name)]
    return list(TITLES).index(max(names, key=len)) if names else len(TITLES)


def shaded(value: float) -> str:
    """CSS of a cell: colour by value in [0, 1], with text that reads on it."""
    if math.isnan(value):
        return ""
    mixed = [round(low + (high - low) * value) for low, high in zip(LOW, HIGH, strict=True)]
    ink = "#ffffff" if value > 0.83 else "#000000"
    return f"background-color: rgb({mixed[0]}, {mixed[1]}, {mixed[2]}); color: {ink}"


def _faint(works: bool) -> str:
    return "" if works else "color: #6f7b84"


def _made(table: DetectionTable) -> None:
    seeds = {row.seeds for row in table.rows}
    versions = ", ".join(f"{name} {version}" for name, version in table.versions.items())
    many = f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}"
    st.text(
        f"Last measured {table.made}, n = {many} seeds a row, ± one standard deviation. {versions}"
    )
    st.code(table.command, language="bash", wrap_lines=True)
