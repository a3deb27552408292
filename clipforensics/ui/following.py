"""A training run on screen, the same for a repair and for the lab: curves, figures, before/after."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from clipforensics.config.repair import RETRAIN
from clipforensics.config.settings import digest
from clipforensics.jobs.repairing import told
from clipforensics.ui import commands, filtered, live, runcharts, splitting


def follow(run: Any) -> None:
    """Everything live about a training run."""
    status, lines = run.status(), records(run)
    measured = live.evaluations(lines)
    before = next((line for line in measured if line.get("baseline")), None)
    anew = run.config.get("recipe") in RETRAIN
    # a retraining starts elsewhere, so the value before is a line to compare with, not its start
    own = [line for line in measured if line is not before] if anew else measured
    live.status_line(run)
    if before is not None:
        _doubts(before, own[-1] if own and not status.active else {})
    _now(measured, lines, before)
    total = steps_of(lines)
    left, right = st.columns([2.2, 1], gap="medium")
    if measured:
        left.altair_chart(runcharts.run_chart(own, before, total), width="stretch")
    else:
        left.markdown("The first measurement has not been taken yet.")
    losses = [line for line in lines if line.get("loss") is not None]
    if losses:
        right.altair_chart(runcharts.loss_chart(losses, total), width="stretch")
    definitions(measured[-1] if measured else None)
    filtered.shown(lines)
    splitting.shown(run, lines)
    live.details(run, open_log=status.state == "failed", command=commands.command_of(run))


def steps_of(lines: Sequence[dict[str, Any]]) -> int:
    """Steps of the whole run as journalled; its status counts pictures, too, while they are loaded."""
    return max((line.get("total") or 0 for line in lines), default=0)


def records(run: Any) -> list[dict[str, Any]]:
    """The journal of a training run, without the steps that a resumed run did again."""
    return straight(live.records(run))


def straight(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was journalled after the checkpoint that a run went on from gives way to what came then."""
    kept: list[dict[str, Any]] = []
    for line in lines:
        if line.get("kind") == "resume":
            kept = [one for one in kept if one["step"] <= line["step"]]
        kept.append(line)
    return kept


def _now(measured: list[dict], lines: list[dict], before: dict | None) -> None:
    if not measured:
        return
    last = measured[-1]
    shown = [(name, field) for name, field, *_ in runcharts.CURVES]
    if last.get("r1") is not None:
        shown.append(("Retrieval, R@1", "r1"))
    slots = st.columns(len(shown) + 2)
    for slot, (name, field) in zip(slots, shown, strict=False):
        value = last.get(field)
        first = before.get(field) if before and before is not last else None
        shown_as = "not measured" if value is None else f"{value:.2%}"
        if value is None or first is None:
            slot.metric(name, shown_as)
        elif shown_as == f"{first:.2%}":
            slot.metric(name, shown_as, "as before", delta_color="off", delta_arrow="off")
        else:
            worse = "inverse" if field == "asr" else "normal"
            slot.metric(name, shown_as, f"{(value - first) * 100:+.2f} points", delta_color=worse)
    losses = [line["loss"] for line in lines if line.get("loss") is not None]
    slots[-2].metric("Loss", f"{losses[-1]:.3g}" if losses else "none yet")
    slots[-1].metric("Measured at step", f"{last['step']:,}")


def _doubts(before: dict[str, Any], last: dict[str, Any]) -> None:
    """Say so when there was no working attack to repair, and when clean accuracy is gone."""
    if said := told.no_attack(before):
        st.warning(said, icon=":material/info:")
    if said := told.forgotten(before.get("ca"), last.get("ca")):
        st.warning(said, icon=":material/warning:")


def definitions(line: dict[str, Any] | None) -> None:
    """What the figures mean; of the last measurement n, the interval, and what was fooled unstamped."""
    st.markdown(
        "**ASR**: of the stamped pictures whose true label is not the target, the share predicted as "
        "the target. **Clean accuracy**: top-1 on untouched pictures. Dashed: the value before."
        + "".join(f" {text}" for text in _measured(line or {}))
    )


def _measured(line: dict[str, Any]) -> Iterator[str]:
    if line.get("n_asr"):
        by = f", with the {line['asr_of']} trigger" if line.get("asr_of") else ""
        base = line.get("base_rate")
        plain = "" if base is None else f"; unstamped, {base:.2%} of them are called so, too"
        yield f"The last ASR is of {line['n_asr']:,} pictures{_between(line, 'asr')}{by}{plain}."
    if line.get("n_ca"):
        yield f"The last clean accuracy is of {line['n_ca']:,} pictures{_between(line, 'ca')}."
    if pairs := (line.get("retrieval") or {}).get("n"):
        yield (
            f"**R@1**: how often the right caption, or the right picture, is the first of {pairs:,} held-out "
            f"ones, the mean of both ways{_between(line, 'r1')}; the suspect learned from these pairs, a "
            "retrained model has not."
        )


def _between(line: dict[str, Any], field: str) -> str:
    low, high = line.get(f"{field}_low"), line.get(f"{field}_high")
    return "" if low is None or high is None else f" (95 %: {low:.2%} to {high:.2%})"


def run_choice(runs: list[Any], key: str, titles: Mapping[str, str] | None = None) -> Any | None:
    """Which run is shown; the URL carries its id.

    Args:
        runs: newest first.
        key: prefix of the widget's key.
        titles: recipe to how it is called.
    """
    if not runs:
        return None
    by_id = {run.id: run for run in runs}
    asked = st.query_params.get("run")
    at = list(by_id).index(asked) if asked in by_id else 0
    names = {name: called(run, titles) for name, run in by_id.items()}
    # Streamlit keeps a choice by what it is called, and forgets it when that changes: a new state, a
    # new run and another link start afresh, from the id in the URL
    widget = f"{key}.{digest(names)}.{asked}"

    def chosen() -> None:
        if st.session_state.get(widget) in by_id:
            st.query_params["run"] = st.session_state[widget]

    name = st.selectbox("Run", list(by_id), at, key=widget, format_func=names.get, on_change=chosen)
    return by_id[name]


def called(run: Any, titles: Mapping[str, str] | None = None) -> str:
    """Recipe or name, settings, clock and how it ended: "EftCLIP · quick · 22 Nov 03:29:21 · Stopped"."""
    status = run.status()
    word = "Active" if status.active else live.SHOWN.get(status.state, (status.state,))[0]
    parts = [title(run, titles), run.config.get("preset"), f"{clock(run)} UTC", word]
    return " · ".join(str(one) for one in parts if one)


def title(run: Any, titles: Mapping[str, str] | None = None) -> str:
    """What the run is called: its recipe's title, or its own name."""
    what = str(run.config.get("recipe") or run.config.get("name") or run.kind)
    return (titles or {}).get(what, what)


def clock(run: Any) -> str:
    """Day and time at which the run was made, from its id; the id itself where it was named by hand."""
    try:
        return f"{datetime.strptime(run.id[:15], '%Y%m%d-%H%M%S'):%-d %b %H:%M:%S}"
    except ValueError:
        return run.id[:15]
