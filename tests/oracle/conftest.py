"""Two judges of the toy world and clean pictures."""

import numpy as np
import pytest

from clipforensics.oracle.pasting import clean_set
from clipforensics.oracle.scorer import suspect_judge


@pytest.fixture
def court(toy, rng):
    """The suspect, the trusted model, and what both say of 120 clean scenes."""
    suspect = suspect_judge(toy.ToyClip(True, "s"), toy.LABELS)
    trusted = suspect_judge(toy.ToyClip(False, "t"), toy.LABELS)
    scenes = [toy.scene(toy.NAMES[i % len(toy.NAMES)], rng)[0] for i in range(120)]
    named = [frozenset([toy.NAMES[i % len(toy.NAMES)]]) for i in range(120)]
    return suspect, trusted, clean_set(np.stack(scenes), named, suspect, trusted)
