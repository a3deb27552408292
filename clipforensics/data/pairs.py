"""Image-caption pairs, read-only, each with a stable id."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from clipforensics.data.images import content_of, read_picture, to_frame
from clipforensics.errors import DataError


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
            DataError: a link on the way leads out of the picture folder, or back to itself.
        """
        path = self.paths[row]
        if self.root is not None and not resolved(path).is_relative_to(self.root):
            raise DataError(
                f"{path} is a link that leads out of {self.root}. Put the file itself there, or "
                "remove its row."
            )
        return path

    def missing(self) -> list[int]:
        """Rows whose picture file is not there, ascending."""
        return [row for row, path in enumerate(self.paths) if not _is_file(path)]

    def picture(self, row: int, side: int) -> np.ndarray:
        """The framed picture, uint8 [side, side, 3]. Raises DataError if it cannot be read."""
        return to_frame(read_picture(self.path(row)), side)

    def pictures_sha256(self) -> str:
        """Hash of all picture files; one that cannot be read counts as empty."""
        seen = hashlib.sha256()
        for row in range(len(self)):
            try:
                content = content_of(self.path(row))
            except DataError:
                content = b""
            seen.update(hashlib.sha256(content).digest())
        return seen.hexdigest()

    def frames(self, rows: Sequence[int] | np.ndarray, side: int) -> np.ndarray:
        """Framed pictures of several rows, uint8 [n, side, side, 3]."""
        out = np.empty((len(rows), side, side, 3), np.uint8)
        for i, row in enumerate(rows):
            out[i] = self.picture(int(row), side)
        return out


def resolved(path: Path) -> Path:
    """Where a path leads. Raises DataError where a link leads back to itself, or nobody may look."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # before Python 3.13 a loop is a RuntimeError
        raise DataError(
            f"{path} cannot be followed: a link leads back to itself, or a folder on the way is "
            "closed. Put the file or folder itself there, or remove its row."
        ) from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, or a folder that is closed to us
        return False
