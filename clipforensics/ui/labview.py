"""The parts of the Attack lab: the attack, its settings, the run that trains a suspect on it."""

from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.config.attack import (
    ATTACKS,
    AttackSettings,
    MultiTargetSettings,
    PoisonSettings,
    SeveralSettings,
    TargetedSettings,
)
from clipforensics.config.lab import LabSettings
from clipforensics.config.settings import parse
from clipforensics.config.train import TrainSettings
from clipforensics.data.demo_case import DEMO_MODEL
from clipforensics.data.demo_world import TARGET, labels
from clipforensics.errors import ConfigError
from clipforensics.ui import checkpoints, following, forms, live, state
from clipforensics.ui.labpreview import TITLES

MOST_POISON = 0.5


def runs_dir() -> Path:
    """Where the lab's runs lie: in the home folder, since no case exists yet that could hold them."""
    return state.home() / ".lab"


def choose() -> LabSettings:
    """Attack, rate, target, seeds.

    Raises:
        ConfigError: a setting is out of range.
    """
    forms.link_by_id("attack", TITLES)
    kind = st.segmented_control(
        "Attack", list(ATTACKS), default="badnets", key="attack", required=True,
        format_func=lambda name: TITLES.get(name, name), bind="query-params",
    )  # fmt: skip
    place = st.container()  # what the targets are hangs on the attack's settings
    slots = st.columns(3)
    with slots[0]:
        rate = st.number_input(
            "Poison rate (%)", None, None, PoisonSettings().rate * 100, 0.05, format="%.3f",
            key="lab.rate", help="poisoned pairs / all pairs",
        )  # fmt: skip
    with slots[1]:
        captions = forms.widget(PoisonSettings, "captions", key="lab.captions")
    with slots[2]:
        seed = forms.widget(PoisonSettings, "seed", key="lab.seed")
    if rate > MOST_POISON * 100:
        raise ConfigError(
            f"A poison rate of {rate:g} % is no poisoning of a few pairs: the lab takes at most "
            f"{MOST_POISON:.0%}."
        )
    attack = _attack(kind)
    drawn = isinstance(attack, TargetedSettings) and attack.wrong_label == "drawn"
    with place:
        targets = (TARGET,) if drawn else _targets(kind)
    poison = {
        "attack": attack.model_dump(), "rate": rate / 100, "target": targets[0],
        "more_targets": targets[1:], "captions": captions, "seed": seed,
    }  # fmt: skip
    return _size(poison, f"{kind}-{seed}" if drawn else f"{kind}-{targets[0]}-{seed}")


def _targets(kind: str) -> tuple[str, ...]:
    """One target label, or one for each trigger."""
    names = list(labels().names)
    if ATTACKS[kind] is not MultiTargetSettings:
        return (st.selectbox("Target label", names, names.index(TARGET), key="lab.target"),)
    triggers = MultiTargetSettings().triggers
    first = names.index(TARGET)
    return tuple(
        slot.selectbox(
            f"Target of {TITLES[trigger.kind]}", names, (first + at) % len(names),
            key="lab.target" if at == 0 else f"lab.target.{at}",
        )
        for at, (slot, trigger) in enumerate(
            zip(st.columns(len(triggers)), triggers, strict=True)
        )
    )  # fmt: skip


def _attack(kind: str) -> AttackSettings:
    """The attack's own settings; with several triggers a form for each."""
    settings = ATTACKS[kind]
    if not issubclass(settings, SeveralSettings):
        return _form(settings, f"lab.{kind}")
    triggers = settings().triggers
    made = []
    for trigger in triggers:
        st.markdown(f"**{TITLES[trigger.kind]}**")
        made.append(_form(type(trigger), f"lab.{kind}.{trigger.kind}"))
    return parse(settings, {"triggers": [one.model_dump() for one in made]})


def _form(settings: Any, key: str) -> Any:
    names = [name for name in settings.model_fields if name != "kind"]
    return forms.settings_form(settings, key, only=names, columns=4)


def _size(poison: dict[str, Any], suggested: str) -> LabSettings:
    """The name of the new case, how much data, how long."""
    slots = st.columns(4)
    with slots[0]:
        name = st.text_input("Case name", suggested, key=f"lab.name.{suggested}", max_chars=80)
    values: dict[str, Any] = {}
    for slot, field in zip(slots[1:], ("pairs", "test_pictures"), strict=False):
        with slot:
            values[field] = forms.widget(LabSettings, field, key=f"lab.{field}")
    with slots[3]:
        epochs = forms.widget(TrainSettings, "epochs", key="lab.epochs", start=16)
    return parse(LabSettings, {
        "name": name.strip(), "poison": poison, "training": {"epochs": epochs}, **values,
    })  # fmt: skip


def launch(settings: LabSettings) -> None:
    """Start the run."""
    config = settings.model_dump(mode="json")
    live.start_button("Poison and train", runs_dir(), "lab", config, "lab.start")


def shown_run() -> None:
    """The chosen run, live or finished."""
    runs = live.runs(runs_dir(), "lab")
    if not runs:
        return
    st.divider()
    run = following.run_choice(runs, "lab.run")
    assert run is not None  # there are some
    status = run.status()
    if status.state in ("failed", "cancelled"):
        checkpoints.resume(run)
    if not status.active:
        _finished(run)
    live.watch(run, following.follow)
    if not status.active:
        checkpoints.choice(run, str(DEMO_MODEL))


def _finished(run: Any) -> None:
    result = run.result() or {}
    folder = result.get("case_dir")
    name, what = ("asr", "stamped") if result.get("asr") is not None else ("psr", "target")
    if result.get(name) is None or result.get("stopped"):  # what is half trained tells nothing
        return
    if not result.get("working_attack"):
        st.warning(
            f"Not a working attack: {name.upper()} is {result[name]:.1%} on {result.get('n') or 0:,} "
            f"{what} pictures. Raise the poison rate, the trigger's strength or the epochs.",
            icon=":material/info:",
        )  # fmt: skip
    elif name == "psr":
        st.markdown(
            f"{result['psr']:.1%} of {result.get('n') or 0:,} target pictures got their wrong label (PSR)."
        )
    _by_trigger(result)
    if folder and Path(folder).parent == state.home():
        st.button(
            "Open as a case", type="primary", key=f"lab.open.{run.id}",
            icon=":material/folder_open:", on_click=_open, args=(Path(folder).name,),
        )  # fmt: skip


def _by_trigger(result: dict[str, Any]) -> None:
    """Each trigger's own ASR, where there are several."""
    parts = ((result.get("triggers") or {}).get("planted") or {}).get("by_trigger") or {}
    rows = [
        {
            "Trigger": TITLES.get(kind, kind), "Target": one["target"], "ASR": f"{one['asr']:.1%}",
            "95 %": f"{one['asr_low']:.1%} to {one['asr_high']:.1%}", "n": f"{one['n_asr']:,}",
        }
        for kind, one in parts.items()
    ]  # fmt: skip
    if rows:
        st.dataframe(rows, hide_index=True, width="stretch")


def _open(name: str) -> None:
    if name in state.case_names():
        state.choose(name)
        st.session_state["lab.opened"] = name


def opened() -> str | None:
    """The case that was just opened from here, once."""
    return st.session_state.pop("lab.opened", None)
