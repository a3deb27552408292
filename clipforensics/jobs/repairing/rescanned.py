"""Before and after a repair: two scanned cases over the same pairs, on one map and in figures."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipforensics.cases.case import Case, cases_in
from clipforensics.cases.evidence import evidence_dir, is_made, write_json, writing
from clipforensics.config.oracle import HuntSettings
from clipforensics.detect.projection import placed_on
from clipforensics.errors import DataError, ForensicsError
from clipforensics.jobs.hunting.examiner import clean_rows, halves
from clipforensics.jobs.hunting.triggers import latest_hunt
from clipforensics.jobs.repairing.curating import (
    excluded_rows,
    scores_of,
    trigger_subject,
    triggers_to_heal,
)
from clipforensics.jobs.repairing.lineage import learned_ids
from clipforensics.jobs.repairing.score_drop import score_drop, told
from clipforensics.jobs.scanning.embedded import embedding_dir, embeddings, scored_rows
from clipforensics.jobs.scanning.embedding import Progress, Stop
from clipforensics.jobs.scanning.scan import graph, latest_scan, map_settings, projection
from clipforensics.jobs.scanning.scoring import told_as
from clipforensics.oracle.bank import Trigger

PICKED, NAMED = "picked", "named by the hunt"
BLOCK = 4096


@dataclass(frozen=True)
class Answer:
    """What both models say of one pair's picture: the label and its probability."""

    row: int
    before: str
    p_before: float
    after: str
    p_after: float


def children_of(case: Case) -> list[Case]:
    """The scanned cases beside this one that a repair of it made, newest first.

    One whose pairs or labels are no longer this case's is left out: nothing could be compared.
    """
    found = []
    for folder in cases_in(case.dir.parent):
        try:
            other = Case.open(folder)
        except ForensicsError:
            continue  # the Case page says what is wrong with it
        alike = all(
            other.fingerprints.get(of) == case.fingerprints.get(of) for of in ("data", "labels")
        )
        if other.settings.parent == str(case.dir) and alike and latest_scan(other) is not None:
            found.append(other)
    return found


def marked_rows(before: Case) -> dict[str, np.ndarray]:
    """The rows to follow through a repair: a reviewer's picks, then those only the hunt named."""
    row_of = {name: row for row, name in enumerate(before.pairs.ids)}
    held = before.store.current("sample")
    picked = [n for n, entry in held.items() if entry.verdict == "suspicious" and n in row_of]
    hunt = latest_hunt(before) or {}
    named = [n for n in hunt.get("victims", ()) if n in row_of and n not in held]
    return {
        kind: np.array(sorted(row_of[name] for name in names), np.int64)
        for kind, names in ((PICKED, picked), (NAMED, named))
    }


