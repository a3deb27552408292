"""A case: one folder that holds a frozen question, its evidence, and the decisions about it.

case.json        settings and fingerprints, written once
evidence/        embeddings, scores, map …, write-once (see evidence.py)
review.sqlite    decisions and audit log (see store.py)
runs/            jobs
reports/
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipforensics.attacks.manifest import Manifest
from clipforensics.cases.case_file import CASE_FILE, make_folder, read_file
from clipforensics.cases.intake import examine, root_of
from clipforensics.cases.provenance import sha256_path, utc_now, versions
from clipforensics.cases.store import ReviewStore
from clipforensics.config.case import CaseSettings
from clipforensics.config.settings import parse
from clipforensics.data.labels import LabelSet, read_labels
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs, read_test
from clipforensics.errors import CaseError, ConfigError, ForensicsError

if TYPE_CHECKING:  # heavy: loaded when a page asks for a model
    from clipforensics.models.clip import OpenClipEncoder
    from clipforensics.oracle.segmenter import Segmenter

PATHS = (
    "data", "image_root", "model", "weights", "labels", "trusted_model", "trusted_weights",
    "segmenter_weights", "truth", "test", "parent",
)  # fmt: skip
NAMES_OR_PATHS = ("model", "trusted_model")


@dataclass(frozen=True)
class Case:
    """An open case; `settings` carry absolute paths, wherever the folder lies now."""

    dir: Path
    settings: CaseSettings
    fingerprints: dict[str, str]
    created: str
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path, settings: CaseSettings) -> "Case":
        """Validate and fingerprint everything, then make the case folder.

        The folder may hold the data already, but no case. `case.json` is written last and only if
        there is none, so that two creators cannot both succeed and a failure leaves nothing.

        Raises:
            CaseError: there is a case already, or the folder cannot be written.
            ConfigError, DataError, ModelError: see `intake.examine`.
        """
        folder = Path(os.path.abspath(folder))
        if (folder / CASE_FILE).exists():
            raise CaseError(
                f"There is a case at {folder} already. Open it, or choose another name."
            )
        settings = _with_paths(settings, lambda path: os.path.abspath(path))
        intake = examine(settings)
        content = {
            "settings": _with_paths(settings, lambda path: _stored(path, folder)).model_dump(),
            "fingerprints": intake.fingerprints,
            "warnings": intake.warnings,
            "created": utc_now(),
            "versions": versions(),
        }
        make_folder(folder, content)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Case":
        """Open a case folder; nothing heavy is read.

        Raises:
            CaseError: there is no case, or `case.json` is damaged.
        """
        folder = Path(os.path.abspath(folder))
        content = read_file(folder)
        try:
            stored = parse(CaseSettings, content["settings"])
            return cls(
                dir=folder,
                settings=_with_paths(
                    stored, lambda path: os.path.normpath(os.path.join(folder, path))
                ),
                fingerprints={str(k): str(v) for k, v in content["fingerprints"].items()},
                created=str(content["created"]),
                warnings=tuple(map(str, content.get("warnings", ()))),
                versions=dict(content.get("versions", {})),
            )
        except (KeyError, TypeError, AttributeError, ValueError, ConfigError) as problem:
            raise CaseError(
                f"{folder / CASE_FILE} is no complete case ({problem}). Restore it from a backup."
            ) from None

    @property
    def name(self) -> str:
        """How the case is called on screen."""
        return self.settings.name

    @cached_property
    def store(self) -> ReviewStore:
        """The reviewers' decisions."""
        return ReviewStore(self.dir / "review.sqlite")

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs under examination. Raises CaseError when the table changed since intake."""
        pairs = read_pairs(Path(self.settings.data), root_of(self.settings))
        self._compare("data", self.settings.data, pairs.sha256)
        return pairs

    @cached_property
    def labels(self) -> LabelSet:
        """The zero-shot labels. Raises CaseError when the file changed since intake."""
        labels = read_labels(Path(self.settings.labels))
        self._compare("labels", self.settings.labels)
        return labels

    @cached_property
    def truth(self) -> Manifest | None:
        """What was really poisoned, where it is known: for metrics alone, never for a detector."""
        if self.settings.truth is None:
            return None
        manifest = Manifest.read(Path(self.settings.truth))
        self._compare("truth", self.settings.truth)
        return manifest

    @cached_property
    def test(self) -> Pairs | None:
        """Clean labelled pictures for ASR and CA, if the case has a test set."""
        if self.settings.test is None:
            return None
        test = read_test(Path(self.settings.test))
        self._compare("test", self.settings.test, test.sha256)
        return test

    def suspect(self, device: str = "auto") -> "OpenClipEncoder":
        """Load the CLIP under examination; the caller keeps it."""
        return self._clip("model", "weights", device)

    def trusted(self, device: str = "auto") -> "OpenClipEncoder":
        """Load the CLIP the reviewer trusts. Raises CaseError when the case has none."""
        if self.settings.trusted_model is None:
            raise self._lacks("trusted model", "--trusted-model and --trusted-weights")
        return self._clip("trusted_model", "trusted_weights", device)

    def segmenter(self) -> "Segmenter":
        """Load the segmenter. Raises CaseError when the case has none."""
        if self.settings.segmenter is None or self.settings.segmenter_weights is None:
            raise self._lacks("segmenter", "--segmenter and --segmenter-weights")
        from clipforensics.oracle.segmenter import load_segmenter

        self._compare("segmenter_weights", self.settings.segmenter_weights)
        return load_segmenter(self.settings.segmenter, Path(self.settings.segmenter_weights))

    def check_oracle(self) -> None:
        """Before anything slow: are there a trusted model and a segmenter? No weights are read.

        Raises:
            CaseError: the case names no trusted model or no segmenter, or their files are gone.
        """
        asked = self.settings
        if asked.trusted_model is None or asked.trusted_weights is None:
            raise self._lacks("trusted model", "--trusted-model and --trusted-weights")
        if asked.segmenter is None or asked.segmenter_weights is None:
            raise self._lacks("segmenter", "--segmenter and --segmenter-weights")
        for path in (asked.trusted_weights, asked.segmenter_weights):
            if not Path(path).exists():
                raise CaseError(f"{path} is missing. Restore it, or make a new case.")

    def verify(self) -> list[str]:
        """One sentence for each input that is missing or no longer what the case was made from."""
        problems = []
        for name in (name for name in PATHS if name in self.fingerprints):
            try:
                path = getattr(self.settings, name)
                if name == "data":
                    self._compare(name, path, read_pairs(Path(path), root_of(self.settings)).sha256)
                elif name == "test":
                    test = read_test(Path(path))
                    self._compare(name, path, test.sha256)
                    if "test_pictures" in self.fingerprints:
                        self._compare("test_pictures", path, test.pictures_sha256())
                else:
                    self._compare(name, path)
            except ForensicsError as problem:
                problems.append(str(problem))
        return problems

    def _clip(self, model: str, weights: str, device: str) -> "OpenClipEncoder":
        from clipforensics.models.clip import load_clip

        name, path = getattr(self.settings, model), getattr(self.settings, weights)
        if model in self.fingerprints:
            self._compare(model, name)
        encoder = load_clip(name, Path(path), device=device)
        self._compare(weights, path, encoder.fingerprint)
        return encoder

    def _lacks(self, what: str, options: str) -> CaseError:
        return CaseError(
            f"The case {self.name!r} has no {what}. Make a case that names one ({options})."
        )

    def _compare(self, name: str, path: str, found: str | None = None) -> None:
        expected = self.fingerprints.get(name, "")
        found = found or _hash_of(Path(path))
        if found != expected:
            raise CaseError(
                f"{path} changed since the case was made: expected SHA-256 {expected[:12]}…, found "
                f"{found[:12]}…. Restore it, or make a new case."
            )


def cases_in(folder: Path) -> list[Path]:
    """Case folders directly inside a folder, newest first; none when it does not exist."""
    found = Path(folder).glob(f"*/{CASE_FILE}")
    return [path.parent for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]


def _with_paths(settings: CaseSettings, change: Any) -> CaseSettings:
    changed: dict[str, Any] = {}
    for name in PATHS:
        value = getattr(settings, name)
        is_path = value and (name not in NAMES_OR_PATHS or value.endswith(".json"))
        changed[name] = change(value) if is_path else value
    return settings.model_copy(update=changed)


def _stored(path: str, folder: Path) -> str:
    """Relative where it lies in this case, or in one beside it: cases move together."""
    home = folder.parent
    if not Path(path).is_relative_to(home) or Path(path) == home:
        return path
    first = home / Path(path).relative_to(home).parts[0]
    moves_along = first == folder or (first / CASE_FILE).is_file()
    return os.path.relpath(path, folder) if moves_along else path


def _hash_of(path: Path) -> str:
    try:
        return sha256_path(path)
    except OSError as problem:
        raise CaseError(f"{path} cannot be read ({problem.strerror}). Restore it.") from None
