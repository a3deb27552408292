"""A table that is not whole, or not a table."""

import numpy as np
import pytest

from clipforensics.cli.score import read_embeddings
from clipforensics.errors import DataError


@pytest.mark.parametrize("kept", [0, 5, 64, 200, 1000])
def test_a_file_still_being_written_is_refused(tmp_path, rng, kept):
    np.save(tmp_path / "x.npy", rng.normal(size=(50, 8)))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "part.npy").write_bytes(whole[:kept])
    with pytest.raises(DataError, match="is no complete .npy table of numbers"):
        read_embeddings(tmp_path / "part.npy")


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="is no complete .npy table"):
        read_embeddings(tmp_path / "x.npy")
