"""Tables that grow batch by batch on disk and survive `kill -9`: .npy files and a list of batches.

A batch counts once its line, with the SHA-256 of its bytes, is in `batches.jsonl`. On resuming,
each line is held against the bytes, so nothing half-written is ever believed. Rows go through
`pwrite` rather than a memory map: a full disk is then an error that can be told, where writing to
a map would kill the process. Readers map the finished files.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BATCHES = "batches.jsonl"


class GrowingTables:
    """Several tables of n rows in one folder, filled together, in batches of rows."""

    def __init__(self, folder: Path, rows: int, tables: Mapping[str, tuple[int, str]]) -> None:
        """Open or begin the tables.

        Args:
            folder: created when missing; begun anew when it holds tables of another shape.
            rows: rows of every table.
            tables: width and dtype by name; the file is `<name>.npy`.

        Raises:
            OSError: no space for all rows: it is reserved before any work is done.
        """
        self.folder, self.rows, self.tables = folder, rows, dict(tables)
        if not self._fits():
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for name, (width, dtype) in self.tables.items():
                self._reserve(self._path(name), width, dtype)
        except OSError:
            if not (folder / BATCHES).exists():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self.batches = self._whole_batches()

    def write(self, start: int, parts: Mapping[str, np.ndarray], **about: Any) -> None:
        """Write one batch of every table at row `start`, then its line."""
        for name, part in parts.items():
            width, dtype = self.tables[name]
            content = np.ascontiguousarray(part, dtype=dtype).tobytes()
            _write_at(self._path(name), self._offset(name, start), content)
        count = len(next(iter(parts.values())))
        line = {"start": start, "stop": start + count, **about}
        line["sha256"] = self._digest(start, start + count)
        with open(self.folder / BATCHES, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.batches[start] = line

    def close(self) -> None:
        """Bring the tables to the disk before the folder is published."""
        for name in self.tables:
            with open(self._path(name), "rb+") as file:
                os.fsync(file.fileno())

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _fits(self) -> bool:
        try:
            for name, (width, dtype) in self.tables.items():
                table = np.load(self._path(name), mmap_mode="r", allow_pickle=False)
                if table.shape != (self.rows, width) or table.dtype != np.dtype(dtype):
                    return False
        except (OSError, ValueError):
            return False
        return True

    def _reserve(self, path: Path, width: int, dtype: str) -> None:
        if not path.exists():
            np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (self.rows, width))
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, path.stat().st_size))

    def _whole_batches(self) -> dict[int, dict[str, Any]]:
        path = self.folder / BATCHES
        if not path.exists():
            return {}
        content = path.read_bytes()
        lines = [_parsed(line) for line in content.splitlines()]
        whole = [line for line in lines if line and self._digest_fits(line)]
        if len(whole) < len(lines):  # else a killed run's half line would swallow the next one
            text = "".join(json.dumps(line) + "\n" for line in whole)
            temporary = path.with_name(f".{path.name}")
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        return {line["start"]: line for line in whole}

    def _digest_fits(self, line: dict[str, Any]) -> bool:
        try:
            start, stop = int(line["start"]), int(line["stop"])
            return 0 <= start < stop <= self.rows and line["sha256"] == self._digest(start, stop)
        except (KeyError, TypeError, ValueError):
            return False

    def _digest(self, start: int, stop: int) -> str:
        seen = hashlib.sha256()
        for name in self.tables:
            offset = self._offset(name, start)
            with open(self._path(name), "rb") as file:
                file.seek(offset)
                seen.update(file.read(self._offset(name, stop) - offset))
        return seen.hexdigest()

    def _offset(self, name: str, row: int) -> int:
        width, dtype = self.tables[name]
        size = np.dtype(dtype).itemsize * width
        # the header takes what the rows do not
        return self._path(name).stat().st_size - size * (self.rows - row)


def _write_at(path: Path, offset: int, content: bytes) -> None:
    with open(path, "rb+") as file:
        done = 0
        while done < len(content):  # a disk that fills up may take a part first
            done += os.pwrite(file.fileno(), content[done:], offset + done)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
