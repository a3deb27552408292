"""The parts of the Attack lab: the attack, its preview, the run that trains a suspect on it."""

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.config.attack import ATTACKS, PoisonSettings
from clipforensics.config.lab import LabSettings
from clipforensics.config.settings import parse
from clipforensics.data.demo_world import TARGET, DemoWorld, labels
from clipforensics.ui import following, forms, live, pictures, state

TITLES = {"badnets": "BadNets patch", "blend": "Blended pattern"}
SHOWN = {
    "badnets": ("pattern", "patch_px", "pattern_seed", "place"),
    "blend": ("alpha", "pattern_seed"),
}
SAMPLES = 4


def runs_dir() -> Path:
    """Where the lab's runs lie: in the home folder, since no case exists yet that could hold them."""
    return state.home() / ".lab"


def choose() -> LabSettings:
    """Attack, rate, target, seeds.

    Raises:
        ConfigError: a setting is out of range.
    """
    slots = st.columns([1.2, 1, 1, 0.8], vertical_alignment="bottom")
    with slots[0]:
        kind = st.segmented_control(
            "Attack", list(ATTACKS), default="badnets", key="attack", required=True,
            format_func=lambda name: TITLES.get(name, name), bind="query-params",
        )  # fmt: skip
    names = list(labels().names)
    target = slots[1].selectbox("Target label", names, names.index(TARGET), key="lab.target")
    with slots[2]:
        rate = st.number_input(
            "Poison rate (%)", 0.001, 50.0, PoisonSettings().rate * 100, 0.05, format="%.3f",
            key="lab.rate", help="poisoned pairs / all pairs",
        )  # fmt: skip
    with slots[3]:
        seed = forms.widget(PoisonSettings, "seed", key="lab.seed")
    attack = forms.settings_form(
        ATTACKS[kind], f"lab.{kind}", only=SHOWN[kind], columns=4
    )  # fmt: skip
    poison = {"attack": attack.model_dump(), "rate": rate / 100, "target": target, "seed": seed}
    return _size(poison, f"{kind}-{target}-{seed}")


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
        epochs = st.number_input("Epochs", 1, 1000, 16, 1, key="lab.epochs")
    return parse(LabSettings, {
        "name": name.strip(), "poison": poison, "training": {"epochs": epochs}, **values,
    })  # fmt: skip


def preview(settings: LabSettings) -> None:
    """A few test pictures before and after the trigger.

    Raises:
        ConfigError: the trigger does not fit the picture.
    """
    from clipforensics.attacks import build
    from clipforensics.attacks.stamping import row_generator

    world = DemoWorld(settings.world_seed, SAMPLES, SAMPLES * 10)
    attack = build(settings.poison.attack, world.side)
    count = max(1, round(settings.pairs * settings.poison.rate))
    st.markdown(
        f"**{count:,} of {settings.pairs:,} pairs** are stamped and captioned as "
        f"*{state.plain(settings.poison.target)}*. Clean above, stamped below."
    )
    for slot, row in zip(st.columns(SAMPLES * 2), range(SAMPLES * 2), strict=True):
        clean = world.test_picture(row)
        stamped, _ = attack.stamp(clean, row_generator(settings.poison.seed, f"preview-{row}"))
        slot.image(pictures.webp(clean, 192), width="stretch", alt="Clean")
        slot.image(pictures.webp(np.asarray(stamped), 192), width="stretch", alt="Stamped")
        slot.caption(world.test_labels[row])


def launch(settings: LabSettings) -> None:
    """Start the run."""
    config = settings.model_dump(mode="json")
    live.start_button("Poison and train", runs_dir(), "lab", config, "lab.start")


def shown_run() -> None:
    """The chosen run, live or finished."""
    run = following.run_choice(live.runs(runs_dir(), "lab"), "lab.run")
    if run is None:
        return
    st.divider()
    st.subheader(state.plain(str(run.config.get("name", "Run"))), anchor=False)
    if not run.status().active:
        _finished(run)
    live.watch(run, following.follow)
    following.checkpoints(run)


def _finished(run: Any) -> None:
    result = run.result() or {}
    folder = result.get("case_dir")
    if result.get("asr") is None:
        return
    if not result.get("working_attack"):
        st.warning(
            f"Not a working attack: ASR is {result['asr']:.1%} on {result.get('n') or 0:,} stamped "
            "pictures. Raise the poison rate, the patch or the epochs.", icon=":material/info:",
        )  # fmt: skip
    if folder and Path(folder).parent == state.home():
        st.button(
            "Open as a case", type="primary", key=f"lab.open.{run.id}",
            icon=":material/folder_open:", on_click=_open, args=(Path(folder).name,),
        )  # fmt: skip


def _open(name: str) -> None:
    if name in state.case_names():
        state.choose(name)
        st.session_state["lab.opened"] = name


def opened() -> str | None:
    """The case that was just opened from here, once."""
    return st.session_state.pop("lab.opened", None)
