"""What the outliers have in common, and at which scale they stand out: parts of the Map page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.detect import DETECTOR_TITLES, MANY_SCALES, ReferenceSettings
from clipforensics.ui import (
    evidencecharts,
    gallery,
    hunted,
    picks,
    pictures,
    scanned,
    shell,
    state,
    triggercards,
)

ROWS = 5
SHOWN = 8
GROUPS = 3
APART = {"scales": "density over all scales", "norm": "length", "kdist": "k-distance",
         "dimension": "dimension"}  # fmt: skip
"""What each measure of `detect.apart` is called."""


def suspects(case: Any, note: str | None = None) -> None:
    """Suspected target labels of the latest scan, with their evidence and a pick each.

    `note` says of which scan they are, where the page ranks by another.
    """
    from clipforensics.jobs.scanning import scan

    found = (scan.latest_scan(case) or {}).get("suspects")
    if found is None:
        return
    st.markdown("#### What the outliers have in common")
    if note:
        st.text(note)
    label_table(found["labels"])
    if found["labels"]:
        first = found["labels"][0]
        _pick(case, first["name"])
        show_pairs(case, first["examples"])
    terms = [one["name"] for one in found["terms"]][:ROWS]
    if terms:
        st.text("Words that stand out: " + ", ".join(terms))
    st.text(
        f"{found['tests']:,} tests, corrected together; shown are those of q under "
        f"{found['max_q']:.0%}, ranked by how many times chance they are at least (99.9 %). Labels that "
        "are sparse in kind reach 3 to 4 times in a sound model, too: the leading one is a candidate, "
        "to be confirmed on the Triggers page."
    )


def label_table(labels: list[dict[str, Any]]) -> None:
    """Labels that captions at the top name too often, the first few; or that there is none."""
    if labels:
        st.dataframe([_row(one) for one in labels[:ROWS]], hide_index=True, width="stretch")
    else:
        st.text("No label is named more often among the top-scored pairs than chance allows.")


def _row(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "Suspected target label": one["name"],
        "Found among": f"{one['flagged']:,} of the top {one['top']:,}",
        "By cut": " · ".join(f"{count:,} of {cut}" for cut, count in one["cuts"].items()),
        "Times chance": f"{one['lift']:.1f}",
        "At least": f"{one['lift_low']:.1f}" if "lift_low" in one else "",
        "log10 p": f"{one['log10_p']:.0f}",
        "Ranked by": DETECTOR_TITLES.get(one["detector"], one["detector"]),
    }


def _pick(case: Any, name: str) -> None:
    """A verdict on the leading label, from here."""
    held = case.store.current("label").get(name)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Mark the leading label", width="content")
        picks.pick_button(
            case, "label", name, held, "map.suspect", "named by the outliers", state.plain(name)
        )
        st.markdown("Its highest-scored pairs:", width="content")


def show_pairs(case: Any, names: Sequence[str], notes: Sequence[str] | None = None) -> None:
    """A row of pairs by their ids; ids that are no longer there are left out."""
    rows = [row for name in names[:SHOWN] if (row := scanned.row_of(case, name)) is not None]
    gallery.strip(case, rows, notes or [state.plain(case.pairs.ids[row]) for row in rows])


def regions(case: Any) -> None:
    """The same region in many pictures, as the newest hunt found and pasted it."""
    from clipforensics.jobs.hunting.triggers import latest_hunt

    hunt = latest_hunt(case)
    st.markdown("#### Regions that top-scored pictures share")
    if hunt is None:
        st.text("A hunt cuts regions out of the top-scored pictures and compares them.")
        shell.go_to("triggers", "Hunt on the Triggers page", icon=":material/arrow_forward:")
        return
    hunted.warn(case, "What stands here is its.")
    shared = _shared(hunt)
    if not shared:
        passed = len({one["pair"] for one in hunt.get("sightings", ())})
        st.text(
            f"In {passed:,} of {hunt['inspected']:,} inspected pictures a region changes the suspect's "
            "label on clean pictures, too; none that two pictures share became a verified trigger."
        )
        if passed:
            shell.go_to("triggers", "Why, on the Triggers page", icon=":material/arrow_forward:")
        return
    for seen in shared[:GROUPS]:
        where = len({one["pair"] for one in seen})
        st.markdown(
            f"**{where:,} pictures** hold a region that alone makes the suspect say "
            f"**{state.plain(seen[0]['label'])}** on clean pictures"
        )
        _crops(case, seen)


def _shared(hunt: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Sightings of each verified trigger that two pictures or more hold, most frequent first."""
    by_trigger: dict[int, list[dict[str, Any]]] = {}
    for one in hunt["sightings"] if "sightings" in hunt else ():
        if one["trigger"] is not None and one.get("verified"):
            by_trigger.setdefault(one["trigger"], []).append(one)
    several = [seen for seen in by_trigger.values() if len({one["pair"] for one in seen}) > 1]
    return sorted(several, key=len, reverse=True)


