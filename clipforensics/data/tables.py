"""Tables of pairs and of labelled test pictures: read, and written."""

import csv
import io
import os.path
from collections.abc import Sequence
from pathlib import Path

from clipforensics.data.images import write_bytes
from clipforensics.data.pairs import Pairs, resolved
from clipforensics.errors import DataError

IMAGE_KEYS = ("filepath", "image", "file_name", "path", "filename", "img", "image_path")
CAPTION_KEYS = ("title", "caption", "text", "captions", "sentence")
ID_KEYS = ("id", "row_id", "image_id")
LABEL_KEYS = ("label", "true_label")
MAX_FIELD = 1_000_000


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
    return _read(source, image_root, image_key, caption_key, captions_needed=True)


def read_test(source: Path, image_root: Path | None = None) -> Pairs:
    """Read a labelled test table: as `read_pairs`, but with a label column, and captions or none.

    Raises:
        DataError: as `read_pairs`, but that it may lack captions; or it has no label column.
    """
    test = _read(source, image_root, None, None, captions_needed=False)
    if test.truth is None:
        raise DataError(f"{source} has no label column. A test set needs true labels; add one.")
    return test


def _read(
    source: Path, image_root: Path | None, image_key: str | None, caption_key: str | None,
    captions_needed: bool,
) -> Pairs:  # fmt: skip
    table = _table_of(Path(source))
    root = resolved(Path(image_root) if image_root else table.parent)
    header, rows = _read_table(table)
    images = _column(table, header, image_key, IMAGE_KEYS, "picture")
    captions = _first(header, CAPTION_KEYS)
    if captions_needed:
        captions = _column(table, header, caption_key, CAPTION_KEYS, "caption")
    names, labels = _first(header, ID_KEYS), _first(header, LABEL_KEYS)
    ids = tuple(row[names] for row in rows) if names is not None else _ids_from(rows, images)
    _refuse_duplicates(table, ids)
    return Pairs(
        ids=ids,
        captions=tuple("" if captions is None else row[captions] for row in rows),
        paths=tuple(_inside(table, root, row[images], n) for n, row in enumerate(rows, 2)),
        truth=tuple(row[labels] for row in rows) if labels is not None else None,
        root=root,
    )


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write a table that `read_pairs` reads back equal; pictures must lie under its folder."""
    header = ["id", "filepath", "title"] + (["label"] if pairs.truth else [])
    lines = [header]
    for row, name in enumerate(pairs.ids):
        relative = pairs.paths[row].relative_to(path.parent).as_posix()
        truth = [pairs.truth[row]] if pairs.truth else []
        lines.append([name, relative, pairs.captions[row], *truth])
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


def _first(header: list[str], known: Sequence[str]) -> int | None:
    return next((header.index(key) for key in known if key in header), None)


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
    if "\0" in name:
        raise DataError(f"Row {number} of {table} names a picture with a NUL byte. Remove the row.")
    path = Path(os.path.normpath(root / name))
    if root != path and root not in path.parents:
        raise DataError(
            f"Row {number} of {table} names a picture outside {root}: {name!r}. "
            "Set the image root to the folder that holds all pictures."
        )
    return path
