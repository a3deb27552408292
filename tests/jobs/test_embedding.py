"""Embedding streams, resumes and survives hostile input and a full disk."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from clipforensics.cases.evidence import check_all, part_of
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.errors import CaseError, DataError, RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning import embedding, growing, scan
from clipforensics.jobs.scanning.embedded import embedding_dir, embedding_record

K4, ALL = DensitySettings(k=4), ReferenceSettings(reference_size="all")


def test_embeddings_are_those_of_the_suspect_in_the_order_of_the_pairs(case):
    seen = []
    scan.embed(case, lambda step, total, message: seen.append((step, total)), device="cpu")
    encoder = case.suspect("cpu")
    frames = case.pairs.frames(range(40), encoder.side)
    np.testing.assert_allclose(scan.embeddings(case), encoder.encode_pictures(frames), atol=1e-5)
    texts = encoder.encode_texts(case.pairs.captions)
    np.testing.assert_allclose(scan.text_embeddings(case), texts, atol=1e-5)
    assert seen[0] == (0, 40)
    assert seen[-1] == (40, 40)
    assert (scan.embeddings(case).dtype, scan.bad_pictures(case)) == (np.float32, {})
    record = embedding_record(case)
    assert (record["rows"], record["dim"], record["device"]) == (40, encoder.dim, "cpu")
    assert check_all(case) == []


def test_embeddings_are_made_once(embedded, counter):
    again = counter()
    scan.embed(embedded, encoder=again)
    assert again.pictures == 0
    with pytest.raises(ValueError, match="read-only"):
        scan.embeddings(embedded)[0] = 0


def test_each_different_caption_is_encoded_once(case, counter):
    stub = counter()
    scan.embed(case, encoder=stub)
    assert sorted(stub.texts) == sorted(set(case.pairs.captions))


def test_the_bytes_of_each_picture_are_hashed(embedded):
    import hashlib

    hashes = np.load(embedding_dir(embedded) / "pictures.npy")
    digest = hashlib.sha256(embedded.pairs.paths[3].read_bytes()).digest()
    assert hashes[3].tobytes() == digest


def test_nothing_is_there_before_embedding(case):
    assert not scan.is_embedded(case)
    with pytest.raises(CaseError, match="not embedded yet"):
        scan.embeddings(case)
    with pytest.raises(CaseError, match="not embedded yet"):
        scan.scores(case, "slof", K4, ALL)


def test_a_stop_keeps_finished_batches(case, counter):
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped, match="after 21 of 40"):
        scan.embed(case, stop=lambda: next(asked), encoder=counter())
    assert not scan.is_embedded(case)
    rest, seen = counter(), []
    scan.embed(case, lambda step, *_: seen.append(step), encoder=rest)
    assert rest.pictures == 40 - 21
    assert seen[0] == 21
    np.testing.assert_array_equal(scan.embeddings(case), counter.expected(case))


SLOW = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from clipforensics.cases.case import Case
from clipforensics.jobs.scanning import embedding, scan

class Slow:
    side, dim, scale, fingerprint, device = 32, 8, 1.0, "stub", "cpu"
    def encode_pictures(self, pictures):
        time.sleep(0.1)
        return pictures[:, 0, :8, 0].astype(np.float32)
    def encode_texts(self, texts):
        return np.array([[len(text)] * 8 for text in texts], np.float32)

embedding.BATCH = 2
scan.embed(Case.open(Path(sys.argv[1])), encoder=Slow())
"""


