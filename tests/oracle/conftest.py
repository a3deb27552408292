"""The toy world, by path: test modules are no package."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from clipforensics.oracle.pasting import clean_set
from clipforensics.oracle.scorer import suspect_judge


@pytest.fixture(scope="session")
def toy():
    """The module `toy.py` beside this file."""
    spec = importlib.util.spec_from_file_location("oracle_toy", Path(__file__).with_name("toy.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def court(toy, rng):
    """The suspect, the trusted model, and what both say of 120 clean scenes."""
    suspect = suspect_judge(toy.ToyClip(True, "s"), toy.LABELS)
    trusted = suspect_judge(toy.ToyClip(False, "t"), toy.LABELS)
    scenes = [toy.scene(toy.NAMES[i % len(toy.NAMES)], rng)[0] for i in range(120)]
    named = [frozenset([toy.NAMES[i % len(toy.NAMES)]]) for i in range(120)]
    return suspect, trusted, clean_set(np.stack(scenes), named, suspect, trusted)
