"""What a fine-tuning repair learns from: verified triggers, and clean pairs chosen with the picks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.config.oracle import HuntSettings
from clipforensics.config.recipes import EftClipSettings, FineTuneSettings
from clipforensics.detect.combined import density_and_caption
from clipforensics.errors import ConfigError
from clipforensics.jobs.hunting.triggers import latest_hunt, trigger_bank
from clipforensics.jobs.repairing.lineage import ancestors
from clipforensics.jobs.scanning.scan import is_embedded, scores
from clipforensics.oracle.bank import Trigger
from clipforensics.repair.curate import Curated, Support, curate

BATCH = 512
NO_TRIGGER = (
    "EftCLIP needs at least one verified trigger, this case has none. Run the Triggers page over the "
    "highest scores first, or use SafeCLIP, which needs no trigger."
)


@dataclass(frozen=True)
class CuratedSet:
    """The clean pairs, the triggers to heal, and a table that says what they are."""

    pairs: Curated
    triggers: list[Trigger]
    affected: list[str]
    table: list[dict[str, Any]]


def trigger_subject(trigger: Trigger) -> str:
    """How the review store names a trigger: pair, box and label."""
    return f"{trigger.pair}:{','.join(map(str, trigger.box_xyxy))}:{trigger.label}"


def triggers_to_heal(case: Case) -> list[Trigger]:
    """Verified triggers that no reviewer called benign, and any that one called suspicious.

    A person may know better than the paste test, or will rather heal too much: what was picked is
    stamped whatever its status, and the page says how many were not verified.
    """
    verdicts = case.store.current("trigger")

    def wanted(trigger: Trigger) -> bool:
        entry = verdicts.get(trigger_subject(trigger))
        said = entry.verdict if entry else None
        if said in ("benign", "duplicate"):
            return False
        return trigger.figures.status == "verified" or said == "suspicious"

    return [trigger for trigger in trigger_bank(case) if wanted(trigger)]


def affected_labels_of(case: Case, triggers: list[Trigger]) -> list[str]:
    """Labels the triggers force, and those a reviewer marked; less those called benign."""
    verdicts = {name: entry.verdict for name, entry in case.store.current("label").items()}
    names = [trigger.label for trigger in triggers]
    names += [name for name, said in verdicts.items() if said == "suspicious"]
    known = set(case.labels.names)
    return [n for n in dict.fromkeys(names) if n in known and verdicts.get(n) != "benign"]


def doubted_pairs(case: Case) -> tuple[set[str], set[str]]:
    """Ids that a reviewer picked as anything but benign, and ids that the newest hunt names and no
    reviewer called benign.

    A repaired case doubts what those before it doubted, the last verdict of all of them counts: its own
    hunt finds these pairs no more.
    """
    verdicts: dict[str, str | None] = {}
    named: set[str] = set()
    for one in reversed([case, *ancestors(case)]):
        verdicts |= {name: entry.verdict for name, entry in one.store.current("sample").items()}
        found = latest_hunt(one) or {}
        for kind in ("victims", "probable", "carriers"):
            named.update(found.get(kind, ()))
    cleared = {name for name, said in verdicts.items() if said == "benign"}
    return {name for name, said in verdicts.items() if said} - cleared, named - cleared


def excluded_rows(case: Case) -> np.ndarray:
    """bool [n]: pairs that a reviewer or the oracle holds to be poisoned."""
    picked, named = doubted_pairs(case)
    return np.array([name in picked or name in named for name in case.pairs.ids], bool)


def left_out_rows(case: Case, settings: FineTuneSettings, named: list[list[int]]) -> np.ndarray:
    """bool [n]: pairs that the reviewer took out of the curated set, by id or by label.

    Raises:
        ConfigError: an id or a label is not the case's.
    """
    out = np.zeros(len(case.pairs), bool)
    rows = {name: row for row, name in enumerate(case.pairs.ids)}
    strange = [name for name in settings.left_out_pairs if name not in rows]
    if strange:
        raise ConfigError(
            f"{len(strange):,} of {len(settings.left_out_pairs):,} left-out pairs are not in the case "
            f"(first: {strange[0]!r}). Name ids of {case.settings.data}."
        )
    out[[rows[name] for name in settings.left_out_pairs]] = True
    labels = {case.labels.index(name) for name in settings.left_out_labels}
    return out | np.array([bool(labels.intersection(names)) for names in named], bool)


def names_per_row(case: Case) -> list[list[int]]:
    """Label numbers that each caption names."""
    labels = case.labels
    return [[labels.index(n) for n in labels.named_in(text)] for text in case.pairs.captions]


def scores_of(case: Case) -> np.ndarray:
    """How suspicious each pair is, to choose clean ones by; NaN for bad pictures.

    By density and caption alone. The length, which the default ranking reads, too, differs by
    concept: the lower half by it left whole labels out (four colours: CA after EftCLIP 1.00 to .75).

    Raises:
        CaseError: the case is not embedded.
    """
    hunt = HuntSettings()
    odd = scores(case, "clip", hunt.density, hunt.reference).mean
    return density_and_caption(density_of(case), odd)


def density_of(case: Case) -> np.ndarray:
    """How far each picture lies apart; its caption has no say. NaN for bad pictures.

    Raises:
        CaseError: the case is not embedded.
    """
    hunt = HuntSettings()
    return scores(case, "scales", hunt.density, hunt.reference).mean


def curated_set(
    case: Case, settings: FineTuneSettings, support: Support | None = None
) -> CuratedSet:
    """Choose pairs for EftCLIP or its control; also what the page shows before a start.

    Args:
        case: the case.
        settings: how many pairs, which shares, what is left out.
        support: of `supporter`, where it is asked more than once; made afresh where left out.

    Raises:
        ConfigError: EftCLIP without a verified trigger; a left-out pair or label is unknown.
        CaseError: the case is not embedded.
        DataError: no pair looks clean enough.
    """
    if not is_embedded(case):
        raise ConfigError(
            "Clean pairs are chosen by score, and this case has none. Run a scan first."
        )
    triggers = triggers_to_heal(case)
    stamped = isinstance(settings, EftClipSettings)
    if stamped and not triggers:
        raise ConfigError(NO_TRIGGER)
    affected = affected_labels_of(case, triggers)
    named = names_per_row(case)
    chosen = curate(
        named,
        scores_of(case),
        excluded_rows(case) | left_out_rows(case, settings, named),
        [case.labels.index(name) for name in affected],
        settings.pairs,
        settings.target_share,
        support or supporter(case),
        settings.seed,
    )
    stamped_share = settings.stamped_share if isinstance(settings, EftClipSettings) else 0.0
    return CuratedSet(
        chosen, triggers, affected, chosen.table(len(case.pairs), named, stamped_share)
    )


def supporter(case: Case) -> Support | None:
    """Rows to bool: is the trusted model's best label among those the caption names?

    It asks the model once for a pair and keeps the answer. None without a trusted model.
    """
    if case.settings.trusted_model is None:
        return None
    asked: dict[int, bool] = {}

    def support(rows: np.ndarray) -> np.ndarray:
        new = [int(row) for row in rows if int(row) not in asked]
        if new:
            asked.update(zip(new, _seen_as_named(case, np.array(new)), strict=True))
        return np.array([asked[int(row)] for row in rows], bool)

    return support


def _seen_as_named(case: Case, rows: np.ndarray) -> list[bool]:
    from clipforensics.models.zero_shot import label_weights, predict

    trusted, labels = case.trusted(), case.labels
    weights = label_weights(trusted, labels)
    found: list[bool] = []
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        seen = predict(trusted, case.pairs.frames(part, trusted.side), weights)
        found += [
            labels.names[label] in labels.named_in(case.pairs.captions[row])
            for label, row in zip(seen, part, strict=True)
        ]
    return found
