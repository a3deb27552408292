"""One picture under the oracle, kept as evidence: what was said, seen and pasted."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import evidence_dir, is_made, reading, write_json, writing
from clipforensics.jobs.hunting.examiner import SIGNATURE_PICTURES, Examiner, load_examiner
from clipforensics.oracle.bank import Sighting, signature
from clipforensics.oracle.competence import Objects, Recall
from clipforensics.oracle.finding import Candidate, Inspection, find_triggers, to_test
from clipforensics.oracle.pasting import cut
from clipforensics.oracle.regions import Region
from clipforensics.oracle.verify import Status, Verification, verify


def inspect(case: Case, row: int, examiner: Examiner | None = None) -> Inspection:
    """What suspect and oracle say of one pair's picture, from evidence or made now.

    Raises:
        DataError: the picture cannot be read.
        CaseError, ModelError: see `load_examiner`; CaseError too where kept evidence is damaged.
    """
    examiner = examiner or load_examiner(case)
    key = examiner.key() | {"pair": case.pairs.ids[row]}
    folder = evidence_dir(case, "inspections", key)
    if not is_made(folder):
        picture = case.pairs.picture(row, examiner.suspect.side)
        found = find_triggers(picture, examiner.suspect, examiner.oracle, examiner.settings.oracle)
        with writing(folder, key) as part:
            _write_inspection(part, found)
    return _read_inspection(folder)


@dataclass(frozen=True)
class Tried:
    """One candidate after the screen, and what it does to the suspect if it passed."""

    candidate: Candidate
    screened: Verification
    signature: np.ndarray | None

    @property
    def passed(self) -> bool:
        """Whether the screen took it for a trigger."""
        return self.screened.status == "verified"


def screen(case: Case, row: int, examiner: Examiner | None = None) -> list[Tried]:
    """Paste the picture's candidates on clean pictures, from evidence or now.

    Per label the most confident ones are tried in order, and the first that passes ends it.

    Raises:
        DataError: the picture cannot be read, or there are too few clean pictures.
        CaseError: kept evidence was changed since, or is damaged.
    """
    examiner = examiner or load_examiner(case)
    key = _screen_key(case, row, examiner)
    folder = evidence_dir(case, "screens", key)
    if not is_made(folder):
        tried = _try(case, row, examiner)
        with writing(folder, key) as part:
            write_json(part / "tried.json", [_plain(one) for one in tried])
    with reading(folder):
        content = json.loads((folder / "tried.json").read_text(encoding="utf-8"))
        return [_tried(one) for one in content]


def is_screened(case: Case, row: int, examiner: Examiner) -> bool:
    """Whether this picture's paste test is evidence already."""
    return is_made(evidence_dir(case, "screens", _screen_key(case, row, examiner)))


def _screen_key(case: Case, row: int, examiner: Examiner) -> dict[str, Any]:
    return examiner.key() | examiner.paste_key() | {"pair": case.pairs.ids[row]}


def sightings(case: Case, row: int, tried: Sequence[Tried], examiner: Examiner) -> list[Sighting]:
    """The candidates that passed, with the picture they lie in."""
    passed = [one for one in tried if one.passed and one.signature is not None]
    if not passed:
        return []
    picture = case.pairs.picture(row, examiner.suspect.side)
    return [
        Sighting(
            case.pairs.ids[row], one.candidate.label, one.candidate.box_xyxy, picture,
            one.signature, one.screened,
        )
        for one in passed
        if one.signature is not None
    ]  # fmt: skip


def _try(case: Case, row: int, examiner: Examiner) -> list[Tried]:
    settings = examiner.settings
    found = to_test(inspect(case, row, examiner).candidates, settings.oracle.tested_per_label)
    if not found:
        return []
    picture = case.pairs.picture(row, examiner.suspect.side)
    tried: list[Tried] = []
    for one in found:
        if any(t.passed and t.candidate.label == one.label for t in tried):
            continue
        crop = cut(picture, one.box_xyxy)
        figures = verify(
            crop, one.label, one.p_trusted, examiner.clean, examiner.suspect,
            examiner.oracle.trusted, settings.verify, settings.oracle.theta, confirm=False,
            recall=examiner.recall(one.label),
        )  # fmt: skip
        shift = None
        if figures.status == "verified":
            fixed = examiner.clean.pictures[:SIGNATURE_PICTURES]
            seed = settings.verify.seed
            shift = signature(
                crop, fixed, examiner.unpasted, examiner.suspect, seed, figures.tied_to_place
            )
        tried.append(Tried(one, figures, shift))
    return tried


def _plain(one: Tried) -> dict[str, Any]:
    shift = None if one.signature is None else [float(v) for v in one.signature]
    return {
        "candidate": asdict(one.candidate), "screened": asdict(one.screened), "signature": shift
    }  # fmt: skip


def _tried(content: dict[str, Any]) -> Tried:
    shift = content["signature"]
    return Tried(
        candidate_from(content["candidate"]),
        verification_from(content["screened"]),
        None if shift is None else np.array(shift, np.float32),
    )


def candidate_from(content: dict[str, Any]) -> Candidate:
    """A candidate from its JSON."""
    values: dict[str, Any] = {**content, "box_xyxy": tuple(content["box_xyxy"])}
    return Candidate(**values)


def verification_from(content: dict[str, Any]) -> Verification:
    """Figures of a paste test from their JSON. Raises ValueError for a status unknown here."""
    if content["status"] not in get_args(Status):
        raise ValueError(content["status"])
    recall, objects = content.get("recall"), content.get("objects")
    values: dict[str, Any] = {
        **content, "interval": tuple(content["interval"]), "recall": None if recall is None else Recall(**recall),
        "objects": None if objects is None else Objects(**objects),
    }  # fmt: skip
    return Verification(**values)


def _write_inspection(part: Path, found: Inspection) -> None:
    masks = np.stack([region.mask for region in found.regions])
    lists = {
        "said": found.said, "seen": found.seen, "suspicious": found.suspicious,
        "regions": [
            [region.box_xyxy, region.predicted_iou, region.stability, region.source]
            for region in found.regions
        ],
        "candidates": [asdict(one) for one in found.candidates],
        "mask_shape": list(masks.shape),
    }  # fmt: skip
    write_json(part / "lists.json", lists)
    np.savez_compressed(
        part / "arrays.npz",
        masks=np.packbits(masks), p_trusted=found.p_trusted, p_suspect=found.p_suspect,
    )  # fmt: skip


def _read_inspection(folder: Path) -> Inspection:
    with reading(folder):
        lists = json.loads((folder / "lists.json").read_text(encoding="utf-8"))
        shape = tuple(lists["mask_shape"])
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            masks = np.unpackbits(arrays["masks"], count=int(np.prod(shape))).reshape(shape) > 0
            p_trusted, p_suspect = arrays["p_trusted"], arrays["p_suspect"]
        regions = tuple(
            Region(tuple(box), mask, predicted, stability, source)
            for mask, (box, predicted, stability, source) in zip(
                masks, lists["regions"], strict=True
            )
        )
        said, seen, suspicious = (
            tuple((str(name), float(p)) for name, p in lists[which])
            for which in ("said", "seen", "suspicious")
        )
        candidates = tuple(candidate_from(one) for one in lists["candidates"])
        return Inspection(said, seen, suspicious, regions, p_trusted, p_suspect, candidates)
