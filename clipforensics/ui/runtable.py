"""The tables that repair runs are compared in: what each is, what it did, on how many pictures."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from clipforensics.config.repair import RECIPE_SETTINGS, RETRAIN
from clipforensics.ui import live

SHARES = (
    "ASR", "CA", "ASR was", "CA was", "PSR", "PSR was", "ASR, found 1", "ASR, found 2", "ASR, found 3"
)  # fmt: skip
GROUPS = {
    False: "Fine-tunes the suspect, on clean pairs", True: "Trains anew, on the suspect pairs"
}  # fmt: skip
"""By whether a recipe trains anew: two tables, since they are not one ranking."""


def tables(named: Sequence[tuple[str, Any]]) -> None:
    """The finished runs, those that fine-tune apart from those that train anew.

    Args:
        named: what a run is called, and the run.
    """
    ended = [(name, run.config, run.result() or {}) for name, run in named]
    ended = [one for one in ended if one[2].get("ca_after") is not None]
    for anew, title in GROUPS.items():
        rows = [row(*one) for one in ended if (one[1].get("recipe") in RETRAIN) == anew]
        if rows:
            st.markdown(f"**{title}**")
            st.dataframe(rows, hide_index=True, width="stretch", column_config=_columns())
    if any(result.get("r1_after") is not None for _, _, result in ended):
        st.caption(
            "R@1 is told as a change: each run holds out pairs of its own for it, and its level says as much "
            "about these pairs as about the model."
        )


def _columns() -> dict[str, Any]:
    """Figures as numbers, so that a click on a heading sorts them, and as narrow as they can be."""
    number = st.column_config.NumberColumn
    return {
        "Run": st.column_config.TextColumn(width=226),
        "Settings": st.column_config.TextColumn(width=130),
        **{
            name: number(format="%.2f %%", width=98 if "found" in name else 74) for name in SHARES
        },
        **{f"{name}, 95 %": st.column_config.TextColumn(width=104) for name in ("ASR", "CA", "PSR")},
        **{f"n {name}": number(format="localized", width=62) for name in ("ASR", "CA", "PSR")},
        "R@1 change": number(format="%+.2f", width=88, help="Percentage points, on the run's own held-out pairs"),
        "Steps": number(format="localized", width=62),
        "Epochs": number(
            format="%.1f", width=66,
            help="The run's time as plain CLIP epochs over the same pairs. An epoch is timed once, after the "
            "run: where the machine was busier then, or less, this is off.",
        ),
    }  # fmt: skip


def row(name: str, config: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """One finished run as a line of its table: what it is first, since the last columns may be out of sight."""
    seconds, cost = result.get("seconds"), result.get("cost_in_plain_epochs")
    said = _changed(config)
    if result.get("stopped"):
        said.insert(0, f"stopped at {result.get('steps') or 0:,} of {result.get('total') or 0:,}")
    return {
        "Run": name, "Settings": ", ".join(said) or "quick preset",
        **_rate("ASR", result, "asr", result.get("n_asr")),
        **_rate("CA", result, "ca", result.get("n_ca")),
        **{f"ASR, {other}": _percent(figures["asr"]) for other, figures in _others(result).items()},
        **_targeted(result),
        "ASR was": _percent(result.get("asr_before")), "CA was": _percent(result.get("ca_before")),
        "R@1 change": _change(result.get("r1_before"), result.get("r1_after")),
        "Steps": result.get("steps"), "Time": live.span(seconds) if seconds else "", "Epochs": cost,
    }  # fmt: skip


def _rate(title: str, result: dict[str, Any], field: str, n: int | None) -> dict[str, Any]:
    """A share after the run, its interval and its n."""
    low, high = result.get(f"{field}_low_after"), result.get(f"{field}_high_after")
    return {
        title: _percent(result.get(f"{field}_after")),
        f"{title}, 95 %": f"{low:.1%} to {high:.1%}"
        if low is not None and high is not None
        else "",
        f"n {title}": n,
    }


def _targeted(result: dict[str, Any]) -> dict[str, Any]:
    """The share of poisoned pictures taken for the target, where pictures and no trigger are poisoned."""
    if result.get("psr_after") is None:
        return {}
    was = {"PSR was": _percent(result.get("psr_before"))}
    return _rate("PSR", result, "psr", result.get("n_psr_after")) | was


def _others(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The triggers after the first, which the column ASR tells of."""
    return dict(list((result.get("triggers_after") or {}).items())[1:])


def _change(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else 100 * (after - before)


def _changed(config: dict[str, Any]) -> list[str]:
    """Preset and settings that depart from the quick one, as the form calls them."""
    fields = RECIPE_SETTINGS[config["recipe"]].model_fields if config.get("recipe") else {}
    said = [f"{config.get('preset')} preset"] if config.get("preset") != "quick" else []
    for name, value in (config.get("changes") or {}).items():
        title = (fields[name].title if name in fields else None) or name
        said.append(f"{title} {f'({len(value):,})' if isinstance(value, list) else value}")
    return said


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
