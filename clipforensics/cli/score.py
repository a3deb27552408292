"""score: any table of embeddings, without a case."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from clipforensics import __version__
from clipforensics.cli.cases import Collapse, reference_settings
from clipforensics.cli.output import Json, answer, progress_line, unlike_in_kind
from clipforensics.config.detect import (
    DETECTORS,
    SEARCH_MODES,
    DensitySettings,
    ReferenceSettings,
)
from clipforensics.config.settings import digest, parse
from clipforensics.detect.embeddings import Copies
from clipforensics.errors import ConfigError, DataError

ARCHIVE = b"PK"
UNFINISHED = 8  # zero rows in a row at a file's end that no honest picture leaves
SHOWN_GROUPS, EXAMPLES = 50, 12  # groups of copies that are told, and rows of each
TAIL = 4096  # rows looked at together, from the end


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(score)


def score(
    embeddings: Annotated[
        Path, typer.Argument(help="float16, float32 or float64 [n, d], as .npy.")
    ],
    detector: Annotated[str, typer.Option(help=f"One of {', '.join(DETECTORS)}.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Parquet with columns row, score, and over several draws spread (of ln score)."
        ),
    ],
    k: Annotated[int, typer.Option(help="Neighbours.")] = DensitySettings().k,
    reference_size: Annotated[str, typer.Option(help="Rows per reference set, or all.")] = "2048",
    mode: Annotated[
        str,
        typer.Option(help=f"With all: {' or '.join(SEARCH_MODES)}, which is fast and misses some."),
    ] = SEARCH_MODES[0],
    draws: Annotated[int, typer.Option(help="Random reference sets averaged.")] = 5,
    seed: Annotated[int, typer.Option()] = 0,
    normalize: Annotated[bool, typer.Option(help="Score by angle alone.")] = False,
    collapse: Collapse = True,
    clean: Annotated[
        Path | None, typer.Option(help="Embeddings of clean pairs, to calibrate a cut on.")
    ] = None,
    false_rate: Annotated[float, typer.Option(help="Clean rows flagged / clean rows.")] = 0.01,
    json: Json = False,
) -> None:
    """Score every row: higher is more suspicious. One that was killed goes on where it was."""
    import time

    from clipforensics.detect.reference import score_each
    from clipforensics.jobs.scanning.resuming import Keeper

    x = read_embeddings(embeddings)
    check_out(out, [embeddings, *([clean] if clean else [])])
    reference = reference_settings(reference_size, draws, seed, normalize, collapse)
    sound = None if clean is None else read_clean(clean, x.shape, false_rate, normalize)
    if sound is not None and mode != SEARCH_MODES[0]:
        raise ConfigError(
            f"A cut from clean rows needs mode {SEARCH_MODES[0]}, got {mode}: clean rows are searched "
            "exactly, and would be compared with scores that are not."
        )
    density = parse(DensitySettings, {"k": k})
    asked = {"detector": detector, "density": density.model_dump(mode="json"),
             "reference": reference.model_dump(mode="json"), "mode": mode,
             "version": __version__}  # fmt: skip
    version = file_version(embeddings)
    keeper = Keeper(out.with_name(f"{out.name}-{digest([version, asked])[:16]}"))
    tell, began = progress_line(), time.perf_counter()
    try:
        (scores,) = score_each(
            x, [(detector, density)], reference,
            lambda done, n: tell(done, n, f"scoring by {detector}"),
            state=keeper.begun(), keep=keeper.keep, mode=mode,
        )  # fmt: skip
    finally:
        changed = file_version(embeddings) != version
        if changed:  # what was kept is of another file
            keeper.forget()
    seconds = time.perf_counter() - began
    if changed:
        raise DataError(
            f"{embeddings} changed while it was scored. Score it again when it is whole."
        )
    write_scores(out, scores.mean, scores.spread if scores.info["draws"] > 1 else None)
    keeper.forget()
    told = {}
    if sound is not None:
        told = _cut(x, scores.mean, sound, false_rate, detector, density, reference)
    groups = copy_groups(scores.copies) if scores.copies else []
    answer({"rows": len(x), "seconds": seconds, "out": str(out), "info": scores.info,
            "counted_once": groups, **told}, json)  # fmt: skip


def copy_groups(copies: Copies) -> list[dict[str, Any]]:
    """The largest groups of rows that counted as one: how many they are, and the first of them."""
    return [
        {"rows": len(rows), "first": rows[:EXAMPLES].tolist()}
        for rows in copies.groups()[:SHOWN_GROUPS]
    ]


def _cut(
    x: np.ndarray,
    own: np.ndarray,
    clean: np.ndarray,
    false_rate: float,
    detector: str,
    density: DensitySettings,
    reference: ReferenceSettings,
) -> dict[str, Any]:
    """The cut that the clean rows give, and what it flags."""
    from clipforensics.detect.clean import score_clean
    from clipforensics.detect.thresholds import count_flagged, cut_from_clean, unlike

    found = score_clean(x, clean, detector, density, reference)
    made, odd = cut_from_clean(found, false_rate), unlike(found, own)
    return {
        "cut": made.cut, "false_rate": made.false_rate, "false_rate_high": made.high,
        "clean": made.clean, "expected": made.expected(len(own))[0],
        "flagged": count_flagged(own, made.cut), "same_kind": odd is None,
        **({} if odd is None else {"warning": unlike_in_kind("rows")}),
    }  # fmt: skip


def read_clean(
    path: Path, shape: tuple[int, ...], false_rate: float, normalize: bool = False
) -> np.ndarray:
    """Different clean rows, if a cut can be taken from them: told before hours of work.

    Raises:
        DataError: no table, of another width than the embeddings, not finite, or (if normalize)
            a zero row.
        ConfigError: too few different rows for this rate, or no rate.
    """
    from clipforensics.detect.embeddings import check_embeddings, find_copies
    from clipforensics.detect.thresholds import cut_from_clean

    clean = read_embeddings(path)
    check_embeddings(clean, normalize)
    if clean.shape[1:] != shape[1:]:
        raise DataError(
            f"{path} has {clean.shape[1]} numbers a row, the embeddings {shape[-1]}. "
            "Embed both with the same model."
        )
    different = clean[find_copies(clean, normalize).first]
    try:
        cut_from_clean(np.arange(float(len(different))), false_rate)
    except ConfigError as problem:
        if len(different) == len(clean):
            raise
        raise ConfigError(
            f"Of the {len(clean):,} rows of {path} {len(different):,} differ, and copies tell "
            f"nothing new: {problem}"
        ) from None
    return different


def read_embeddings(path: Path) -> np.ndarray:
    """Memory-map a .npy file without unpickling anything.

    Raises:
        DataError: missing, damaged, still being written, or not one table of numbers. A file that
            was laid out before it was filled ends in zero rows; a few, or some elsewhere, are
            pictures without a direction, and pass.
    """
    if not path.is_file():
        raise DataError(f"No embeddings at {path}. Give a .npy file of shape [n, d].")
    with path.open("rb") as file:
        start = file.read(len(ARCHIVE))
    if start == ARCHIVE:  # numpy would open it as such, and leave a damaged one open
        raise DataError(
            f"{path} is an archive of arrays (.npz), not one .npy table. Save the table of "
            "embeddings alone, with numpy.save."
        )
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as problem:
        raise DataError(
            f"{path} is no complete .npy table of numbers ({problem}). Save it again."
        ) from None
    held, said = path.stat().st_size, getattr(x, "offset", 0) + x.nbytes
    if isinstance(x, np.memmap) and held != said:
        raise DataError(
            f"{path} holds {held:,} bytes where its header says {said:,}: it is still being "
            "written, or damaged. Save it again."
        )
    empty = zeros_at_the_end(x) if x.ndim == 2 else 0
    if empty >= UNFINISHED:
        raise DataError(
            f"The last {empty:,} of {len(x):,} rows of {path} are all zero: it looks unfinished. "
            "Score it when it is whole, or save it without these rows."
        )
    return x


def zeros_at_the_end(x: np.ndarray) -> int:
    """How many rows at the end of a table [n, d] are zero; reads only these and the block before."""
    from clipforensics.detect.embeddings import check_whole, release

    for stop in range(len(x), 0, -TAIL):
        check_whole(x)
        filled = np.flatnonzero(np.asarray(x[max(0, stop - TAIL) : stop]).any(axis=1))
        release(x)
        if len(filled):
            return len(x) - max(0, stop - TAIL) - int(filled[-1]) - 1
    return len(x)


def file_version(path: Path) -> list[int | str]:
    """What changes when somebody writes into a file, or takes it away."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return [str(path.resolve())]
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse a file that could not or must not be written, before hours of work.

    Raises:
        DataError: its folder is not there, it is a folder, or it is read from.
    """
    if out.is_dir():
        raise DataError(f"{out} is a folder. Name a file in it.")
    if out.resolve() in [path.resolve() for path in inputs]:
        raise DataError(f"{out} is read from, and would be overwritten. Name another file.")
    if not out.parent.is_dir():
        raise DataError(f"No folder {out.parent} to write {out.name} into. Make it first.")


def write_scores(out: Path, scores: np.ndarray, spread: np.ndarray | None = None) -> None:
    """Parquet with columns row, score and, if there is one, spread, all at once."""
    import io

    import pyarrow
    import pyarrow.parquet

    from clipforensics.data.images import write_bytes
    from clipforensics.jobs.scanning.resuming import naming

    more = {} if spread is None else {"spread": spread}
    table = pyarrow.table({"row": np.arange(len(scores)), "score": scores, **more})
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    with naming(out.parent):
        write_bytes(out, buffer.getvalue())
