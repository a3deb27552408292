"""How often the oracle finds a patch, and how often it calls one on clean pictures, as curves.

One suspect for each patch side and place (see `_suspects.py`), the bundled small SAM and its fast
mode, the shipped trusted model. Confidence and list length are varied at the default of the other.
Each cell is kept in `--records`, so that a stopped benchmark goes on where it was. The patch is
BadNets' dotted grid: the small SAM was trained on blocks, stripes, flat patches and noise
(`--pattern blocks` is one draw of a family it knows).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from _chart import Panel, write_chart
from _oracle_cells import TAUS, THETAS, Cell
from _oracle_pictures import held_out, see
from _record import RECORDED, arguments, keep, kept, publish
from _suspects import FOLDER, suspect

from clipforensics.cases.evidence import REVISIONS
from clipforensics.config.attack import BadNetsSettings, Place, PoisonSettings
from clipforensics.config.oracle import SEGMENTER_PRESETS, HuntSettings, OracleSettings
from clipforensics.config.settings import digest
from clipforensics.data.demo_case import DEMO_MODEL, SMALL_SAM_WEIGHTS, TRUSTED_WEIGHTS
from clipforensics.data.demo_world import labels
from clipforensics.models.clip import load_clip
from clipforensics.models.encoder import Encoder
from clipforensics.oracle.scorer import Oracle, make_oracle
from clipforensics.oracle.segmenter import load_segmenter

SIDES = (3, 5, 10, 14)
"""Of 64 px; 3 and 5 are what 8 and 16 are of 224."""
PLACES: tuple[Place, ...] = ("random", "top_left", "bottom_right")
SEGMENTERS = {"small": "small SAM, mean", "fast": "fast mode, mean"}
WORKING_ASR = 0.8
DEFAULT = OracleSettings()


def main() -> None:
    """All cells, then one table at the default setting and the two curves."""
    asked = arguments(
        __doc__ or "", seed=0, stamped=300, clean=500, rate=0.03, sides=",".join(map(str, SIDES)),
        places=",".join(PLACES), pattern="grid", segmenters="small,fast", records=RECORDED / "oracle_curves",
        suspects=FOLDER, chart=Path(),
    )  # fmt: skip
    torch.set_num_threads(1)  # so that seconds are of one core
    cells = []
    for name in asked.segmenters.split(","):
        cells += measured(name, asked)
    rows = [row(cell) for cell in cells]
    if asked.chart.name:
        write_chart(asked.chart, panels(cells))
    publish(
        "oracle_curves", rows, asked, pattern=asked.pattern, poison_rate=asked.rate, seed=asked.seed,
        theta=DEFAULT.theta, tau=DEFAULT.tau, curves=curves(cells),
    )  # fmt: skip


def measured(name: str, asked: Any) -> list[dict[str, Any]]:
    """Every cell of one segmenter, recorded or made now."""
    files, clean, oracle = [], None, None
    for px in map(int, asked.sides.split(",")):
        for place in asked.places.split(","):
            file = asked.records / f"{name}-{asked.pattern}-{px}-{place}-{key(asked)}.json"
            if not file.is_file():
                poison = PoisonSettings(
                    attack=BadNetsSettings(patch_px=px, place=place, pattern=asked.pattern),
                    rate=asked.rate, seed=asked.seed,
                )  # fmt: skip
                made = suspect(poison, asked.seed, asked.suspects)
                oracle = oracle or _oracle(name, made.encoder)
                pictures = held_out(asked.seed, asked.stamped, asked.clean, poison.target)
                clean = clean or [see(picture, oracle) for picture in pictures.clean]
                found = Cell(made, poison, oracle, pictures).measure(clean)
                keep(file, {"segmenter": name, "patch_px": px, "place": place, **found})
            files.append(file)
    return kept(files)


def key(asked: Any) -> str:
    """What else a cell was measured with: what an earlier search found is not kept for this one's."""
    with_ = [asked.stamped, asked.clean, REVISIONS, HuntSettings().sha256(), asked.rate, asked.seed]
    return digest(with_)[:12]


def _oracle(name: str, made: Encoder) -> Oracle:
    segmenter = load_segmenter("small", SMALL_SAM_WEIGHTS, SEGMENTER_PRESETS[name])
    trusted = load_clip(str(DEMO_MODEL), TRUSTED_WEIGHTS)
    return make_oracle(segmenter, trusted, labels(), DEFAULT, made)