def test_a_killed_embedding_goes_on_without_redoing_finished_batches(
    case, until, monkeypatch, counter
):
    monkeypatch.setattr(embedding, "BATCH", 2)
    part = part_of(embedding_dir(case))
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(case.dir)])

    def finished():
        path = part / growing.BATCHES
        return path.read_bytes().count(b"\n") if path.exists() else 0

    until(lambda: finished() >= 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = finished()
    assert 3 <= kept < 20
    assert not scan.is_embedded(case)
    rest = counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures == 40 - 2 * kept
    np.testing.assert_array_equal(scan.embeddings(case), counter.expected(case))


def test_a_batch_whose_bytes_do_not_fit_its_line_is_done_again(case, counter):
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped):
        scan.embed(case, stop=lambda: next(asked), encoder=counter())
    part = part_of(embedding_dir(case))
    with open(part / "images.npy", "rb+") as file:
        file.seek(-8 * 4 * 33, os.SEEK_END)  # row 7, in the second batch
        file.write(b"\xff\xff")
    with open(part / growing.BATCHES, "ab") as file:
        file.write(b'{"start": 21, "stop"')
    rest = counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures == 40 - 14
    np.testing.assert_array_equal(scan.embeddings(case), counter.expected(case))


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_before_any_work_and_leaves_nothing(case, monkeypatch, counter):
    stub = counter()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(RunError, match=r"is full .* Free space and start again"):
            scan.embed(case, encoder=stub)
    assert stub.pictures == 0
    assert not part_of(embedding_dir(case)).exists()
    scan.embed(case, encoder=stub)
    assert scan.is_embedded(case)


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_that_fills_up_on_the_way_keeps_whole_batches(case, monkeypatch, call, counter):
    real, calls = getattr(os, call), []

    def sometimes(*arguments):
        calls.append(0)
        return real(*arguments) if len(calls) < 5 else full()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, sometimes)
        with pytest.raises(RunError, match="finished batches are kept"):
            scan.embed(case, encoder=counter())
    assert not scan.is_embedded(case)
    rest = counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures < 40
    np.testing.assert_array_equal(scan.embeddings(case), counter.expected(case))


def test_a_short_write_is_finished(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:3], at))
    tables = growing.GrowingTables(tmp_path / "t", 4, {"a": (2, "<f4")})
    tables.write(2, {"a": np.array([[1, 2], [3, 4]])})
    np.testing.assert_array_equal(np.load(tmp_path / "t" / "a.npy")[2:], [[1, 2], [3, 4]])


def test_tables_of_another_shape_are_begun_anew(tmp_path):
    growing.GrowingTables(tmp_path / "t", 4, {"a": (2, "<f4")}).write(0, {"a": np.ones((4, 2))})
    assert growing.GrowingTables(tmp_path / "t", 4, {"a": (2, "<f4")}).batches
    assert not growing.GrowingTables(tmp_path / "t", 4, {"a": (3, "<f4")}).batches
    assert np.load(tmp_path / "t" / "a.npy").shape == (4, 3)


@pytest.fixture
def damaged(case):
    case.pairs.paths[5].unlink()
    case.pairs.paths[9].write_bytes(case.pairs.paths[9].read_bytes()[:200])
    case.pairs.paths[11].unlink()
    os.mkfifo(case.pairs.paths[11])
    case.pairs.paths[12].write_bytes(b"<html>no picture</html>")
    return case


def test_bad_pictures_are_listed_and_left_out_not_fatal(damaged, counter):
    stub = counter()
    scan.embed(damaged, encoder=stub)
    bad = scan.bad_pictures(damaged)
    assert list(bad) == [5, 9, 11, 12]
    assert "No picture at" in bad[5]
    assert "truncated" in bad[9]
    assert stub.pictures == 36
    assert np.isnan(scan.embeddings(damaged)[[5, 9, 11, 12]]).all()
    found = scan.scores(damaged, "slof", K4, ALL)
    assert np.flatnonzero(np.isnan(found.mean)).tolist() == [5, 9, 11, 12]
    assert scan.neighbours_of(damaged, 5) == []
    near = scan.neighbours_of(damaged, 10, 3)
    assert not {5, 9, 10, 11, 12} & {row for row, _ in near}
    # the neighbours are those found by hand, in rows of the pairs
    x = scan.embeddings(damaged)
    far = np.linalg.norm(x - x[10], axis=1)
    far[10] = np.nan
    assert [row for row, _ in near] == np.argsort(far)[:3].tolist()


def test_not_one_picture_is_an_error_and_can_be_mended(case, counter):
    kept = {path: path.read_bytes() for path in case.pairs.paths}
    for path in kept:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of the 40 pictures"):
        scan.embed(case, encoder=counter())
    for path, content in kept.items():
        path.write_bytes(content)
    scan.embed(case, encoder=counter())
    assert scan.bad_pictures(case) == {}


def test_embeddings_with_nan_are_refused_by_row_and_name(case, counter):
    stub = counter()
    stub.encode_pictures = lambda pictures: np.full((len(pictures), 8), np.nan, np.float32)
    scan.embed(case, encoder=stub)
    for act in (lambda: scan.scores(case, "slof", K4, ALL), lambda: scan.graph(case)):
        with pytest.raises(DataError, match=r"40 of 40 embeddings contain NaN.*row 0, p000"):
            act()
