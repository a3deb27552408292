"""What an attack does to a few pictures: before, after, and the difference amplified."""

import streamlit as st

from clipforensics.attacks.plan import plan_poison, poison_count
from clipforensics.config.attack import PoisonSettings, TargetedSettings
from clipforensics.config.lab import LabSettings
from clipforensics.data.demo_world import DemoWorld, labels
from clipforensics.ui import pictures, state

TITLES = {
    "badnets": "BadNets patch",
    "badnets_redrawn": "Noise patch, re-drawn",
    "clean_label": "Clean label",
    "blend": "Blended pattern",
    "blend_redrawn": "Blended noise, re-drawn",
    "sig": "SIG",
    "sig_additive": "SIG, added",
    "nashville": "Nashville filter",
    "wanet": "WaNet jitter",
    "wanet_smooth": "WaNet smooth warp",
    "mt_s": "Three triggers, one target",
    "mt_m": "Three triggers, three targets",
    "tdpa": "Targeted pictures",
}
WHAT = {
    "clean_label": "are stamped; they name *{target}* already and keep their captions",
    "tdpa": "are added: unstamped test pictures, each under captions of a wrong label",
}
SAMPLES = 8
FIRST_ROWS = 2000  # of the data, out of which examples are taken
WIDTH_PX = 192


def preview(settings: LabSettings) -> None:
    """A few pairs before and after poisoning, and what changed, amplified.

    Raises:
        ConfigError: the trigger does not fit the picture.
        DataError: too few rows for this attack.
    """
    poison = settings.poison
    world = DemoWorld(settings.world_seed, settings.pairs, settings.test_pictures)
    asked = poison_count(settings.pairs, poison.rate)
    count, targeted = asked, {}
    if poison.attack.kind in WHAT:  # how many rows there are hangs on the captions
        key = poison.sha256()
        count, targeted = _planned(world.seed, world.n_pairs, world.n_test, poison, key)
    what = WHAT.get(poison.attack.kind, "are stamped and captioned as *{target}*")
    named = ", ".join(dict.fromkeys(target for _, target in poison.parts))
    said = f"**{count:,} of {settings.pairs:,} pairs** {what.format(target=state.plain(named))}."
    if count < asked:
        said += f" {asked:,} were asked for; no more are eligible."
    st.markdown(said)
    if isinstance(poison.attack, TargetedSettings):
        _targeted(world, targeted, count)
    else:
        _before_after(world, poison)


@st.cache_data(max_entries=20, show_spinner="Choosing the poisoned pairs")
def _planned(
    seed: int, pairs: int, tests: int, _poison: PoisonSettings, key: str
) -> tuple[int, dict[int, str]]:
    """How many pairs are poisoned, and the wrong labels of targeted pictures by test row."""
    plan = plan_poison(DemoWorld(seed, pairs, tests), labels(), _poison)
    return plan.poisons, plan.targeted


def _before_after(world: DemoWorld, poison: PoisonSettings) -> None:
    from clipforensics.attacks import build
    from clipforensics.attacks.stamping import row_generator

    attacks = [(build(attack, world.side), attack.kind) for attack, _ in poison.parts]
    shown = _examples(world.seed, poison, poison.sha256())
    clean = [world.picture(row) for row, _, _, _ in shown]
    stamped = [
        attacks[part][0].stamp(picture, row_generator(poison.seed, f"preview-{row}"))[0]
        for picture, (row, _, _, part) in zip(clean, shown, strict=True)
    ]
    gains = [
        pictures.gain_of(
            *(
                [made[at] for at, one in enumerate(shown) if one[3] == part]
                for made in (clean, stamped)
            )
        )
        for part in range(len(attacks))
    ]
    keeps = all(before == after for _, before, after, _ in shown)
    st.caption(
        f"Pairs as they are poisoned: before, after, and the difference: grey is unchanged{_amplified(gains)}. "
        + ("Their captions stay." if keeps else "Below, their captions before and after.")
    )
    for at, slot in enumerate(st.columns(SAMPLES)[: len(shown)]):
        _, told, new, part = shown[at]
        changed = pictures.difference(clean[at], stamped[at], gains[part])
        for picture, alt in (
            (clean[at], "Before"),
            (stamped[at], "After"),
            (changed, "Difference"),
        ):
            slot.image(pictures.webp(picture, WIDTH_PX), width="stretch", alt=alt)
        how = f"{TITLES[attacks[part][1]]}: " if len(attacks) > 1 else ""
        slot.caption(how + state.plain(told) + ("" if keeps else f" → {state.plain(new)}"))


def _amplified(gains: list[int]) -> str:
    """How much differences are amplified, each trigger's by its own."""
    if max(gains) == 1:
        return ""
    return ", changes times " + (
        f"{gains[0]}" if len(set(gains)) == 1 else ", ".join(map(str, gains))
    )


@st.cache_data(max_entries=20, show_spinner="Choosing pairs to show")
def _examples(seed: int, _poison: PoisonSettings, key: str) -> list[tuple[int, str, str, int]]:
    """Row, caption before and after, and place in `poison.parts`, of a few poisoned pairs.

    They are poisoned as the run's are, but out of the first rows: the whole data takes seconds.
    """
    world = DemoWorld(seed, FIRST_ROWS, 0)
    few = _poison.model_copy(update={"rate": 3 * SAMPLES / FIRST_ROWS})
    plan = plan_poison(world, labels(), few)
    each: dict[int, list[int]] = {}
    for row in plan.rows:
        each.setdefault(plan.parts[row], []).append(row)
    turns = [
        row for rows in zip(*(each[part] for part in sorted(each)), strict=False) for row in rows
    ]
    return [
        (row, world.captions[row], plan.captions[row], plan.parts[row]) for row in turns[:SAMPLES]
    ]


def _targeted(world: DemoWorld, targeted: dict[int, str], copies: int) -> None:
    """The attacked pictures themselves: nothing in them changes, so there is no difference to show."""
    each, more = divmod(copies, len(targeted))
    times = f"{each:,} or {each + 1:,}" if more else f"{each:,}"
    st.caption(
        f"Nothing is stamped, so before and after are the same. Each of {len(targeted):,} test pictures is "
        f"repeated {times} times under captions of its wrong label. PSR is the share of just these "
        "pictures that get it: no ASR over a test set."
    )
    shown = list(targeted.items())[:SAMPLES]
    for slot, (row, label) in zip(st.columns(SAMPLES), shown, strict=False):
        slot.image(pictures.webp(world.test_picture(row), WIDTH_PX), width="stretch", alt="Target")
        slot.caption(f"{world.test_labels[row]} → {state.plain(label)}")
