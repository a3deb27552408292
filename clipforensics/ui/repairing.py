"""The parts of the Repair page: the recipe, what it learns from, its run."""

from typing import Any

import streamlit as st

from clipforensics.config.repair import (
    PRESETS,
    RECIPE_SETTINGS,
    RETRAIN,
    RepairSettings,
)
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError
from clipforensics.jobs.repairing import told
from clipforensics.jobs.runs.run_folder import NOT_FINITE
from clipforensics.ui import (
    adopting,
    checkpoints,
    commands,
    comparing,
    composing,
    following,
    forms,
    hunted,
    leftout,
    live,
    pictures,
    shell,
)

RECIPES = {
    "eftclip": "EftCLIP", "safeclip": "SafeCLIP", "cleanclip": "CleanCLIP", "roclip": "RoCLIP",
    "filter": "Filter, then retrain", "finetune": "Plain fine-tuning",
}  # fmt: skip
WHAT = {
    "eftclip": "Fine-tunes the suspect on a few clean pairs, some stamped with the triggers that were "
    "found: a stamped picture is to be seen like the clean one.",
    "safeclip": "SafeCLIP (Yang et al., ICML 2024): trains anew on all pairs, from random weights or the "
    "trusted model, and trusts only pairs whose picture and caption agree. Needs no trigger.",
    "cleanclip": "CleanCLIP (ICCV 2023): fine-tunes on the same clean pairs, nothing stamped, and also "
    "teaches each picture and caption to agree with its own augmented view.",
    "roclip": "RoCLIP (NeurIPS 2023): trains anew on all pairs; in every second epoch a picture meets the "
    "nearest caption of a random pool instead of its own.",
    "filter": "Drops the pairs that score highest and trains anew on the rest. Dropping as many at "
    "random is its control.",
    "finetune": "The control: plain fine-tuning on the same clean pairs, nothing stamped.",
}
USES_HUNT = {
    True: "Its triggers are measured before and after.",
    False: "Its triggers are what is healed and measured, and the pairs it names are left out.",
}
"""What a recipe uses the newest hunt for, by whether it trains anew."""
SHOWN = {
    "eftclip": (
        "pairs", "target_share", "stamped_share", "batch", "steps", "rate", "anchor_weight", "clip_weight",
        "size_low", "size_high", "evaluate_every", "seed", "hold_norms",
    ),
    "finetune": ("steps", "pairs", "target_share", "batch", "rate", "evaluate_every", "seed"),
    "cleanclip": ("steps", "pairs", "target_share", "batch", "rate", "in_modal_weight", "views", "evaluate_every", "seed"),
    "roclip": ("start", "epochs", "batch", "rate", "pool", "pool_every", "evaluate_every", "seed"),
    "filter": (
        "start", "drop_share", "detector", "epochs", "batch", "rate", "evaluate_every", "seed", "at_random",
    ),
    "safeclip": (
        "start", "unimodal_epochs", "main_epochs", "batch", "rate", "first_share", "growth", "cap", "pool",
        "evaluate_every", "seed",
    ),
}  # fmt: skip


STARTS = {
    **{name: f"Start {title}" for name, title in RECIPES.items()},
    "filter": "Start filter and retraining", "finetune": "Start plain fine-tuning",
}  # fmt: skip
TRIGGERS_SHOWN = 12


def choose(case: Any) -> RepairSettings | None:
    """Recipe, preset, and what departs from the preset, with what was left out of the curated set.

    Returns:
        None where a setting is out of range, with the reason on screen.
    """
    forms.link_by_id("recipe", RECIPES)
    recipe = st.segmented_control(
        "Recipe", list(RECIPES), default="eftclip", key="recipe", required=True,
        format_func=lambda name: RECIPES[name], bind="query-params",
    )  # fmt: skip
    st.markdown(WHAT[recipe])
    preset = st.segmented_control(
        "Preset", list(PRESETS[recipe]), default="quick", required=True, key="repair.preset",
        help="quick: minutes on two cores, on the demo. paper: the published settings.",
    )  # fmt: skip
    try:
        changes = _changes(recipe, preset)
    except ConfigError as problem:
        shell.complain(problem)
        return None
    if recipe not in RETRAIN:
        changes |= leftout.left_out(case)
    return parse(RepairSettings, {"recipe": recipe, "preset": preset, "changes": changes})


