"""The demo scan's seconds, stage by stage, and as a multiple of the encoder's bare forward pass.

The bare pass encodes the same pictures, already decoded and in memory, in the same batches, in the
same process.
"""

import tempfile
import time
from pathlib import Path

from _record import arguments, publish, say

from clipforensics.cases.case import Case
from clipforensics.config.demo import DemoSettings
from clipforensics.jobs.attacking.demo import demo
from clipforensics.jobs.scanning.embedding import BATCH


def main() -> None:
    """A fresh demo case; pairs are drawn, then scanned, then encoded bare."""
    asked = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        made = demo(Path(scratch) / "demo", DemoSettings(), say, lambda: False)
        case = Case.open(Path(scratch) / "demo")
        bare = bare_forward(case)
    stages = made["stage_seconds"]
    rows = [{"stage": name, "seconds": s, "bare forwards": s / bare} for name, s in stages.items()]
    scan = made["scan_seconds"]
    rows.append({"stage": "scan in all", "seconds": scan, "bare forwards": scan / bare})
    rows.append({"stage": "bare forward", "seconds": bare, "bare forwards": 1.0})
    publish("scan", rows, asked, pairs=made["rows"])


def bare_forward(case: Case) -> float:
    """Seconds of encoding all pictures from memory."""
    encoder = case.suspect()
    frames = case.pairs.frames(range(len(case.pairs)), encoder.side)
    encoder.encode_pictures(frames[:BATCH])  # the first call sets buffers up
    began = time.perf_counter()
    for start in range(0, len(frames), BATCH):
        encoder.encode_pictures(frames[start : start + BATCH])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
