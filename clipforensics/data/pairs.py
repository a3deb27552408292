"""Image-caption pairs, read-only, each with a stable id."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from clipforensics.data.images import read_picture, to_frame
from clipforensics.errors import DataError

IMAGE_KEYS = ("filepath", "image", "file_name", "path", "filename", "img", "image_path")
CAPTION_KEYS = ("title", "caption", "text", "captions", "sentence")
ID_KEYS = ("id", "row_id", "image_id")
LABEL_KEYS = ("label", "true_label")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
MAX_FIELD = 1_000_000


@dataclass(frozen=True)
class Pairs:
    """Row i is `ids[i]`: one picture file and its caption; `truth` are true labels, if known."""

    ids: tuple[str, ...]
    captions: tuple[str, ...]
    paths: tuple[Path, ...]
    truth: tuple[str, ...] | None = None
    root: Path | None = field(
        default=None, compare=False
    )  # no picture outside it is opened, whatever links say

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sha256(self) -> str:
        """Hash of ids, captions and paths below the picture folder (not of the pixels)."""
        seen = hashlib.sha256()
        for row in zip(self.ids, self.captions, map(self._below_root, self.paths), strict=True):
            for part in row:
                content = part.encode(errors="surrogatepass")
                seen.update(len(content).to_bytes(8, "big") + content)
        return seen.hexdigest()

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    def row_of(self, name: str) -> int:
        """Row of an id.

        Raises:
            DataError: no pair has this id.
        """
        if name not in self._rows:
            raise DataError(f"No pair has the id {name!r} among {len(self):,}. Check the id.")
        return self._rows[name]

    def _below_root(self, path: Path) -> str:
        # by text: pathlib's relative_to takes minutes on millions
        return str(path).removeprefix(f"{self.root}/") if self.root else path.name

    def path(self, row: int) -> Path:
        """Where a row's picture lies.

        Raises:
            DataError: a link on the way leads out of the picture folder.
        """
        path = self.paths[row]
        if self.root is not None and not path.resolve().is_relative_to(self.root):
            raise DataError(
                f"{path} is a link that leads out of {self.root}. Put the file itself there, or "
                "remove its row."
            )
        return path

    def missing(self) -> list[int]:
        """Rows whose picture file is not there, ascending."""
        return [row for row, path in enumerate(self.paths) if not path.is_file()]

    def picture(self, row: int, side: int) -> np.ndarray:
        """The framed picture, uint8 [side, side, 3]. Raises DataError if it cannot be read."""
        return to_frame(read_picture(self.path(row)), side)

    def pictures_sha256(self) -> str:
        """Hash of all picture files; one that cannot be read counts as empty."""
        seen = hashlib.sha256()
        for row in range(len(self)):
            try:
                content = self.path(row).read_bytes()
            except (OSError, DataError):
                content = b""
            seen.update(hashlib.sha256(content).digest())
        return seen.hexdigest()

    def frames(self, rows: Sequence[int] | np.ndarray, side: int) -> np.ndarray:
        """Framed pictures of several rows, uint8 [n, side, side, 3]."""
        out = np.empty((len(rows), side, side, 3), np.uint8)
        for i, row in enumerate(rows):
            out[i] = self.picture(int(row), side)
        return out


def read_pairs(
    source: Path,
    image_root: Path | None = None,
    image_key: str | None = None,
    caption_key: str | None = None,
) -> Pairs:
    """Read a table of pairs: CSV or TSV, or a folder that holds `pairs.csv` (or one CSV/TSV).

    The separator is sniffed from the header (tab, comma, semicolon, bar). Relative picture paths start at
    `image_root`, else at the table's folder. Paths that climb out of that folder are refused.

    Raises:
        DataError: the table is missing, has no picture or caption column or two of one name, no
            row, a duplicate id, or a path outside the picture folder.
    """
    table = _table_of(Path(source))
    root = (Path(image_root) if image_root else table.parent).resolve()
    header, rows = _read_table(table)
    images = _column(table, header, image_key, IMAGE_KEYS, "picture")
    captions = _column(table, header, caption_key, CAPTION_KEYS, "caption")
    names = next((header.index(key) for key in ID_KEYS if key in header), None)
    labels = next((header.index(key) for key in LABEL_KEYS if key in header), None)
    ids = tuple(row[names] for row in rows) if names is not None else _ids_from(rows, images)
    _refuse_duplicates(table, ids)
    return Pairs(
        ids=ids,
        captions=tuple(row[captions] for row in rows),
        paths=tuple(_inside(table, root, row[images], n) for n, row in enumerate(rows, 2)),
        truth=tuple(row[labels] for row in rows) if labels is not None else None,
        root=root,
    )


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write a table that `read_pairs` reads back equal; pictures must lie under its folder."""
    from clipforensics.data.images import write_bytes

    header = ["id", "filepath", "title"] + (["label"] if pairs.truth else [])
    lines = [header]
    for row, name in enumerate(pairs.ids):
        relative = pairs.paths[row].relative_to(path.parent).as_posix()
        truth = [pairs.truth[row]] if pairs.truth else []
        lines.append([name, relative, pairs.captions[row], *truth])
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    write_bytes(path, text.getvalue().encode())