def places(
    before: Case, after: Case, progress: Progress | None = None, stop: Stop | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both scans in one projection: the map before, and the repaired model's rows placed on it.

    A map of its own for each model could not be compared: UMAP's axes mean nothing, and a retrained
    model's space is turned against the first. A joint map of both embeddings falls into two islands
    for the same reason. So the map before stays, and `placed_on` reads only who lies near whom.

    Returns:
        float32 [n, 2] each; NaN where either scan has no embedding.

    Raises:
        CaseError: one of them is not scanned yet.
    """
    cfg = map_settings(before)
    old, rows = np.array(projection(before)), scored_rows(after)
    key = {
        "before": embedding_dir(before).name, "after": embedding_dir(after).name,
        "map": cfg.model_dump(mode="json"),
    }  # fmt: skip
    folder = evidence_dir(after, "placed", key)
    if not is_made(folder):
        if not np.array_equal(rows, scored_rows(before)):
            raise DataError(
                f"{before.dir} and {after.dir} could not read the same pictures. Restore the "
                "pictures and scan both again."
            )
        near = graph(after, cfg.n_neighbours, progress, stop)
        told = told_as(progress, "placing the pairs on the map before", stop)
        made = np.full_like(old, np.nan)
        made[rows] = placed_on(old[rows], near, cfg.seed, cfg.n_neighbours, told)
        with writing(folder, key) as part:
            np.save(part / "places.npy", made, allow_pickle=False)
    return old, np.load(folder / "places.npy", allow_pickle=False)


def neighbours_kept(
    before: Case, after: Case, marked: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Share of a row's `k` neighbours that stay its neighbours, on average: no map is read.

    Returns:
        by group of `marked` that has rows, and for "all others": `share`, `n` rows whose picture could
        be read, `k`.
    """
    k, rows = map_settings(before).n_neighbours, scored_rows(after)
    one, two = (np.asarray(graph(case, k)[1]) for case in (before, after))
    share = np.full(len(after.pairs), np.nan)
    for at in range(0, len(rows), BLOCK):
        a, b = one[at : at + BLOCK], two[at : at + BLOCK]
        same = (a[:, :, None] == b[:, None, :]).any(axis=2)
        share[rows[at : at + BLOCK]] = same.mean(axis=1)
    others = np.ones(len(share), bool)
    for chosen in marked.values():
        others[chosen] = False
    groups = {
        **{kind: share[chosen] for kind, chosen in marked.items()},
        "all others": share[others],
    }
    read = {kind: part[np.isfinite(part)] for kind, part in groups.items()}
    return {
        kind: {"share": float(part.mean()), "n": len(part), "k": k}
        for kind, part in read.items()
        if len(part)
    }


def answers(before: Case, after: Case, rows: np.ndarray) -> list[Answer]:
    """Both suspects' zero-shot answers to pictures of the pairs, from the embeddings kept."""
    if not len(rows):
        return []
    said = []
    for case in (before, after):
        best, p = _zero_shot(case, rows)
        said.append(
            [(case.labels.names[one], float(sure)) for one, sure in zip(best, p, strict=True)]
        )
    return [
        Answer(int(row), *old, *new) for row, old, new in zip(rows, said[0], said[1], strict=True)
    ]


def captions_before(case: Case) -> dict[str, str]:
    """By id, what the captions of known poisons were before they were poisoned; empty without a truth."""
    rows = case.truth.rows if case.truth is not None else ()
    found = {str(row.get("id")): row.get("caption_before") for row in rows}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def called_right(case: Case, said: list[Answer]) -> dict[str, int] | None:
    """Of the answered pictures that are known to be poisoned, how many each model calls by a label that
    their caption named before; None where none is known."""
    own = captions_before(case)
    known = [one for one in said if case.pairs.ids[one.row] in own]
    named = [case.labels.named_in(own[case.pairs.ids[one.row]]) for one in known]
    if not known:
        return None
    return {
        "n": len(known),
        "before": sum(one.before in names for one, names in zip(known, named, strict=True)),
        "after": sum(one.after in names for one, names in zip(known, named, strict=True)),
    }


def _zero_shot(case: Case, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from clipforensics.models.zero_shot import label_weights, similarities, softmax

    suspect = case.suspect("cpu")
    cosines = similarities(np.asarray(embeddings(case)[rows]), label_weights(suspect, case.labels))
    p = softmax(suspect.scale * cosines)
    best = p.argmax(axis=1)
    return best, p[np.arange(len(p)), best]


def paste_tests(before: Case, after: Case) -> list[dict[str, Any]]:
    """The triggers found before, pasted on the same clean pictures for both models.

    A picture counts whose caption does not name the trigger's label and that neither model calls so
    unpasted; pairs that are picked, named by the hunt, or that the repair learned from are never
    pasted on.

    Returns:
        One record for each trigger: `pair`, `label`, `box`, `n`, and by place `before` and `after`:
        {rate, low, high} with Wilson's 95 % interval. Kept as evidence of `after`.
    """
    triggers = triggers_to_heal(before)
    settings = HuntSettings()
    learned = learned_ids(after)
    bad = excluded_rows(before) | np.array([name in learned for name in before.pairs.ids], bool)
    low, _ = halves(before.pairs.ids, scores_of(before), settings)
    rows = [row for row in clean_rows(low, settings) if not bad[row]]
    key = {
        "before": embedding_dir(before).name, "after": embedding_dir(after).name,
        "labels": before.fingerprints["labels"], "rows": rows, "seed": settings.verify.seed,
        "n": settings.verify.n_confirm, "triggers": [trigger_subject(one) for one in triggers],
    }  # fmt: skip
    folder = evidence_dir(after, "pastes", key)
    if not is_made(folder):
        made = _paste_all(before, after, triggers, rows, settings) if triggers else []
        with writing(folder, key) as part:
            write_json(part / "pastes.json", made)
    return json.loads((folder / "pastes.json").read_text(encoding="utf-8"))


def _paste_all(
    before: Case, after: Case, triggers: list[Trigger], rows: list[int], settings: HuntSettings
) -> list[dict[str, Any]]:
    from clipforensics.jobs.hunting.clean_pictures import clean_pictures
    from clipforensics.oracle.pasting import CORNERS, pasted, places
    from clipforensics.oracle.rates import wilson
    from clipforensics.oracle.scorer import suspect_judge

    judges = [suspect_judge(case.suspect(), case.labels) for case in (before, after)]
    clean = clean_pictures(before, rows, judges[0], judges[1])
    if not len(clean):
        raise DataError("No clean picture can be read, so nothing can be pasted. Restore some.")
    made = []
    for trigger in triggers:
        index = before.labels.index(trigger.label)
        usable = clean.rows(clean.without(trigger.label, index)).first(settings.verify.n_confirm)
        record: dict[str, Any] = {
            "pair": trigger.pair, "label": trigger.label, "box": list(trigger.box_xyxy),
            "n": len(usable), "before": {}, "after": {},
        }  # fmt: skip
        for place in ("found", "random", *CORNERS):
            # both models see the very same pasted pictures
            rng = np.random.default_rng([settings.verify.seed, 2])
            at = places(place, trigger.crop, len(usable), usable.pictures.shape[1], rng)
            stamped = pasted(usable.pictures, trigger.crop, at) if len(usable) else usable.pictures
            for when, judge in zip(("before", "after"), judges, strict=True):
                hits = int((judge.answers(stamped) == index).sum()) if len(usable) else 0
                low, high = wilson(hits, len(usable))
                rate = hits / len(usable) if len(usable) else None
                record[when][place] = {"rate": rate, "low": low, "high": high}
        made.append(record)
    return made


def summary(
    before: Case, after: Case, progress: Progress | None = None, stop: Stop | None = None
) -> dict[str, Any]:
    """All of it in JSON types; the places become evidence on the way."""
    marked = marked_rows(before)
    old, new = places(before, after, progress, stop)
    moved = np.linalg.norm(new - old, axis=1)
    said = answers(before, after, np.concatenate(list(marked.values())))
    return {
        "before": str(before.dir), "after": str(after.dir),
        "marked": {kind: len(rows) for kind, rows in marked.items()},
        "neighbours_kept": neighbours_kept(before, after, marked),
        "moved": {kind: float(np.nanmedian(moved[rows])) for kind, rows in marked.items() if len(rows)},
        "known_poisons_called_right": called_right(before, said),
        "answers_changed": sum(one.before != one.after for one in said),
        "answers": [
            {"pair": before.pairs.ids[one.row], "before": one.before, "after": one.after}
            for one in said
        ],
        "triggers": paste_tests(before, after),
        "score_drop": told(before, score_drop(before, after)),
    }  # fmt: skip