def _changes(recipe: str, preset: str) -> dict[str, Any]:
    """The fields that differ from the preset."""
    kind, values = RECIPE_SETTINGS[recipe], PRESETS[recipe][preset]
    with st.expander("Settings", icon=":material/tune:"):
        chosen = forms.settings_form(
            kind, f"repair.{recipe}.{preset}", only=SHOWN[recipe], values=values, columns=4,
            choices={"start": ["random", "trusted"]},  # the suspect would be refused
        )  # fmt: skip
    plain = parse(kind, values)
    return {
        name: value for name, value in chosen.model_dump(mode="json").items()
        if value != plain.model_dump(mode="json")[name]
    }  # fmt: skip


def ingredients(case: Any, repair: RepairSettings) -> bool:
    """What the recipe will learn from; False when it must not start, with the reason on screen."""
    from clipforensics.jobs.hunting.triggers import latest_hunt
    from clipforensics.jobs.repairing.checking import beyond_fair, check_may_start
    from clipforensics.jobs.repairing.curating import affected_labels_of, triggers_to_heal

    hunted.warn(case, USES_HUNT[repair.recipe in RETRAIN])
    triggers = triggers_to_heal(case)
    untriggered = repair.recipe == "eftclip" and not triggers
    if untriggered and case.settings.parent is not None and latest_hunt(case) is not None:
        st.info(
            "The newest hunt over this repaired model leaves EftCLIP no trigger to heal. That does not prove "
            "that there is none.", icon=":material/info:",
        )  # fmt: skip
        return False
    try:
        check_may_start(case, repair)
    except ConfigError as problem:
        if untriggered and case.settings.parent is not None:
            st.info(
                "This repaired model has not been searched for triggers. EftCLIP heals what a hunt finds in it.",
                icon=":material/info:",
            )
        else:
            shell.complain(problem)
        if untriggered:
            shell.go_to("triggers", "Hunt for triggers", icon=":material/center_focus_strong:")
        return False
    if repair.recipe in RETRAIN:
        return True
    if said := beyond_fair(case, repair):
        st.warning(said, icon=":material/balance:")
    if triggers:
        _triggers(triggers, affected_labels_of(case, triggers), repair.recipe == "eftclip")
    return composing.composition(case, repair)


def _triggers(triggers: list[Any], affected: list[str], heals: bool) -> None:
    """The triggers and the labels they pull to; the rivals of EftCLIP are measured by them alone."""
    many = _how_many(triggers)
    with st.container(horizontal=True, vertical_alignment="center"):
        for trigger in triggers[:TRIGGERS_SHOWN]:
            st.image(pictures.webp(trigger.pixels, 96), width=48, alt=f"Trigger {trigger.label}")
        if heals:
            st.markdown(f"**Heals {many}**", width="content")
        else:
            st.markdown(f"**Measured with {many}**, which the recipe never sees", width="content")
        st.text(f"Affected labels: {', '.join(affected) or 'none'}")


def _how_many(triggers: list[Any]) -> str:
    picked = sum(one.figures.status != "verified" for one in triggers)
    s = "s" * (len(triggers) > 1)
    if not picked:
        return f"{len(triggers)} verified trigger{s}"
    return f"{len(triggers)} trigger{s}, {picked} of them picked by a reviewer and not verified"


def launch(case: Any, repair: RepairSettings) -> None:
    """What it will cost, the exact command, Start, and the run that is active."""
    _cost(case, repair)
    st.code(commands.repair_command(case.dir, repair), language="bash", wrap_lines=True)
    config = repair.model_dump(mode="json")
    with st.container(horizontal=True, vertical_alignment="center"):
        live.start_button(STARTS[repair.recipe], case.dir, "repair", config, "repair.start")
        _active(case)


