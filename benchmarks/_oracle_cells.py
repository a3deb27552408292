"""One cell of the oracle's curves: one suspect, one segmenter, every confidence and list length.

Pictures are segmented and shown to both models once; the lists of Algorithm 1 are made again from
the kept probabilities for each setting, and a region is pasted once, whatever setting asks for it.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from _oracle_pictures import HELD_OUT_SEED, Pictures, Sight, see
from _suspects import Suspect

from clipforensics.attacks.stamping import row_generator
from clipforensics.attacks.writing import built
from clipforensics.cases.case import Case
from clipforensics.config.attack import PoisonSettings
from clipforensics.config.oracle import HuntSettings, OracleSettings
from clipforensics.data.demo_world import labels
from clipforensics.jobs.hunting.banking import make_bank
from clipforensics.jobs.hunting.examiner import SIGNATURE_PICTURES, Examiner
from clipforensics.oracle.bank import Sighting, Trigger, signature
from clipforensics.oracle.finding import Candidate, compare, to_test
from clipforensics.oracle.matching import is_flat, match_floor, peaks
from clipforensics.oracle.pasting import cut, pasted, places
from clipforensics.oracle.regions import Box, area, holds
from clipforensics.oracle.render import for_suspect
from clipforensics.oracle.scorer import Oracle, suspect_judge
from clipforensics.oracle.verify import Verification, judged, verify

THETAS, TAUS = (0.5, 0.6, 0.66, 0.7, 0.8, 0.9), (1, 2, 3, 5, 10)
HALF, WHOLE = 0.5, 0.9  # of the planted patch


class Cell:
    """One suspect under one oracle."""

    def __init__(self, made: Suspect, poison: PoisonSettings, oracle: Oracle, pictures: Pictures):
        self.made, self.poison, self.oracle, self.pictures = made, poison, oracle, pictures
        self.suspect = suspect_judge(made.encoder, labels())
        self.target = labels().index(poison.target)
        case = cast(Case, SimpleNamespace(pairs=pictures.spare, labels=labels()))
        rows = tuple(range(len(pictures.spare.captions)))
        self.examiner = Examiner(
            case, HuntSettings(), self.suspect, oracle, rows, np.array(rows), np.empty(0, np.int64)
        )
        self.pastes: dict[tuple[int, str, Box], Verification] = {}
        self.paste_seconds = 0.0

    def measure(self, clean: Sequence[Sight]) -> dict[str, Any]:
        """Everything about this cell, in JSON types.

        Args:
            clean: of `pictures.clean`; shared by all suspects of one oracle.
        """
        stamped, boxes = self._stamped()
        sights = [see(picture, self.oracle) for picture in stamped]
        views = [*sights, *clean]
        began = time.process_time()
        said = [self.suspect.probabilities(for_suspect(v.picture, v.regions)) for v in views]
        asked = (time.process_time() - began) / len(views)
        pulled = self.suspect.answers(stamped) == self.target
        default = OracleSettings()
        points = [default.model_copy(update={"theta": theta}) for theta in THETAS]
        points += [
            default.model_copy(update={"tau": tau}) for tau in TAUS if tau != default.tau
        ]  # fmt: skip
        rates = [self._rates(views, said, boxes, pulled, point) for point in points]
        screened = self._screened(views, said, default)
        return {
            "stamped": len(boxes), "pulled": int(pulled.sum()), "clean": len(clean),
            "ca": self.made.figures["ca"], "asr": self.made.figures["asr"],
            "points": rates, "bank": self._bank(views, screened, boxes, pulled),
            "masks": float(np.mean([len(v.regions) - 1 for v in views])),
            "box_share": _box_share(views),
            "cpu_seconds_look": float(np.mean([v.seconds for v in views])) + asked,
            "cpu_seconds_paste": self.paste_seconds / max(1, len(self.pastes)),
            "pasted": len(self.pastes),
        }  # fmt: skip

    def _stamped(self) -> tuple[np.ndarray, list[Box]]:
        (attack,) = built(self.poison, self.pictures.bases.shape[1])
        made = [
            attack.stamp(base, row_generator(HELD_OUT_SEED + self.poison.seed, name))
            for base, name in zip(self.pictures.bases, self.pictures.base_ids, strict=True)
        ]
        return np.stack([one[0] for one in made]), [cast(Box, one[1]) for one in made]

    def _rates(
        self, views: Sequence[Sight], said: Sequence[np.ndarray], boxes: Sequence[Box],
        pulled: np.ndarray, settings: OracleSettings,
    ) -> dict[str, Any]:  # fmt: skip
        """Shares of pictures with a candidate, and with one that passes the screen.

        `found` and `verified` cover the patch, `close` does so in at most four times its area,
        `named` passes the screen for the target, wherever it lies.
        """
        found, kept, close, named, false = [], [], [], [], [0, 0]
        for i, (view, p) in enumerate(zip(views, said, strict=True)):
            candidates = self._candidates(view, p, settings)
            passed = [one for one, _ in self._passed(i, view, candidates, settings)]
            if i >= len(boxes):
                false = [false[0] + bool(candidates), false[1] + bool(passed)]
                continue
            found.append(any(self._is_trigger(one, boxes[i]) for one in candidates))
            kept.append(any(self._is_trigger(one, boxes[i]) for one in passed))
            close.append(any(holds(one.box_xyxy, boxes[i]) for one in passed))
            named.append(any(labels().index(one.label) == self.target for one in passed))
        clean = len(views) - len(boxes)
        return {
            "theta": settings.theta, "tau": settings.tau,
            "found_pulled": _share(found, pulled), "found_all": _share(found),
            "verified_pulled": _share(kept, pulled), "verified_all": _share(kept),
            "named_pulled": _share(named, pulled), "named_all": _share(named),
            "close_pulled": _share(close, pulled),
            "false_before": false[0] / clean, "false_after": false[1] / clean,
        }  # fmt: skip

    def _candidates(
        self, view: Sight, p: np.ndarray, settings: OracleSettings
    ) -> Sequence[Candidate]:
        return compare(p, view.p_trusted, view.regions, labels().names, settings).candidates

    def _is_trigger(self, one: Candidate | Sighting, truth: Box, least: float = WHOLE) -> bool:
        """Names the target, and its box covers at least so much of the planted patch.

        How much larger it may be is `close`: a mask one pixel too wide on each side of a 3-px
        patch has five times its area already when the suspect is shown it.
        """
        x0, y0, x1, y1 = one.box_xyxy
        inside = max(0, min(x1, truth[2]) - max(x0, truth[0])) * max(
            0, min(y1, truth[3]) - max(y0, truth[1])
        )
        return labels().index(one.label) == self.target and inside >= least * area(truth)

    def _passed(
        self, i: int, view: Sight, candidates: Sequence[Candidate], settings: OracleSettings
    ) -> Iterable[tuple[Candidate, Verification]]:
        """As a hunt screens: per label the surest in order, and the first that passes ends it."""
        done: set[str] = set()
        for one in to_test(candidates, settings.tested_per_label):
            if one.label not in done:
                figures = self._pasted(i, view, one)
                figures = judged(figures, self.examiner.settings.verify, settings.theta)
                if figures.status == "verified":
                    done.add(one.label)
                    yield one, figures

    def _pasted(self, i: int, view: Sight, one: Candidate) -> Verification:
        key = (i, one.label, one.box_xyxy)
        if key not in self.pastes:
            crop, began = cut(view.picture, one.box_xyxy), time.process_time()
            examiner = self.examiner
            clean = examiner.clean  # asked about once; the first paste pays for it
            self.pastes[key] = verify(
                crop, one.label, one.p_trusted, clean, self.suspect, self.oracle.trusted,
                examiner.settings.verify, examiner.settings.oracle.theta, confirm=False,
                recall=examiner.recall(one.label),
            )  # fmt: skip
            self.paste_seconds += time.process_time() - began
        return replace(self.pastes[key], p_trusted=one.p_trusted)

    def _screened(
        self, views: Sequence[Sight], said: Sequence[np.ndarray], settings: OracleSettings
    ) -> list[Sighting]:
        """What a hunt over all these pictures, clean ones included, would bring to the bank."""
        seen = []
        for i, (view, p) in enumerate(zip(views, said, strict=True)):
            candidates = self._candidates(view, p, settings)
            for one, figures in self._passed(i, view, candidates, settings):
                seen.append(self._sighting(str(i), view, one, figures))
        return seen

    def _sighting(
        self, name: str, view: Sight, one: Candidate, figures: Verification
    ) -> Sighting:  # fmt: skip
        fixed = self.examiner.clean.pictures[:SIGNATURE_PICTURES]
        seed = self.examiner.settings.verify.seed
        crop = cut(view.picture, one.box_xyxy)
        shift = signature(
            crop, fixed, self.examiner.unpasted, self.suspect, seed, figures.tied_to_place
        )
        return Sighting(name, one.label, one.box_xyxy, view.picture, shift, figures)

    def _bank(
        self, views: Sequence[Sight], seen: list[Sighting], boxes: Sequence[Box], pulled: np.ndarray
    ) -> dict[str, Any]:
        """The bank of these sightings, and its best crop beside the planted trigger.

        `detected_*` and `false_bank` count pictures with a sighting in a cluster that was confirmed
        on further pictures and against control crops: what a hunt calls a trigger. The screen
        alone is what the curves show. A sighting on a stamped picture holds at least half of the
        patch (`detected`), 90 % (`held`), or that within four times its area (`close`): the first
        region that passes ends the search; half a large patch often does, and so does an
        object that a small one lies on. `sighted_areas` says how large they were.

        `told_*` and `false_told` count pictures that a hunt tells of either way: by such a region, or
        because a verified trigger's pattern lies in them, which a hunt looks for in every picture.
        """
        bank = make_bank(self.examiner, seen, lambda *_, **__: None, lambda: False)
        verified = [one for one in bank if one.figures.status == "verified"]
        members = {(pair, one.label) for one in verified for pair in one.pairs}
        sure = [one for one in seen if (one.pair, one.label) in members]
        on_stamped = [one for one in sure if int(one.pair) < len(boxes)]
        detected, held = ([
            any(int(one.pair) == i and self._is_trigger(one, box, least) for one in on_stamped)
            for i, box in enumerate(boxes)
        ] for least in (HALF, WHOLE))  # fmt: skip
        close = [
            any(int(one.pair) == i and holds(one.box_xyxy, box) for one in on_stamped)
            for i, box in enumerate(boxes)
        ]
        areas = [area(one.box_xyxy) / area(boxes[int(one.pair)]) for one in on_stamped]
        false = {one.pair for one in sure if int(one.pair) >= len(boxes)}
        matched = self._matched(verified, np.stack([view.picture for view in views]))
        told = matched[: len(boxes)] | np.array(detected, bool)
        false_told = matched[len(boxes) :].copy()
        false_told[[int(pair) - len(boxes) for pair in false]] = True
        planted = float((self.suspect.answers(self._stamped()[0]) == self.target).mean())
        result: dict[str, Any] = {
            "sightings": len(seen), "clusters": len(bank), "verified": len(verified),
            "labels": sorted({one.label for one in verified}), "planted_asr": planted,
            "detected_pulled": _share(detected, pulled), "detected_all": _share(detected),
            "held_pulled": _share(held, pulled), "close_pulled": _share(close, pulled),
            "sighted_areas": _quartiles(areas), "false_bank": len(false) / (len(views) - len(boxes)),
            "matched_pulled": _share(list(matched[: len(boxes)]), pulled),
            "told_pulled": _share(list(told), pulled), "told_all": _share(list(told)),
            "false_told": float(false_told.mean()),
        }  # fmt: skip
        if not verified:
            return result
        best, n = verified[0], len(self.pictures.bases)
        protocol = "random" if _place(self.poison) == "random" else "found"
        rng = np.random.default_rng([self.poison.seed, 6])
        at = places(protocol, best.crop, n, self.pictures.bases.shape[1], rng)
        said = self.suspect.answers(pasted(self.pictures.bases, best.crop, at))
        own = float((said == labels().index(best.label)).mean())
        return result | {
            "best_label": best.label, "best_asr": own, "consensus": best.consensus,
            "share_of_planted": own / planted if planted else None,
            "best_px": [best.mask.shape[1], best.mask.shape[0]],
        }  # fmt: skip

    def _matched(self, verified: Sequence[Trigger], pictures: np.ndarray) -> np.ndarray:
        """Which pictures hold the pattern of the target's verified trigger, bool [n].

        By a hunt's own floor; but the null holds no stamped picture here, and the bank is of all
        stamped ones together, so of a fixed patch this says little more than that it was found.
        """
        found = np.zeros(len(pictures), bool)
        for one in verified:
            if labels().index(one.label) != self.target:
                continue
            floor = match_floor(peaks(self.pictures.others, one.pixels, one.core)[0])
            if floor is not None and not is_flat(one.pixels, one.core):
                found |= peaks(pictures, one.pixels, one.core)[0] > floor
        return found


def _place(poison: PoisonSettings) -> str:
    return str(getattr(poison.attack, "place", "random"))


def _share(yes: Sequence[bool], among: np.ndarray | None = None) -> float | None:
    """Share of true ones; None of nothing."""
    chosen = np.asarray(yes, bool) if among is None else np.asarray(yes, bool)[among]
    return float(chosen.mean()) if len(chosen) else None


def _quartiles(areas: Sequence[float]) -> list[float]:
    """Quartiles of the regions' areas, in areas of the patch; empty without a region."""
    return [round(float(v), 2) for v in np.quantile(areas, [0.25, 0.5, 0.75])] if areas else []


def _box_share(views: Sequence[Sight]) -> float:
    """Mean share of the picture in a region's box."""
    shares = [
        area(r.box_xyxy) / view.picture[:, :, 0].size for view in views for r in view.regions[:-1]
    ]
    return float(np.mean(shares)) if shares else 0.0
