"""Masks kept in the case, by picture and segmenter: whatever changes besides, they are cut once.

An inspection depends on both models and on every setting of the oracle; its masks depend on the
picture and the segmenter alone. A hunt with another confidence, or of a repaired model over copied
evidence, therefore asks the segmenter nothing.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.cases.evidence import (
    HasFolder,
    evidence_dir,
    is_made,
    reading,
    write_json,
    writing,
)
from clipforensics.cases.left_behind import clear_left_behind
from clipforensics.config.oracle import SegmenterSettings
from clipforensics.oracle.regions import Region
from clipforensics.oracle.segmenter import Segmenter

MOST_BYTES = 1 << 30
"""Masks of a case take at most this much disk; what comes later is cut anew each time."""
KIND, LISTS, MASKS = "masks", "regions.json", "masks.npz"


class KeptMasks:
    """A `Segmenter` that keeps what another one cuts as evidence of a case."""

    def __init__(self, case: HasFolder, segmenter: Segmenter, most_bytes: int = MOST_BYTES):
        self.case, self.segmenter, self.most_bytes = case, segmenter, most_bytes
        self.fingerprint = segmenter.fingerprint
        self._bytes: int | None = None  # on disk; counted when first needed

    def with_settings(self, settings: SegmenterSettings) -> "KeptMasks":
        """The same weights, other settings, the same case."""
        return KeptMasks(self.case, self.segmenter.with_settings(settings), self.most_bytes)

    def segment(self, picture: np.ndarray) -> list[Region]:
        """See `Segmenter.segment`.

        Raises:
            CaseError: kept masks were damaged or changed since.
        """
        key = {"picture": picture_sha256(picture), "segmenter": self.fingerprint}
        folder = evidence_dir(self.case, KIND, key)
        if is_made(folder):
            return _read(folder, picture.shape[:2])
        regions = self.segmenter.segment(picture)
        if self._used() < self.most_bytes:
            with writing(folder, key) as part:
                _write(part, regions, picture.shape[:2])
                self._bytes = self._used() + _size_of(part)
        return regions

    def _used(self) -> int:
        if self._bytes is None:
            folder = self.case.dir / "evidence" / KIND
            clear_left_behind(folder)
            self._bytes = _size_of(folder)
        return self._bytes


def picture_sha256(picture: np.ndarray) -> str:
    """Hash of a picture's size and pixels, uint8 [h, w, 3]."""
    hashed = hashlib.sha256(json.dumps(picture.shape).encode())
    hashed.update(np.ascontiguousarray(picture).tobytes())
    return hashed.hexdigest()


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write(part: Path, regions: list[Region], shape: tuple[int, ...]) -> None:
    masks = np.zeros((len(regions), *shape), bool)
    for i, region in enumerate(regions):
        masks[i] = region.mask
    write_json(
        part / LISTS,
        [[r.box_xyxy, r.predicted_iou, r.stability, r.source] for r in regions],
    )
    np.savez_compressed(part / MASKS, masks=np.packbits(masks))


def _read(folder: Path, shape: tuple[int, ...]) -> list[Region]:
    with reading(folder):
        lists: list[Any] = json.loads((folder / LISTS).read_text(encoding="utf-8"))
        size = (len(lists), *shape)
        content = io.BytesIO((folder / MASKS).read_bytes())
        with np.load(content, allow_pickle=False) as arrays:
            flat = np.unpackbits(arrays["masks"], count=int(np.prod(size)))
        return [
            Region(tuple(box), mask, predicted, stability, source)
            for mask, (box, predicted, stability, source) in zip(
                flat.reshape(size) > 0, lists, strict=True
            )
        ]
