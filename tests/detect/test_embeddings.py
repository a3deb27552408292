"""Embeddings at the door: checked, normalized, copies found."""

import numpy as np
import pytest

from clipforensics.detect import embeddings
from clipforensics.detect.embeddings import check_embeddings, find_copies, unit_rows
from clipforensics.errors import DataError


def test_every_broken_row_is_counted_across_chunks(rng, monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK_NUMBERS", 30)
    x = rng.normal(size=(5000, 3))
    x[[40, 41, 4999], [0, 1, 2]] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError) as refused:
        check_embeddings(x)
    assert str(refused.value) == (
        "3 of 5,000 embeddings contain NaN or infinity (first: row 40). "
        "Remove these images or embed them again."
    )


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_unit_rows_have_length_one_at_any_scale(scale, rng):
    x = scale * rng.normal(size=(20, 7))
    np.testing.assert_allclose(np.linalg.norm(unit_rows(x), axis=1), 1, rtol=1e-14)
    assert unit_rows(x.astype(np.float16) if scale == 1 else x).dtype.kind == "f"


def test_copies_are_found_in_any_chunk_and_precision(rng, monkeypatch):
    x = rng.normal(size=(12, 3)).astype(np.float16)
    x[[5, 9]], x[7], x[3, 0], x[10] = x[2], x[0], 0.0, x[3]
    x[10, 0] = -0.0
    for chunk in (3, 10, 4000):
        monkeypatch.setattr(embeddings, "CHUNK_NUMBERS", chunk)
        for dtype in (np.float16, np.float32, np.float64):
            found = find_copies(x.astype(dtype))
            assert found.first.tolist() == [0, 1, 2, 3, 4, 6, 8, 11]
            np.testing.assert_array_equal(x[found.first[found.place]], x)
            groups = [group.tolist() for group in found.groups()]
            assert groups == [[2, 5, 9], [0, 7], [3, 10]]


def test_no_copies_means_every_row_is_first(rng):
    found = find_copies(rng.normal(size=(30, 2)))
    assert found.first.tolist() == found.place.tolist() == list(range(30))
    assert found.groups() == []


def test_normalizing_finds_copies_of_other_length(rng):
    x = rng.normal(size=(4, 3))
    x[3] = 4 * x[1]
    assert find_copies(x).groups() == []
    assert [group.tolist() for group in find_copies(x, normalize=True).groups()] == [[1, 3]]


@pytest.mark.parametrize("way", ["checked", "taken", "copies", "scored"])
def test_a_file_cut_short_by_another_process_is_one_sentence_and_no_crash(tmp_path, rng, way):
    """Touching a page beyond the end kills a process (SIGBUS), so another one does the reading."""
    import subprocess
    import sys

    path = tmp_path / "x.npy"
    np.save(path, rng.normal(size=(4000, 64)).astype(np.float32))
    acts = {
        "checked": "check_embeddings(x)",
        "taken": "take(x, np.arange(4000))",
        "copies": "find_copies(x[10:])",
        "scored": "score(x, 'lof', DensitySettings(), ReferenceSettings())",
    }
    code = f"""
import os, numpy as np
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.embeddings import check_embeddings, find_copies, take
from clipforensics.detect.reference import score
from clipforensics.errors import DataError
x = np.load({str(path)!r}, mmap_mode="r")
os.truncate({str(path)!r}, 100_000)
try:
    {acts[way]}
except DataError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.returncode
    assert f"{path} was cut short while it was read: it holds 100,000 bytes of 1,024,128" in (
        done.stdout
    )
