"""How fast rows are scored: against scikit-learn's LOF, and against this machine's own products.

One run measures all: on the same synthetic rows single-precision matrix products, our scoring
(B 2,048, T 5) and scikit-learn's LOF; whole-set LOF, exact and with an inverted file, on embeddings
of 50,000 demo-world pictures, which are drawn and encoded the first time; and float16 rows read
from a file, with the peak of resident memory above the interpreter's own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _embeddings import demo_embeddings
from _record import publish

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.device import device_for
from clipforensics.detect.reference import score
from clipforensics.detect.workers import cores

WIDTH, GPU_WIDTH, TOPICS, REAL_ROWS = 512, 1024, 500, 50_000
MEASURE_FILE = """
import json, re, sys, time
import numpy as np
import faiss, threadpoolctl
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.reference import score
# of this program alone: what getrusage says includes the process that started it
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024 / 1e9
before, began = peak(), time.perf_counter()
x = np.load(sys.argv[1], mmap_mode="r")
score(x, "lof", DensitySettings(), ReferenceSettings(draws=int(sys.argv[2])))
print(json.dumps({"seconds": time.perf_counter() - began, "peak_gb": peak() - before}))
"""


def main() -> None:
    """`--rows` in memory, `--file-rows` (comma-separated) from float16 files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--file-rows", default="100000,300000,3000000", help="the last takes 3 GB")
    parser.add_argument("--gpu-rows", type=int, default=3_000_000, help="where there is a GPU")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--skip-sklearn", action="store_true", help="it takes minutes at 100,000")
    parser.add_argument("--sklearn-rows", type=int, help="it on fewer rows; time grows by squares")
    parser.add_argument("--embeddings", type=Path, help="other rows for the whole-set LOF, .npy")
    parser.add_argument("--skip-whole-set", action="store_true", help="no whole-set LOF")
    asked = parser.parse_args()
    x = topical_rows(asked.rows, np.random.default_rng(0))
    before, ours, after = product_rate(), scored(x, asked.draws), product_rate()
    rate = (before + after) / 2  # other load comes and goes
    ours["share of product"] = ours["gflops"] / rate
    rows = [{"what": "float32 matrix product", "gflops": rate}, ours]
    if not asked.skip_sklearn:
        theirs = scikit_learn(x[: asked.sklearn_rows])
        grown = (len(x) / theirs["rows"]) ** 2  # 1 where it had all rows
        rows.append({**theirs, "seconds at our rows, by squares": theirs["seconds"] * grown})
        ours["times scikit-learn"] = theirs["seconds"] * grown / ours["seconds"]
    if not asked.skip_whole_set:
        given = asked.embeddings and np.load(asked.embeddings, mmap_mode="r", allow_pickle=False)
        real = demo_embeddings(REAL_ROWS) if given is None else given[:REAL_ROWS]
        rows += whole_set(np.asarray(real, np.float32))
    rows += [from_file(int(n), asked.draws) for n in asked.file_rows.split(",") if n]
    if device_for(np.inf) == "cuda":
        rows.append(from_file(asked.gpu_rows, asked.draws, GPU_WIDTH))
    publish("speed", rows, asked, width=WIDTH, used_cores=cores(), reference="B 2048, k 16")


def topical_rows(n: int, rng: np.random.Generator, width: int = WIDTH) -> np.ndarray:
    """float32 [n, width] around 500 topics."""
    topics = rng.standard_normal((TOPICS, width), np.float32) / 2
    return topics[rng.integers(TOPICS, size=n)] + rng.standard_normal((n, width), np.float32)


def product_rate(seconds: float = 3.0) -> float:
    """GFLOP/s of a 2,048-row product of this width, the median of some seconds, all cores."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2048 * cores(), WIDTH), np.float32)
    b = np.ascontiguousarray(rng.standard_normal((2048, WIDTH), np.float32).T)
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        a @ b
        took.append(time.perf_counter() - began)
    return 2 * len(a) * 2048 * WIDTH / float(np.median(took)) / 1e9


def scored(x: np.ndarray, draws: int) -> dict[str, Any]:
    """Our scoring, and the rate at which a plain search would have had to multiply."""
    began = time.perf_counter()
    made = score(x, "lof", DensitySettings(), ReferenceSettings(draws=draws))
    seconds = time.perf_counter() - began
    size = np.mean(made.info["reference_size_true"])
    gflops = 2 * draws * len(x) * size * x.shape[1] / seconds / 1e9
    return {
        "what": f"LOF, B 2048, {draws} draws", "rows": len(x), "seconds": seconds,
        "rows/s a draw": draws * len(x) / seconds, "gflops": gflops,
    }  # fmt: skip


def scikit_learn(x: np.ndarray) -> dict[str, Any]:
    """scikit-learn's LOF on the same rows, all cores."""
    from sklearn.neighbors import LocalOutlierFactor

    began = time.perf_counter()
    LocalOutlierFactor(n_neighbors=16, n_jobs=cores()).fit(x)
    seconds = time.perf_counter() - began
    return {"what": "scikit-learn LOF", "rows": len(x), "seconds": seconds}


def whole_set(x: np.ndarray, rounds: int = 5) -> list[dict[str, Any]]:
    """Whole-set LOF, exact and with an inverted file, in turns: seconds, and how alike they rank."""
    from scipy.stats import spearmanr

    from clipforensics.detect.whole_set import whole_set_lof

    took: dict[str, list[float]] = {"exact": [], "ivf": []}
    found = {}
    for _ in range(rounds):  # other load comes and goes
        for mode, seconds in took.items():
            began = time.perf_counter()
            found[mode] = whole_set_lof(x, DensitySettings(), mode)
            seconds.append(time.perf_counter() - began)
    rows: list[dict[str, Any]] = [
        {"what": f"whole-set LOF, {mode}", "rows": len(x), "seconds": float(np.median(seconds))}
        for mode, seconds in took.items()
    ]
    times = sorted(exact / fast for exact, fast in zip(took["exact"], took["ivf"], strict=True))
    rows[1]["times exact"] = times[len(times) // 2]
    rows[1]["times exact, over rounds"] = f"{times[0]:.1f} to {times[-1]:.1f}"
    rows[1]["spearman"] = float(spearmanr(found["exact"], found["ivf"]).statistic)
    return rows


def from_file(n: int, draws: int, width: int = WIDTH) -> dict[str, Any]:
    """float16 rows of a file, scored in a process of its own, with its peak memory.

    The rate is that at which a plain search in sets of 2,048 would have had to multiply.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.npy"
        write_rows(path, n, width)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE_FILE, str(path), str(draws)],
            stdout=subprocess.PIPE, text=True, check=True, env=os.environ,
        )  # fmt: skip
    made = json.loads(done.stdout)
    return {
        "what": f"float16 file, width {width}, {draws} draws", "rows": n,
        "seconds": made["seconds"], "rows/s a draw": draws * n / made["seconds"],
        "gflops": 2 * draws * n * 2048 * width / made["seconds"] / 1e9,
        "peak GB above start": made["peak_gb"],
    }  # fmt: skip


def write_rows(path: Path, n: int, width: int) -> None:
    """A float16 file of n rows, block by block."""
    rng = np.random.default_rng(1)
    table = np.lib.format.open_memmap(path, "w+", np.float16, (n, width))
    for start in range(0, n, 50_000):
        part = topical_rows(min(50_000, n - start), rng, width)
        table[start : start + len(part)] = part
    table.flush()


if __name__ == "__main__":
    main()
