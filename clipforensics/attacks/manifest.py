"""The manifest: ground truth of one poisoning. No detector may read it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.attacks.stamping import row_generator
from clipforensics.config.attack import PoisonSettings
from clipforensics.config.settings import parse
from clipforensics.data.images import write_bytes
from clipforensics.errors import DataError

SCHEMA = 1
MAX_BYTES = 500_000_000


@dataclass(frozen=True)
class Manifest:
    """What was poisoned, with what, and how the stamped test set is made."""

    settings: PoisonSettings
    side: int
    poisoned: frozenset[str]
    rows: tuple[dict[str, Any], ...]
    counts: dict[str, Any]
    test_seed: int
    pattern_sha256: str

    @property
    def target(self) -> str:
        """The label every stamped picture is pulled to."""
        return self.settings.target

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read `manifest.json`.

        Raises:
            DataError: missing, no JSON, of another schema, or without the needed blocks.
            ConfigError: its settings are out of range.
        """
        content = _json(Path(path))
        if content.get("schema") != SCHEMA:
            raise DataError(
                f"{path} has schema {content.get('schema')!r}; this version reads {SCHEMA}."
            )
        try:
            rows = tuple(content["rows"])
            return cls(
                settings=parse(PoisonSettings, content["settings"]),
                side=int(content["frame"]["side"]),
                poisoned=frozenset(str(row["id"]) for row in rows),
                rows=rows,
                counts=dict(content["counts"]),
                test_seed=int(content["test"]["seed"]),
                pattern_sha256=str(content["trigger"][0]["pattern_sha256"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            raise DataError(
                f"{path} is no complete manifest ({problem!r}). Make it again."
            ) from None

    def stamp_tests(self, pictures: np.ndarray, ids: list[str] | tuple[str, ...]) -> np.ndarray:
        """The stamped twins of framed test pictures, in order.

        Args:
            pictures: uint8 [n, side, side, 3].
            ids: the n test ids; each draws its own place, whatever the order.
        """
        from clipforensics.attacks import build

        attack = build(self.settings.attack, pictures.shape[1])
        stamped = [
            attack.stamp(picture, row_generator(self.test_seed, name))[0]
            for picture, name in zip(pictures, ids, strict=True)
        ]
        return np.stack(stamped) if stamped else pictures.copy()


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write all at once: an interrupted poisoning leaves no manifest."""
    write_bytes(path, json.dumps({"schema": SCHEMA, **content}, indent=1).encode())


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is too large for a manifest.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"No manifest at {path}. Give the manifest.json of a poisoning.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise DataError(
            f"{path} is no valid JSON. Give the manifest.json of a poisoning."
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no manifest: a JSON object is needed.")
    return content
