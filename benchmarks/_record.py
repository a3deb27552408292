"""How every benchmark says what it measured: machine, versions, figures, JSON or a table."""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics import __version__
from clipforensics.cases.case import Case
from clipforensics.cases.evidence import write_json
from clipforensics.cases.provenance import utc_now, versions
from clipforensics.config.demo import DemoSettings
from clipforensics.jobs.attacking.demo import demo

RECORDED = Path(__file__).resolve().parents[1] / "assets" / "results"
"""Cells that take minutes each are kept here, in the repository: a fresh clone prints their tables at
once, and measures what changed since, or all of them with `--records ELSEWHERE`."""
PACKAGES = ("torch", "numpy", "faiss-cpu", "umap-learn", "scikit-learn", "open_clip_torch")


def arguments(description: str, **defaults: Any) -> argparse.Namespace:
    """`--json`, `--case` (an existing demo case; else one is made), and the benchmark's own: a number, a
    text, or, where the default is False, a flag."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--case", type=Path, default=None, help="an existing demo case")
    for name, value in defaults.items():
        kind: dict[str, Any] = {"action": "store_true"} if value is False else {"type": type(value)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **kind)
    return parser.parse_args()


@contextmanager
def demo_case(folder: Path | None) -> Iterator[Case]:
    """The demo case at `folder`, or a fresh one that is removed afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch) / "demo"
        demo(place, DemoSettings(), say, lambda: False)
        yield Case.open(place)


def say(step: int, total: int, message: str = "", **_: Any) -> None:
    """One line on stderr when a stage ends."""
    if step >= total:
        sys.stderr.write(f"{message}: {total:,}\n")


def keep(path: Path, record: dict[str, Any]) -> None:
    """Write a cell's record, with when and with what it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**record, "made": utc_now(), "versions": versions()})


def kept(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The records of those cells that are there, and a line on stderr that says how many."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]
    days = sorted(one["made"][:10] for one in found)
    when = f", made {days[0]} to {days[-1]}" if days else ""
    sys.stderr.write(f"{len(found)} of {len(paths)} cells are recorded{when}.\n")
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Mean, standard deviation and n."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "sd": deviation, "n": len(values)}


def publish(name: str, rows: list[dict[str, Any]], asked: argparse.Namespace, **facts: Any) -> None:
    """Print the record, as JSON or as a Markdown table."""
    record = {
        "benchmark": name,
        **facts,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {"clipforensics": __version__, **{p: version(p) for p in PACKAGES}},
        "rows": rows,
    }
    if asked.json:
        print(json.dumps(record))
        return
    for key, value in record.items():
        if key != "rows":
            print(f"{key}: {value}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_cell(row.get(key)) for key in columns) + " |")


def _cell(value: Any) -> str:
    if isinstance(value, dict) and "mean" in value:
        spread = f" ± {value['sd']:.4f}" if value["n"] > 1 else ""  # one value has none
        return f"{value['mean']:.4f}{spread}"
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)
