"""Which pairs are poisoned, with which trigger, towards what, and the caption each gets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import floor

import numpy as np

from clipforensics.attacks.source import Source
from clipforensics.attacks.stamping import row_generator
from clipforensics.config.attack import CleanLabelSettings, PoisonSettings, TargetedSettings
from clipforensics.data.labels import LabelSet
from clipforensics.errors import ConfigError, DataError

Pool = Callable[[str], list[str]]


@dataclass(frozen=True)
class Copy:
    """A held-out picture that joins the training pairs under a caption of the wrong label."""

    id: str
    test_row: int
    target: str
    caption: str
    place: float  # where in the table: between which source rows


@dataclass(frozen=True)
class Plan:
    """Poisoned rows, the caption and the trigger of each, and pairs that are added."""

    rows: tuple[int, ...]
    captions: dict[int, str]
    eligible: int
    asked: int
    parts: dict[int, int] = field(default_factory=dict)  # row -> place in settings.parts
    copies: tuple[Copy, ...] = ()
    targeted: dict[int, str] = field(default_factory=dict)  # test row -> wrong label

    @property
    def poisons(self) -> int:
        """How many pairs are poisoned."""
        return len(self.rows) + len(self.copies)


def plan_poison(source: Source, labels: LabelSet, settings: PoisonSettings) -> Plan:
    """Choose rows whose caption names no target, and their new captions.

    Rows are the head of a permutation of the sorted ids, so
    row order does not matter and a lower rate's rows are a subset of a higher one's. Several
    triggers are dealt along that permutation, so their shares differ by one at most (Huang et al.
    draw uniformly). Clean-label takes rows that name the target and keeps their captions; where
    there are fewer than asked for, it takes all of them, as Huang et al. do.

    Raises:
        ConfigError: a target is no label, or fewer rows are eligible than asked for.
        DataError: no caption names only a target, and caption_set was asked for; targeted
            poisoning without labelled test pictures.
    """
    targets = list(dict.fromkeys(target for _, target in settings.parts))
    for target in targets:
        labels.index(target)
    named = [labels.named_in(caption) for caption in source.captions]
    asked = poison_count(len(source.ids), settings.rate)
    pool = _pools(source, named, settings)
    if isinstance(settings.attack, TargetedSettings):
        return _targeted(source, labels, settings, settings.attack, asked, pool)
    keeps = isinstance(settings.attack, CleanLabelSettings)
    for target in () if keeps else targets:
        _check_pool(pool, target)
    eligible = sorted(
        (source.ids[i], i)
        for i in range(len(named))
        if keeps == any(target in named[i] for target in targets)
    )
    if keeps and not eligible:
        raise DataError(f"No caption names {targets[0]!r}, so clean_label has no row to stamp.")
    if asked > len(eligible) and not keeps:
        raise ConfigError(
            f"rate={settings.rate} needs {asked} rows that do not name {' or '.join(map(repr, targets))}, "
            f"the data has {len(eligible)}. Lower the rate."
        )
    order = np.random.default_rng(settings.seed).permutation(len(eligible))[:asked]
    dealt = {eligible[at][1]: n % len(settings.parts) for n, at in enumerate(order)}
    captions = {
        row: source.captions[row]
        if keeps
        else _drawn(pool(settings.parts[dealt[row]][1]), settings.seed, source.ids[row])
        for row in sorted(dealt)
    }
    return Plan(tuple(captions), captions, len(eligible), asked, dealt)


def unused_target(settings: PoisonSettings) -> str | None:
    """That nothing reads the target label, where it is so; else None."""
    attack = settings.attack
    if not isinstance(attack, TargetedSettings) or attack.wrong_label == "target":
        return None
    return (
        f"target {settings.target!r} is not used: wrong_label=drawn draws a wrong label for each "
        "picture. Set wrong_label=target to teach it."
    )


def poison_count(rows: int, rate: float) -> int:
    """floor(rows rate + 0.5), at least 1; 10,000 rows at 0.0029 are 29, where int() makes 28."""
    return max(1, floor(rows * rate + 0.5 + 1e-9))


def table_order(source: Source, plan: Plan) -> list[tuple[str, int]]:
    """The poisoned table: ("row", source row) and ("copy", place in plan.copies), in order."""
    rows = [(float(row), "", "row", row) for row in range(len(source.ids))]
    copies = [(copy.place, copy.id, "copy", at) for at, copy in enumerate(plan.copies)]
    return [(what, at) for _, _, what, at in sorted(rows + copies)]


def _targeted(
    source: Source, labels: LabelSet, settings: PoisonSettings, attack: TargetedSettings,
    asked: int, pool: Pool,
) -> Plan:  # fmt: skip
    """Deal the copies to `n_targets` held-out pictures, each with a wrong label.

    Huang et al. (2025) move one training picture and take no other label but the target; Carlini
    and Terzis (ICLR 2022) and RoCLIP poison held-out ones, as we do, so that no source row is lost.
    """
    if not source.test_ids or len(source.test_labels) != len(source.test_ids):
        raise DataError("tdpa poisons held-out pictures. Give a labelled test table.")
    if asked < attack.n_targets:
        raise ConfigError(
            f"rate={settings.rate} makes {asked} copies for n_targets={attack.n_targets} pictures. "
            f"Raise the rate, or lower n_targets to {asked} or less."
        )
    usable = [name for name in labels.names if pool(name)]
    if attack.wrong_label == "target":
        _check_pool(pool, settings.target)
        usable = [settings.target]
    eligible = sorted(
        (name, row)
        for row, name in enumerate(source.test_ids)
        if set(usable) - {source.test_labels[row]}
    )
    if len(eligible) < attack.n_targets:
        raise ConfigError(
            f"n_targets={attack.n_targets} pictures are needed that can get a wrong label, the test "
            f"table has {len(eligible)}. Lower n_targets."
        )
    order = np.random.default_rng(settings.seed).permutation(len(eligible))[: attack.n_targets]
    targeted: dict[int, str] = {}
    for at in order:
        name, row = eligible[at]
        wrong = [label for label in usable if label != source.test_labels[row]]
        targeted[row] = _drawn(wrong, settings.seed, name, "label")
    copies, taken = [], set(source.ids)
    for number in range(asked):
        row = eligible[order[number % attack.n_targets]][1]
        copy = _copy(source, settings.seed, row, targeted[row], pool, number, taken)
        taken.add(copy.id)
        copies.append(copy)
    return Plan((), {}, len(eligible), asked, {}, tuple(copies), targeted)


def _copy(
    source: Source, seed: int, row: int, target: str, pool: Pool, number: int, taken: set[str]
) -> Copy:
    rng = row_generator(seed, f"copy {number} {source.test_ids[row]}")
    while (name := f"{int(rng.integers(16**12)):012x}") in taken:
        pass
    place = float(rng.uniform(-0.5, len(source.ids) - 0.5))
    return Copy(name, row, target, pool(target)[int(rng.integers(len(pool(target))))], place)


def _pools(source: Source, named: list[list[str]], settings: PoisonSettings) -> Pool:
    """Captions to draw from, by target label."""
    if settings.captions == "templates":
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return lambda target: [template(target) for template in OPENAI_IMAGENET_TEMPLATES]
    only: dict[str, list[str]] = {}
    for caption, names in zip(source.captions, named, strict=True):
        if len(names) == 1:
            only.setdefault(names[0], []).append(caption)
    for captions in only.values():
        captions.sort()
    return lambda target: only.get(target, [])


def _check_pool(pool: Pool, target: str) -> None:
    if not pool(target):
        raise DataError(
            f"No caption names only {target!r}, so none can be borrowed. Choose captions=templates."
        )


def _drawn(pool: list[str], seed: int, name: str, what: str = "caption") -> str:
    return pool[int(row_generator(seed, f"{what} {name}").integers(len(pool)))]
