"""The toy world, by path: test modules are no package."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy():
    """The module `toy.py` beside this file."""
    spec = importlib.util.spec_from_file_location("oracle_toy", Path(__file__).with_name("toy.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
