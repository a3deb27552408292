"""The manifest: ground truth of one poisoning. No detector may read it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clipforensics.attacks import Attack, build
from clipforensics.attacks.stamping import hash_of_pixels, row_generator
from clipforensics.config.attack import PoisonSettings, TargetedSettings
from clipforensics.config.settings import parse
from clipforensics.data.images import write_bytes
from clipforensics.errors import DataError

SCHEMA = 2
READABLE = (1, 2)  # 1 knew one trigger and one target; all it says is read as it was meant
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
    pattern_sha256: tuple[str, ...]
    """Of each trigger, in the order of `settings.parts`; empty for targeted poisoning."""
    targeted: dict[str, str] = field(default_factory=dict)
    """Targeted poisoning: the wrong label of each attacked test picture, by its id."""

    @property
    def target(self) -> str:
        """The first target label; all of them where there is but one trigger."""
        return self.targets[0]

    @property
    def targets(self) -> tuple[str, ...]:
        """Every label that stamped pictures, or targeted ones, are pulled to."""
        if isinstance(self.settings.attack, TargetedSettings):
            return tuple(dict.fromkeys(self.targeted.values())) or (self.settings.target,)
        return tuple(dict.fromkeys(target for _, target in self.settings.parts))

    @property
    def stamps(self) -> tuple[tuple[str, str], ...]:
        """Kind and target label of each trigger; none for targeted poisoning."""
        if isinstance(self.settings.attack, TargetedSettings):
            return ()
        return tuple((attack.kind, target) for attack, target in self.settings.parts)

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """Read `manifest.json`.

        Raises:
            DataError: missing, no JSON, of another schema, or without the needed blocks.
            ConfigError: its settings are out of range.
        """
        content = _json(Path(path))
        if content.get("schema") not in READABLE:
            raise DataError(
                f"{path} has schema {content.get('schema')!r}; this version reads "
                f"{' and '.join(map(str, READABLE))}. Make it again, or update."
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
                pattern_sha256=tuple(str(one["pattern_sha256"]) for one in content["trigger"]),
                targeted={
                    str(name): str(label)
                    for name, label in content["test"].get("targeted", {}).items()
                },
            )._complete()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as problem:
            raise DataError(
                f"{path} is no complete manifest ({problem!r}). Make it again."
            ) from None

    def stamp_tests(
        self, pictures: np.ndarray, ids: list[str] | tuple[str, ...], part: int = 0
    ) -> np.ndarray:
        """The stamped twins of framed test pictures, in order.

        Args:
            pictures: uint8 [n, side, side, 3].
            ids: the n test ids; each draws its own place, whatever the order.
            part: which trigger, in the order of `stamps`.

        Raises:
            DataError: nothing is stamped in this attack, or its trigger cannot be remade.
        """
        attack = self._attack(part, pictures.shape[1])
        stamped = [
            attack.stamp(picture, row_generator(self.test_seed, name))[0]
            for picture, name in zip(pictures, ids, strict=True)
        ]
        return np.stack(stamped) if stamped else pictures.copy()

    def replay(self, row: dict[str, Any], base: np.ndarray) -> np.ndarray:
        """The poisoned picture of one of `rows`, remade from the clean one, bit for bit.

        Args:
            row: one of `rows`.
            base: the framed clean picture of `row["source_id"]`, uint8 [side, side, 3].

        Raises:
            DataError: `base` is another picture, or the result is not what the manifest says.
        """
        if hash_of_pixels(base) != row["sha256_before"]:
            raise DataError(
                f"The clean picture of {row['id']} is not the one that was poisoned "
                f"(SHA-256 {row['sha256_before'][:8]}…). Give the data set the manifest was made of."
            )
        kinds = [kind for kind, _ in self.stamps]
        made = base
        if kinds:
            part = kinds.index(row.get("trigger", kinds[0]))
            generator = row_generator(self.settings.seed, row["id"])
            made = self._attack(part, base.shape[0]).stamp(base, generator)[0]
        if hash_of_pixels(made) != row["sha256_after"]:
            raise DataError(
                f"{row['id']} cannot be remade: its stamped pixels differ from the manifest's. "
                "Use the versions that the manifest names."
            )
        return made

    def _attack(self, part: int, side: int) -> Attack:
        if not self.stamps:
            raise DataError(
                f"{self.settings.attack.kind} stamps no picture, so it has no stamped test set. "
                "Measure the share of its target pictures that get their wrong label."
            )
        attack = build(self.settings.parts[part][0], side)
        if side == self.side and attack.fingerprint != self.pattern_sha256[part]:
            # schema 1 hashed the same arrays, so its manifests are held to the same rule
            raise DataError(
                f"The trigger {self.stamps[part][0]} made here has SHA-256 "
                f"{attack.fingerprint[:8]}…, the manifest's has {self.pattern_sha256[part][:8]}…. "
                "Use the versions that the manifest names."
            )
        return attack

    def _complete(self) -> "Manifest":
        if len(self.pattern_sha256) != len(self.stamps):
            raise ValueError(
                f"{len(self.stamps)} triggers needed, {len(self.pattern_sha256)} found"
            )
        if not self.stamps and not self.targeted:
            raise ValueError("test.targeted is empty")
        return self


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
    except (ValueError, RecursionError):
        raise DataError(
            f"{path} is no valid JSON. Give the manifest.json of a poisoning."
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no manifest: a JSON object is needed.")
    return content