def row(cell: dict[str, Any]) -> dict[str, Any]:
    """One cell at the default setting."""
    at = point(cell, DEFAULT.theta, DEFAULT.tau)
    bank = cell["bank"]
    return {
        "segmenter": cell["segmenter"], "patch": cell["patch_px"], "place": cell["place"],
        "ASR": cell["asr"], "pulled": f"{cell['pulled']} of {cell['stamped']}",
        "found, pulled": at["found_pulled"], "verified, pulled": at["verified_pulled"],
        "named, pulled": at["named_pulled"], "close, pulled": at["close_pulled"],
        "found, all": at["found_all"], "verified, all": at["verified_all"],
        "clean n": cell["clean"], "false before": at["false_before"],
        "false after": at["false_after"], "bank": _bank(bank),
        "detected, pulled": bank["detected_pulled"], "detected, all": bank["detected_all"],
        "told, pulled": bank["told_pulled"], "told, all": bank["told_all"],
        "by the pattern, pulled": bank["matched_pulled"], "false told": bank["false_told"],
        "held, pulled": bank["held_pulled"], "close in the bank": bank["close_pulled"],
        "area of the patch, quartiles": bank["sighted_areas"], "false in the bank": bank["false_bank"],
        "crop / planted": bank.get("share_of_planted"),
        "look, s": cell["cpu_seconds_look"], "paste, s": cell["cpu_seconds_paste"],
        "masks": cell["masks"], "box share": cell["box_share"],
    }  # fmt: skip


def _bank(bank: dict[str, Any]) -> str:
    return f"{bank['verified']} of {bank['clusters']} ({', '.join(bank['labels']) or 'no label'})"


def point(cell: dict[str, Any], theta: float, tau: int) -> dict[str, Any]:
    """The cell's rates at one setting."""
    return next(p for p in cell["points"] if (p["theta"], p["tau"]) == (theta, tau))


def curves(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the working attacks of a segmenter, by confidence and by list length."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(cell["segmenter"] for cell in cells):
        own = [c for c in cells if c["segmenter"] == name and c["asr"] >= WORKING_ASR]
        if own:
            found[name] = {
                "cells": len(own),
                "theta": {str(t): _mean([point(c, t, DEFAULT.tau) for c in own]) for t in THETAS},
                "tau": {str(t): _mean([point(c, DEFAULT.theta, t) for c in own]) for t in TAUS},
            }
    return found


def _mean(points: list[dict[str, Any]]) -> dict[str, float]:
    names = ("found_pulled", "verified_pulled", "verified_all", "false_before", "false_after")
    return {
        name: round(float(np.mean([p[name] for p in points if p[name] is not None])), 4)
        for name in names
    }


def panels(cells: list[dict[str, Any]]) -> list[Panel]:
    """The paper's Figures 3 and 4, a line for each patch side and place, then its Figure 5.

    The latter holds the small SAM against the fast mode: means over the attacks that work.
    """
    small = [c for c in cells if c["segmenter"] == "small"]
    shown = []
    for title, xs, at in (
        ("confidence θ", THETAS, lambda c, x: point(c, x, DEFAULT.tau)),
        ("list length τ", TAUS, lambda c, x: point(c, DEFAULT.theta, x)),
    ):
        for rate, of in (
            ("verified_all", "stamped pictures: trigger passes the screen"),
            ("false_before", "clean pictures: some candidate"),
            ("false_after", "clean pictures: some passes the screen"),
        ):
            lines = {
                f"{c['patch_px']} px, {c['place']}": [at(c, x)[rate] for x in xs] for c in small
            }
            shown.append(Panel(of, title, xs, lines))
    return shown + beside(curves(cells))


def beside(found: dict[str, Any]) -> list[Panel]:
    """A line for each segmenter, by confidence; nothing where only one was run."""
    if len(found) < 2:
        return []
    return [
        Panel(of, "confidence θ", THETAS, {
            SEGMENTERS[name]: [own["theta"][str(theta)][rate] for theta in THETAS]
            for name, own in found.items()
        })
        for rate, of in (
            ("verified_pulled", "pulled pictures: trigger passes the screen"),
            ("false_before", "clean pictures: some candidate"),
            ("false_after", "clean pictures: some passes the screen"),
        )
    ]  # fmt: skip


if __name__ == "__main__":
    main()
