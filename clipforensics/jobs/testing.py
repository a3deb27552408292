"""An evaluator from files: a labelled test table, and the manifest that says how to stamp it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipforensics.attacks.manifest import Manifest
from clipforensics.data.labels import LabelSet
from clipforensics.data.pairs import read_pairs
from clipforensics.errors import DataError

if TYPE_CHECKING:
    from clipforensics.train.evaluate import Evaluator


def manifest_evaluator(
    manifest: Path | None, test: Path, labels: LabelSet, side: int | None = None
) -> "Evaluator":
    """Measures CA on the test table, and with a manifest the planted trigger's ASR.

    Args:
        manifest: of the poisoning, or None.
        test: a table of pairs with a label column.
        labels: label set.
        side: the model's picture side; the manifest's where it is None.

    Raises:
        DataError: the table has no label column.
        ConfigError: a true label is not in the label set.
    """
    from clipforensics.train.evaluate import Evaluator, StampedSet, TestSet

    made = Manifest.read(manifest) if manifest else None
    pairs = read_pairs(test)
    if pairs.truth is None:
        raise DataError(f"{test} has no label column, so nothing can be scored. Add one.")
    side = side or (made.side if made else 0)
    truth = np.array([labels.index(name) for name in pairs.truth])
    found = TestSet(pairs.frames(range(len(pairs)), side), truth)
    if made is None:
        return Evaluator(labels, found)
    target = labels.index(made.target)
    rows = np.flatnonzero(truth != target)
    stamped = made.stamp_tests(found.pictures[rows], [pairs.ids[row] for row in rows])
    return Evaluator(labels, found, [StampedSet("planted", stamped, rows, target)])
