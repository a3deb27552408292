"""Intake: read everything a new case names, refuse what cannot be used, fingerprint the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from clipforensics.attacks.manifest import Manifest
from clipforensics.cases.provenance import sha256_path
from clipforensics.config.case import CaseSettings
from clipforensics.data.labels import LabelSet, read_labels
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs, read_test
from clipforensics.errors import ConfigError, DataError

TOGETHER = (("trusted_model", "trusted_weights"), ("segmenter", "segmenter_weights"))


@dataclass
class Intake:
    """SHA-256 of each thing a case rests on, and what the reviewer should know about them."""

    fingerprints: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def examine(settings: CaseSettings) -> Intake:
    """Read and load everything once; paths must be absolute.

    Raises:
        ConfigError: settings contradict each other.
        DataError: pairs, labels, truth or test set cannot be used.
        ModelError: a model cannot be loaded safely, or its weights are of another architecture.
    """
    _check_settings(settings)
    found = Intake()
    pairs = read_pairs(Path(settings.data), root_of(settings))
    labels = read_labels(Path(settings.labels))
    _check_pictures(pairs, found)
    found.fingerprints = {"data": pairs.sha256, "labels": sha256_path(Path(settings.labels))}
    if settings.truth:
        _check_truth(Path(settings.truth), pairs, labels)
        found.fingerprints["truth"] = sha256_path(Path(settings.truth))
    if settings.test:
        test = _check_test(Path(settings.test), labels)
        found.fingerprints |= {"test": test.sha256, "test_pictures": test.pictures_sha256()}
    # models come last: they are slow to load, and the mistakes above are the usual ones
    for name, digest in _check_models(settings):
        found.fingerprints[name] = digest
    return found


def root_of(settings: CaseSettings) -> Path | None:
    """The picture folder, if one is named."""
    return Path(settings.image_root) if settings.image_root else None


def _check_settings(settings: CaseSettings) -> None:
    for first, second in TOGETHER:
        have = [name for name in (first, second) if getattr(settings, name)]
        if len(have) == 1:
            lack = second if have == [first] else first
            raise ConfigError(f"{have[0]} is given without {lack}. Give both, or neither.")


def _check_pictures(pairs: Pairs, found: Intake) -> None:
    missing = pairs.missing()
    if len(missing) == len(pairs):
        raise DataError(
            f"None of the {len(pairs):,} pictures exists (first: {pairs.paths[0]}). "
            "Set the picture folder (image root) to where they lie."
        )
    if missing:
        found.warnings.append(
            f"{len(missing):,} of {len(pairs):,} pictures are missing (first: "
            f"{pairs.ids[missing[0]]}). They are left out of the scan."
        )


def _check_truth(path: Path, pairs: Pairs, labels: LabelSet) -> None:
    truth = Manifest.read(path)
    for target in truth.targets:
        labels.index(target)
    strangers = sorted(truth.poisoned - set(pairs.ids))
    if strangers:
        raise DataError(
            f"{len(strangers):,} of {len(truth.poisoned):,} poisoned ids in {path} are not among "
            f"the pairs (first: {strangers[0]!r}). Give the manifest of these very pairs."
        )


def _check_test(path: Path, labels: LabelSet) -> Pairs:
    test = read_test(path)
    unknown = sorted(set(test.truth or ()) - set(labels.names))
    if unknown:
        raise DataError(
            f"{len(unknown)} test labels are not in the labels file (first: {unknown[0]!r}). "
            "Add them to it, or remove their rows."
        )
    return test


def _check_models(settings: CaseSettings) -> Iterator[tuple[str, str]]:
    from clipforensics.models.clip import load_clip
    from clipforensics.oracle.scorer import refuse_accomplice

    encoders = []
    for model, weights in (("model", "weights"), ("trusted_model", "trusted_weights")):
        name, path = getattr(settings, model), getattr(settings, weights)
        if name is None:
            continue
        encoders.append(load_clip(name, Path(path), device="cpu"))
        yield weights, encoders[-1].fingerprint
        if name.endswith(".json"):
            yield model, sha256_path(Path(name))
    if len(encoders) == 2:
        refuse_accomplice(trusted=encoders[1], suspect=encoders[0])
    if settings.segmenter and settings.segmenter_weights:
        from clipforensics.oracle.segmenter import load_segmenter

        load_segmenter(settings.segmenter, Path(settings.segmenter_weights))
        yield "segmenter_weights", sha256_path(Path(settings.segmenter_weights))