def _crops(case: Any, seen: Sequence[dict[str, Any]]) -> None:
    first = {one["pair"]: one for one in reversed(seen)}
    for slot, one in zip(st.columns(SHOWN), list(first.values())[::-1], strict=False):
        row = scanned.row_of(case, one["pair"])
        if row is None:
            continue
        with slot:
            crop = pictures.cut(triggercards.framed(case, row), one["box"])
            st.image(pictures.webp(crop, 192), width="stretch", alt=f"Region of {one['pair']}")
            st.caption(f"{state.plain(one['pair'])}, flips {one['flip_rate']:.0%}")


def left_out(case: Any, ranking: Any) -> None:
    """Pairs without a score, and why: an unreadable picture, or no direction to compare."""
    lost = len(case.pairs) - len(ranking.order)
    flat = ranking.info.get("without_direction", 0)
    blank = ranking.info.get("without_caption", 0)
    joint = ranking.info.get("detector") == "combined"  # it ranks them without their captions
    if lost:
        said = f"{lost:,} pairs have no score"
        said += f", {flat:,} of them because an embedding is zero" if flat else ""
        said += f", {blank:,} because their caption is blank" if blank and not joint else ""
        st.text(f"{said}. They are in no ranking; the Case page lists unreadable pictures.")
    if blank and joint:
        st.text(f"{blank:,} pairs have a blank caption: they are ranked by their pictures alone.")


def joined(case: Any, row: int, reference: ReferenceSettings) -> None:
    """What density and caption each add to a pair's rank by both."""
    from clipforensics.config.detect import DensitySettings
    from clipforensics.detect.combined import CAP, WEIGHT, Footings, parts, votes
    from clipforensics.jobs.scanning import scan

    asked = DensitySettings(), reference
    disagreement, both = (scan.scores(case, name, *asked) for name in ("clip", "combined"))
    on, rows = Footings.read(both.info["footings"]), np.array([row])
    apart = scan.measures(case, reference)[rows]
    far, odd = (float(one[0]) for one in parts(apart, disagreement.mean[rows], on))
    counts = WEIGHT * max(-CAP, min(odd, CAP))
    most = f", at most {CAP:g} of them: more is as often a mistake" if abs(odd) > CAP else ""
    cut = f" ({WEIGHT:g} for each of {_signed(odd)} deviations{most})"
    st.markdown(
        f"Score **{both.mean[row]:.1f}** = **{far:.1f}** for lying apart from other pictures "
        f"{'+' if counts >= 0 else '−'} **{abs(counts):.1f}** for how ill its caption fits{cut}, "
        "in robust deviations over all pairs."
    )
    said = {name: float(one[0]) for name, one in votes(apart, on).items()}
    each = ", ".join(f"{title} {_signed(said[name])}" for name, title in APART.items())
    where = "above" if far >= 0 else "below"
    st.caption(
        f"Apart by {each}: {_signed(sum(said.values()))} in all, {abs(far):.1f} deviations of that "
        f"sum {where} its median."
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def profile(case: Any, row: int, reference: ReferenceSettings) -> None:
    """At which scale one pair stands out: its z at each, where the scan tried scales."""
    from clipforensics.jobs.scanning import scan

    found = scan.scale_scores(case, reference)
    rows = scan.scored_rows(case)
    place = int(np.searchsorted(rows, row))
    if found is None or place == len(rows) or rows[place] != row:
        return
    z, best, records = found
    here = records[int(best[place])]
    st.markdown(
        f"Stands out most at reference **{here['reference_size']:,}**, k = **{here['k']}**: "
        f"z = {z[int(best[place]), place]:.1f}. There, groups rarer than "
        f"{here['guards_up_to_rate']:.2%} of the pairs stand out."
    )
    left, _ = st.columns([1.2, 1])
    left.altair_chart(evidencecharts.scale_chart(records, np.asarray(z[:, place])), width="stretch")


def scales(case: Any, detector: str, reference: ReferenceSettings, flagged: np.ndarray) -> None:
    """For the ranking over all scales: how many flagged pairs stand out most at each."""
    if detector not in MANY_SCALES:
        return
    from clipforensics.jobs.scanning import scan

    found = scan.scale_scores(case, reference)
    if found is None or not len(flagged):
        return
    _, best, records = found
    place = np.searchsorted(scan.scored_rows(case), flagged)
    counts = np.bincount(best[place], minlength=len(records))
    st.markdown("**Scale at which the flagged pairs stand out**")
    st.dataframe(
        [
            {
                "Reference": f"{one['reference_size']:,}",
                "Neighbours": one["k"],
                "Groups rarer than": f"{one['guards_up_to_rate']:.2%}",
                "Pairs": int(count),
            }
            for one, count in zip(records, counts, strict=True)
            if count
        ],
        hide_index=True, width="stretch",
    )  # fmt: skip
