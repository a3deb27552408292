"""One source of randomness, and shape annotations that are really checked."""

import numpy as np
import pytest
from jaxtyping import install_import_hook

SHAPED = ["clipforensics.detect"]
install_import_hook(SHAPED, "typeguard.typechecked")


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator, the same for every test."""
    return np.random.default_rng(0)