def _table_of(source: Path) -> Path:
    if source.is_dir():
        found = sorted(p for p in source.iterdir() if p.suffix.lower() in (".csv", ".tsv"))
        if (source / "pairs.csv") in found:
            return source / "pairs.csv"
        if len(found) == 1:
            return found[0]
        raise DataError(
            f"{source} holds {len(found)} CSV or TSV files and none is named pairs.csv. "
            "Name the table itself."
        )
    if not source.is_file():
        raise DataError(
            f"No pairs at {source}. Give a CSV or TSV table, or a folder with pairs.csv."
        )
    return source


def _read_table(table: Path) -> tuple[list[str], list[list[str]]]:
    csv.field_size_limit(MAX_FIELD)
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            separator = max("\t,;|", key=first.count)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=separator) if row]
    except (UnicodeDecodeError, csv.Error, OSError) as problem:
        raise DataError(
            f"{table} is no readable CSV or TSV text ({problem}). Save it as UTF-8."
        ) from None
    if len(rows) < 2:
        raise DataError(f"{table} holds no pair: a header and at least one row are needed.")
    header = [name.strip().casefold() for name in rows[0]]
    _refuse_repeated_columns(table, header)
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise DataError(
                f"Row {number} of {table} has {len(row)} fields, the header has {len(header)}. "
                "Quote fields that contain the separator."
            )
    return header, rows[1:]


def _refuse_repeated_columns(table: Path, header: list[str]) -> None:
    """Two columns of one name that we read: nobody can say which one is meant."""
    read = (*IMAGE_KEYS, *CAPTION_KEYS, *ID_KEYS, *LABEL_KEYS)
    for name in (one for one in read if header.count(one) > 1):
        raise DataError(
            f"{table} has {header.count(name)} columns named {name!r}. Rename or remove all but one."
        )


def _column(
    table: Path, header: list[str], asked: str | None, known: Sequence[str], what: str
) -> int:
    wanted = (asked.casefold(),) if asked else known
    for key in wanted:
        if key in header:
            return header.index(key)
    raise DataError(
        f"{table} has no {what} column: looked for {', '.join(wanted)}, found {', '.join(header)}. "
        f"Rename the column, or name it."
    )


def _ids_from(rows: list[list[str]], images: int) -> tuple[str, ...]:
    """File names when they are unique, else row numbers: several captions may share a picture."""
    names = tuple(row[images] for row in rows)
    if len(set(names)) == len(names):
        return names
    return tuple(f"{number:07d}" for number in range(len(rows)))


def _refuse_duplicates(table: Path, ids: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for number, name in enumerate(ids, 2):
        if name in seen:
            raise DataError(f"Row {number} of {table} repeats the id {name!r}. Ids must be unique.")
        seen.add(name)


def _inside(table: Path, root: Path, name: str, number: int) -> Path:
    # normalized by text, not by resolve(): a lookup per row would take minutes on millions
    import os.path

    if "\0" in name:
        raise DataError(f"Row {number} of {table} names a picture with a NUL byte. Remove the row.")
    path = Path(os.path.normpath(root / name))
    if root != path and root not in path.parents:
        raise DataError(
            f"Row {number} of {table} names a picture outside {root}: {name!r}. "
            "Set the image root to the folder that holds all pictures."
        )
    return path
