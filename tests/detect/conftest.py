"""Worlds with something planted in them, made from a generator."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# a shared machine may stall for seconds: no test here is about time
settings.register_profile(
    "shared", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("shared")


def plant_outliers(rng: np.random.Generator) -> np.ndarray:
    """95 rows in three crowds, and five last rows, each alone and far from all others."""
    crowds = 20 * np.eye(3, 6)
    crowd = crowds[rng.integers(3, size=95)] + rng.normal(size=(95, 6))
    lonely = -40 * np.eye(5, 6) + rng.normal(size=(5, 6))
    return np.vstack([crowd, lonely])


def plant_poison(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """2,000 rows of ten crowds, of which 24 rows form a tight crowd of their own: more than k."""
    centres = 3 * rng.normal(size=(10, 16))
    x = centres[rng.integers(10, size=2000)] + rng.normal(size=(2000, 16))
    truth = np.arange(2000) < 24
    x[truth] = 3 * rng.normal(size=16) + 0.05 * rng.normal(size=(24, 16))
    return x.astype(np.float32), truth


@pytest.fixture
def planted_outliers() -> Callable[[np.random.Generator], np.ndarray]:
    return plant_outliers


@pytest.fixture
def planted_poison() -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    return plant_poison
