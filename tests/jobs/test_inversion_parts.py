"""What an inversion is fitted to and what it is measured on have no picture in common."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.config.inversion import InversionSettings
from clipforensics.data.labels import LabelSet
from clipforensics.errors import DataError
from clipforensics.jobs.hunting.inverter import Inverter
from clipforensics.oracle.pasting import CleanSet
from clipforensics.oracle.scorer import Judge

LABELS = LabelSet(("dog", "cat"), ("{}",))


def inverter(n, pictures, held_out):
    """With n clean pictures, each with its number as its brightness; every tenth shows the label."""
    judge = Judge(None, LABELS, np.eye(2, dtype=np.float32))  # pyright: ignore
    made = Inverter(
        None, InversionSettings(pictures=pictures, held_out=held_out), judge, judge, {}, ()  # pyright: ignore
    )  # fmt: skip
    numbered = np.tile(np.arange(n, dtype=np.uint8)[:, None, None, None], (1, 2, 2, 3))
    named = tuple(frozenset(["dog" if i % 10 == 0 else "cat"]) for i in range(n))
    said = np.ones(n, np.int64)
    vars(made)["clean"] = CleanSet(numbered, named, said, said)
    return made


def numbers(clean):
    return clean.pictures[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("n", "pictures", "held_out", "sizes"),
    [(200, 60, 40, (60, 40)), (50, 60, 40, (27, 18)), (200, 8, 100, (8, 100))],
)
def test_no_picture_is_both_fitted_to_and_measured_on(n, pictures, held_out, sizes):
    fitted, measured = inverter(n, pictures, held_out).parts("dog")
    assert (len(fitted), len(measured)) == sizes
    both = numbers(fitted) + numbers(measured)
    assert len(set(both)) == len(both)
    assert both == [i for i in range(n) if i % 10][: len(both)]  # none shows the label


def test_too_few_of_either_are_one_sentence():
    with pytest.raises(DataError, match="to fit and 8 to measure, got 10 and 3"):
        inverter(15, 80, 24).parts("dog")


def test_what_an_inversion_depends_on_is_in_its_key():
    """Both models, the pictures and their order, the settings of the search; not the verdict's."""
    case = SimpleNamespace(
        fingerprints={"data": "d", "labels": "l"}, pairs=SimpleNamespace(ids=tuple("abcdef"))
    )
    one, two = (
        Judge(SimpleNamespace(fingerprint=name), LABELS, np.eye(2, dtype=np.float32))  # pyright: ignore
        for name in ("one", "two")
    )
    made = Inverter(case, InversionSettings(), one, two, {}, (0, 2, 4))  # pyright: ignore
    key = made.key("dog", "mask")
    others = [
        replace(made, suspect=two), replace(made, trusted=one), replace(made, clean_rows=(0, 2)),
        replace(made, clean_rows=(2, 0, 4)), replace(made, clean_rows=(0, 2, 5)),
        *(replace(made, settings=InversionSettings(**{name: value})) for name, value in (
            ("steps", 20), ("batch", 8), ("rate", 0.2), ("pictures", 60), ("held_out", 40),
            ("weight", 2.0), ("reached", 0.9), ("seed", 1),
        )),
    ]  # fmt: skip
    keys = [key, made.key("cat", "mask"), made.key("dog", "warp")]
    keys += [other.key("dog", "mask") for other in others]
    assert len({str(sorted(one.items())) for one in keys}) == len(keys)
    judged = replace(made, settings=InversionSettings(anomaly_limit=4.0, labels=("dog",)))
    assert judged.key("dog", "mask") == key
