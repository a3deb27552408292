"""The attack table as it stands in docs/RESULTS.md, from the file that the Lab page reads."""

from collections.abc import Iterator
from pathlib import Path

from _attack_told import past_concept

from clipforensics.config.results import DetectionRow, read_detection
from clipforensics.errors import DataError

MAIN = ("lof", "lof, whole set", "scales", "clip", "combined", "feature norm")
RECALLED = ("lof", "scales", "clip", "combined")
TITLES = {
    "lof": "LOF", "lof, whole set": "LOF, whole set", "scales": "scales", "clip": "CLIP score",
    "combined": "**both**", "feature norm": "feature norm",
}  # fmt: skip


def pages(path: Path) -> str:
    """When they were measured and how, and both tables, as Markdown.

    Raises:
        DataError: there is no such file, or it is no such table.
    """
    table = read_detection(path)
    if table is None:
        raise DataError(f"No results at {path}. Write them with `bench detection --out {path}`.")
    rows: dict[tuple[str, float], dict[str, DetectionRow]] = {}
    for row in table.rows:
        rows.setdefault((row.attack, row.rate), {})[row.detector] = row
    about = f"Last measured {table.made[:10]} by `{table.command}` (torch {table.versions.get('torch', '?')})."
    return "\n".join([about, "", *_main(rows), "", *_budgets(rows)])


def _main(rows: dict[tuple[str, float], dict[str, DetectionRow]]) -> Iterator[str]:
    recalled = [TITLES[name] for name in RECALLED]
    yield _line(
        ["attack", "rate", "seeds", "ASR (PSR)", "CA", *(TITLES[name] for name in MAIN),
         f"recall 1 %: {recalled[0]}", *recalled[1:], "target label suspected"]
    )  # fmt: skip
    yield "|" + "---|" * (6 + len(MAIN) + len(RECALLED))
    for (attack, rate), by in rows.items():
        one = by["lof"]
        success = f"{one.asr_or_psr:.2f}" if one.working else f"*{one.asr_or_psr:.2f}*"
        yield _line([
            _name(attack, rate), f"{rate:.1%}", str(one.seeds), success, f"{one.ca:.3f}",
            *(f"{by[name].auroc:.3f}" for name in MAIN),
            *(f"{by[name].recall_0_01:.2f}" for name in RECALLED),
            f"first in {one.target_first} of {one.seeds}",
        ])  # fmt: skip


def _budgets(rows: dict[tuple[str, float], dict[str, DetectionRow]]) -> Iterator[str]:
    heads = [f"{TITLES[name]}: AUROC | AP; .1 %, 5 %" for name in RECALLED]
    yield _line(["attack", "rate", "poisons", *heads])
    yield "|" + "---|" * (3 + 2 * len(RECALLED))
    for (attack, rate), by in rows.items():
        cells = [_name(attack, rate), f"{rate:.1%}", str(by["lof"].poisons)]
        for one in (by[name] for name in RECALLED):
            cells.append(f"{_short(one.auroc, 3)} ± {_short(one.auroc_sd or 0.0, 3)}")
            recalls = f"{_short(one.recall_0_001)}, {_short(one.recall_0_05)}"
            cells.append(f"{_short(one.average_precision)}; {recalls}")
        yield _line(cells)


def _name(attack: str, rate: float) -> str:
    return f"{attack} †" if past_concept(attack, rate) else attack


def _short(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".removeprefix("0") if value < 1 else f"{value:.{digits}f}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