def _active(case: Any) -> None:
    """How far the active run is, beside Start: what is below it may be out of sight."""
    busy = [run for run in live.runs(case.dir, "repair") if run.status().active]
    if not busy:
        return

    @st.fragment(run_every=live.EVERY)
    def line() -> None:
        status = busy[0].status()
        if not status.active:
            st.rerun(scope="app")
        word, far = live.SHOWN[status.state][0].lower(), live.progress(status)
        said = f"{following.title(busy[0], RECIPES)} is {word}"
        said += f", {status.message}" if status.message else ""
        st.text(said + (f": {far}." if far != live.STARTING else "."))

    line()


def _cost(case: Any, repair: RepairSettings) -> None:
    """Work in plain CLIP epochs, and time where it is known; timing a few steps is a click."""
    from clipforensics.jobs.repairing import estimating, measuring
    from clipforensics.jobs.repairing.curating import triggers_to_heal

    tests = measuring.most_tested(case, repair.test_pictures)
    found = estimating.estimate(
        repair, len(case.pairs), tests, len(triggers_to_heal(case)),
        measuring.most_held_out(case, repair.test_pictures, repair.retrieval_pairs),
    )  # fmt: skip
    times = "once, at the end" if found.rounds == 1 else f"{found.rounds:,} times"
    said = f"{found.steps:,} steps, measured {times}; the work of about {found.epochs:.1f} plain CLIP epochs"
    key = f"repair.epoch_seconds.{case.dir.name}"
    each = st.session_state.get(key) or estimating.seconds_of_plain_epoch(
        live.runs(case.dir, "repair")
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.empty()
        if not each and st.button(
            "Time a few steps", key="repair.time", icon=":material/timer:", type="tertiary",
            help="Trains a copy of the suspect for six steps; nothing is kept.",
        ):  # fmt: skip
            with st.spinner("Timing a few steps…"):
                each = st.session_state[key] = estimating.time_plain_epoch(case, repair.device)
        place.text(
            said
            + (f", about {live.span(found.epochs * each)} at the pace timed here." if each else ".")
        )


def shown_run(case: Any) -> None:
    """The chosen run, live or finished."""
    runs = live.runs(case.dir, "repair")
    if not runs:
        return
    st.divider()
    run = following.run_choice(runs, "repair.run", RECIPES)
    assert run is not None  # there are some
    status = run.status()
    if status.state in ("failed", "cancelled") and status.reason != NOT_FINITE:
        checkpoints.resume(run)
    if status.state in ("succeeded", "cancelled"):
        _finished(run)
    live.watch(run, following.follow)
    if status.state == "failed":  # why comes first; a run that was resumed may have figures, too
        _finished(run)
    if not status.active:
        checkpoints.choice(run, case.settings.model)
        adopting.rescan(case, run)
    comparing.compare(runs, RECIPES)


def _finished(run: Any) -> None:
    result = run.result()
    if not result or result.get("ca_after") is None:
        return
    st.markdown("**Before and after**" + (" (stopped early)" if result.get("stopped") else ""))
    st.dataframe(told.before_and_after(result), hide_index=True, width="stretch")
    said = []
    if result.get("cost_in_plain_epochs"):
        said.append(
            f"cost of {result['cost_in_plain_epochs']:.1f} plain CLIP epochs over the same pairs, timed after it"
        )
    if result.get("seconds"):
        said.append(live.span(result["seconds"]))
    if result.get("hunt_outdated"):
        said.append(f"the hunt it used {result['hunt_outdated']}")
    if result.get("test_of"):
        said.append(f"measured on {result['test_of']}")
    if result.get("checkpoint_sha256"):
        said.append(f"checkpoint SHA-256 {result['checkpoint_sha256'][:16]}")
    st.text(" · ".join(said))
