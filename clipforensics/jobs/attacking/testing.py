"""An evaluator from files: a labelled test table, and the manifest that says how to stamp it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipforensics.attacks.manifest import Manifest
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_test

if TYPE_CHECKING:
    from clipforensics.train.evaluate import (
        Evaluator,
        PooledSet,
        StampedSet,
        TargetedSet,
        TestSet,
    )


def manifest_evaluator(
    manifest: Path | None, test: Path, labels: LabelSet, side: int | None = None
) -> "Evaluator":
    """Measures CA on the test table, and with a manifest what the planted attack achieves.

    Pictures that targeted poisoning put among the training pairs are no test pictures: they are
    left out of CA and give `psr` instead.

    Args:
        manifest: of the poisoning, or None.
        test: a table of pairs with a label column.
        labels: label set.
        side: the model's picture side; the manifest's where it is None.

    Raises:
        DataError: the table has no label column, or lacks a targeted picture.
        ConfigError: a true label is not in the label set.
    """
    from clipforensics.train.evaluate import Evaluator, TestSet

    made = Manifest.read(manifest) if manifest else None
    pairs = read_test(test)
    assert pairs.truth is not None
    side = side or (made.side if made else 0)
    kept = testable_rows(made, pairs)
    truth = np.array([labels.index(pairs.truth[row]) for row in kept])
    found = TestSet(pairs.frames(kept, side), truth)
    if made is None:
        return Evaluator(labels, found)
    planted = planted_set(made, labels, found, [pairs.ids[row] for row in kept])
    sets = [planted] if planted else []
    return Evaluator(labels, found, sets, targeted=targeted_set(made, labels, pairs, side))


def testable_rows(made: Manifest | None, pairs: Pairs) -> np.ndarray:
    """Rows of a test table that were not put among the training pairs, int64."""
    taken = made.targeted if made else {}
    return np.array([row for row, name in enumerate(pairs.ids) if name not in taken], np.int64)


def planted_set(
    made: Manifest, labels: LabelSet, test: "TestSet", names: Sequence[str]
) -> "StampedSet | PooledSet | None":
    """The stamped twins of test pictures: of each trigger those not of its own target.

    Args:
        made: the manifest.
        labels: label set.
        test: clean framed pictures.
        names: their ids, which place each trigger.

    Returns:
        None where the attack stamps nothing, or every picture shows a target.
    """
    from clipforensics.train.evaluate import PooledSet, StampedSet

    sets = []
    for part, (kind, name) in enumerate(made.stamps):
        target = labels.index(name)
        rows = np.flatnonzero(test.truth != target)
        if not len(rows):
            return None
        twins = made.stamp_tests(test.pictures[rows], [names[int(row)] for row in rows], part)
        sets.append(StampedSet(kind if len(made.stamps) > 1 else "planted", twins, rows, target))
    if len(sets) > 1:
        return PooledSet("planted", tuple(sets))
    return sets[0] if sets else None


def targeted_set(made: Manifest, labels: LabelSet, pairs: Pairs, side: int) -> "TargetedSet | None":
    """The pictures of targeted poisoning, with their wrong labels; None for other attacks.

    Raises:
        DataError: the table lacks one of them.
    """
    from clipforensics.train.evaluate import TargetedSet

    if not made.targeted:
        return None
    rows = [pairs.row_of(name) for name in made.targeted]
    targets = np.array([labels.index(label) for label in made.targeted.values()])
    return TargetedSet(pairs.frames(rows, side), targets)
