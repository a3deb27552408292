"""Embedding streams, resumes and survives hostile input; scores and map become evidence."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import check_all, evidence_dir, is_made, part_of
from clipforensics.config.detect import DensitySettings, MapSettings, ReferenceSettings
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import parse
from clipforensics.errors import CaseError, ConfigError, DataError, RunError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning import embedding, growing, scan, scoring
from clipforensics.jobs.scanning.embedded import embedding_dir, embedding_key, embedding_record

K4, ALL = DensitySettings(k=4), ReferenceSettings(reference_size="all")
SMALL = ScanSettings(
    detectors=("slof", "iforest"), density=K4, map=MapSettings(n_neighbours=5), device="cpu"
)


class Counter:
    """A stub encoder that counts: the feature of a picture is read off its pixels."""

    side, dim, scale, fingerprint, device = 32, 8, 1.0, "stub", "cpu"

    def __init__(self, pause=0.0):
        self.pictures, self.texts, self.pause = 0, [], pause

    def encode_pictures(self, pictures):
        time.sleep(self.pause)
        self.pictures += len(pictures)
        return pictures[:, 0, : self.dim, 0].astype(np.float32)

    def encode_texts(self, texts):
        self.texts += texts
        return np.array([[len(text)] * self.dim for text in texts], np.float32)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(embedding, "BATCH", 7)


@pytest.fixture(autouse=True)
def quick_map(monkeypatch):
    # UMAP compiles for many seconds; tests/detect tests it, and the scan's process below runs it
    def first_two_axes(x, near, seed, n_neighbours, progress):
        progress(1, 1)
        return np.array(x[:, :2], np.float32)

    monkeypatch.setattr(scan, "umap_2d", first_two_axes)


@pytest.fixture
def embedded(case):
    scan.embed(case, encoder=Counter())
    return case


def expected(case):
    return case.pairs.frames(range(len(case.pairs)), 32)[:, 0, :8, 0].astype(np.float32)


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


def test_embeddings_are_made_once(embedded):
    again = Counter()
    scan.embed(embedded, encoder=again)
    assert again.pictures == 0
    with pytest.raises(ValueError, match="read-only"):
        scan.embeddings(embedded)[0] = 0


def test_each_different_caption_is_encoded_once(case):
    stub = Counter()
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


def test_a_stop_keeps_finished_batches(case):
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped, match="after 21 of 40"):
        scan.embed(case, stop=lambda: next(asked), encoder=Counter())
    assert not scan.is_embedded(case)
    rest, seen = Counter(), []
    scan.embed(case, lambda step, *_: seen.append(step), encoder=rest)
    assert rest.pictures == 40 - 21
    assert seen[0] == 21
    np.testing.assert_array_equal(scan.embeddings(case), expected(case))


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


def test_a_killed_embedding_goes_on_without_redoing_finished_batches(case, until, monkeypatch):
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
    rest = Counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures == 40 - 2 * kept
    np.testing.assert_array_equal(scan.embeddings(case), expected(case))


def test_a_batch_whose_bytes_do_not_fit_its_line_is_done_again(case):
    asked = iter([False, False, False, True])
    with pytest.raises(Stopped):
        scan.embed(case, stop=lambda: next(asked), encoder=Counter())
    part = part_of(embedding_dir(case))
    with open(part / "images.npy", "rb+") as file:
        file.seek(-8 * 4 * 33, os.SEEK_END)  # row 7, in the second batch
        file.write(b"\xff\xff")
    with open(part / growing.BATCHES, "ab") as file:
        file.write(b'{"start": 21, "stop"')
    rest = Counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures == 40 - 14
    np.testing.assert_array_equal(scan.embeddings(case), expected(case))


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_before_any_work_and_leaves_nothing(case, monkeypatch):
    stub = Counter()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(RunError, match=r"is full .* Free space and start again"):
            scan.embed(case, encoder=stub)
    assert stub.pictures == 0
    assert not part_of(embedding_dir(case)).exists()
    scan.embed(case, encoder=stub)
    assert scan.is_embedded(case)


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_that_fills_up_on_the_way_keeps_whole_batches(case, monkeypatch, call):
    real, calls = getattr(os, call), []

    def sometimes(*arguments):
        calls.append(0)
        return real(*arguments) if len(calls) < 5 else full()

    with monkeypatch.context() as patch:
        patch.setattr(os, call, sometimes)
        with pytest.raises(RunError, match="finished batches are kept"):
            scan.embed(case, encoder=Counter())
    assert not scan.is_embedded(case)
    rest = Counter()
    scan.embed(case, encoder=rest)
    assert rest.pictures < 40
    np.testing.assert_array_equal(scan.embeddings(case), expected(case))


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


def test_bad_pictures_are_listed_and_left_out_not_fatal(damaged):
    stub = Counter()
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


def test_not_one_picture_is_an_error_and_can_be_mended(case):
    kept = {path: path.read_bytes() for path in case.pairs.paths}
    for path in kept:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of the 40 pictures"):
        scan.embed(case, encoder=Counter())
    for path, content in kept.items():
        path.write_bytes(content)
    scan.embed(case, encoder=Counter())
    assert scan.bad_pictures(case) == {}


def test_embeddings_with_nan_are_refused_by_row_and_name(case):
    stub = Counter()
    stub.encode_pictures = lambda pictures: np.full((len(pictures), 8), np.nan, np.float32)
    scan.embed(case, encoder=stub)
    for act in (lambda: scan.scores(case, "slof", K4, ALL), lambda: scan.graph(case)):
        with pytest.raises(DataError, match=r"40 of 40 embeddings contain NaN.*row 0, p000"):
            act()


def test_scores_are_those_of_the_detector_and_kept(embedded, monkeypatch):
    from clipforensics.detect.reference import score

    reference = ReferenceSettings(reference_size=12, draws=3)
    right = score(expected(embedded), "slof", K4, reference)
    assert not scan.is_scored(embedded, "slof", K4, reference)
    found = scan.scores(embedded, "slof", K4, reference)
    np.testing.assert_array_equal(found.mean, right.mean)
    np.testing.assert_array_equal(found.spread, right.spread)
    assert found.info == json.loads(json.dumps(right.info))
    assert scan.is_scored(embedded, "slof", K4, reference)
    monkeypatch.setattr(scoring, "score_each", None)
    np.testing.assert_array_equal(scan.scores(embedded, "slof", K4, reference).mean, right.mean)


def test_other_settings_are_other_evidence(embedded):
    folders = {
        scoring.scores_key(embedded, name, density, reference).__repr__()
        for name in ("slof", "lof")
        for density in (K4, DensitySettings(k=5))
        for reference in (ALL, ReferenceSettings(seed=1))
    }
    assert len(folders) == 8


def test_k_too_large_is_told_and_leaves_no_evidence(embedded):
    with pytest.raises(ConfigError, match="k=50 needs at least 51 embeddings, got 40"):
        scan.scores(embedded, "slof", DensitySettings(k=50), ALL)
    assert not (embedded.dir / "evidence" / "scores").exists()


def test_a_scan_names_the_most_neighbours_that_it_needs(embedded):
    asked = SMALL.model_copy(update={"density": DensitySettings(k=45), "map": MapSettings()})
    with pytest.raises(ConfigError, match="k=45 needs at least 46 embeddings, got 40"):
        scan.scan(embedded, asked)


def test_a_stopped_scoring_leaves_no_evidence(embedded):
    with pytest.raises(Stopped):
        scan.scores(embedded, "slof", K4, ALL, stop=lambda: True)
    assert not scan.is_scored(embedded, "slof", K4, ALL)


def test_a_scan_says_what_it_did_and_what_it_cost(embedded):
    told, lines = [], []
    first = scan.scan(embedded, SMALL, lambda *a, **f: told.append(a), journal=lines.append)
    assert (first["rows"], first["scored"], first["bad"], first["detector"]) == (40, 40, 0, "slof")
    assert list(first["seconds"]) == ["embed", "neighbours", "map", "slof", "iforest"]
    assert [line["stage"] for line in lines] == list(first["seconds"])
    assert {message for *_, message in told} >= {"drawing the map", "scoring by slof"}
    assert "figures" not in first
    assert scan.latest_scan(embedded) == first
    # whoever names no settings gets the map of the latest scan
    places = scan.projection(embedded)
    assert len(os.listdir(embedded.dir / "evidence" / "map")) == 1
    assert scan.graph(embedded)[0].shape == (40, 5)
    assert (places.shape, np.isfinite(places).all()) == ((40, 2), True)
    again = scan.scan(embedded, SMALL)
    assert again["seconds_total"] < first["seconds_total"]
    assert check_all(embedded) == []


def test_a_zero_embedding_stops_no_scan(embedded, monkeypatch):
    wild = np.array(expected(embedded))
    wild[3], wild[5] = 0, 5000
    truth = SimpleNamespace(poisoned=frozenset({"p005"}), target="banana")
    monkeypatch.setitem(embedded.__dict__, "truth", truth)
    monkeypatch.setattr(scoring, "embeddings", lambda case: wild)
    asked = SMALL.model_copy(update={"detectors": ("slof", "clip", "gmm")})
    said = scan.scan(embedded, asked)
    assert said["without_direction"] == {"clip": 1, "gmm": 1}
    assert (said["figures"]["clip"]["n"], said["figures"]["slof"]["n"]) == (39, 40)
    for name in ("clip", "gmm"):
        found = scan.scores(embedded, name, K4, ALL)
        assert np.flatnonzero(np.isnan(found.mean)).tolist() == [3]
    assert np.isfinite(scan.scores(embedded, "slof", K4, ALL).mean).all()


def test_with_truth_a_scan_brings_figures_and_no_detector_reads_them(embedded, monkeypatch):
    # a poison that lies far out: the sum of the features is changed in evidence's stead
    wild = np.array(expected(embedded))
    wild[3] += 5000
    truth = SimpleNamespace(poisoned=frozenset({"p003"}), target="banana")
    monkeypatch.setitem(embedded.__dict__, "truth", truth)
    monkeypatch.setattr(scoring, "embeddings", lambda case: wild)
    figures = scan.scan(embedded, SMALL)["figures"]
    assert figures["slof"]["auroc"] == 1.0
    assert figures["slof"]["poisoned"] == 1
    assert set(figures["slof"]["recall_at_budget"]) >= {"0.01"}


def test_a_scan_can_be_stopped_between_stages(embedded):
    with pytest.raises(Stopped):
        scan.scan(embedded, SMALL, stop=lambda: True)


def test_the_map_and_the_graph_are_kept(embedded, monkeypatch):
    dist, ids = scan.graph(embedded, 5)
    assert dist.shape == ids.shape == (40, 5)
    places = np.array(scan.projection(embedded, SMALL.map))
    monkeypatch.setattr(scan, "umap_2d", None)
    monkeypatch.setattr(scan, "whole_set_graph", None)
    np.testing.assert_array_equal(scan.projection(embedded, SMALL.map), places)
    np.testing.assert_array_equal(scan.graph(embedded, 5)[0], dist)


def test_a_copied_case_keeps_its_evidence(embedded, tmp_path):
    found = scan.scores(embedded, "slof", K4, ALL)
    shutil.copytree(embedded.dir, tmp_path / "copy")
    copy = Case.open(tmp_path / "copy")
    assert scan.is_scored(copy, "slof", K4, ALL)
    np.testing.assert_array_equal(scan.scores(copy, "slof", K4, ALL).mean, found.mean)


def test_evidence_of_other_weights_is_not_taken_for_ones_own(
    embedded, inputs, tmp_path, weights_folder
):
    other = inputs.model_copy(update={"weights": str(weights_folder / "trusted.safetensors")})
    other_case = Case.create(tmp_path / "other", other)
    assert embedding_dir(other_case).name != embedding_dir(embedded).name
    assert not is_made(evidence_dir(other_case, "embeddings", embedding_key(other_case)))


@pytest.mark.parametrize(
    "wrong", [{"detectors": []}, {"detectors": ["slof", "slof"]}, {"device": "tpu"}, {"k": 3}]
)
def test_scan_settings_refuse_nonsense(wrong):
    with pytest.raises(ConfigError):
        parse(ScanSettings, wrong)


def test_the_scan_job_runs_in_its_own_process(case, locks, until):
    from clipforensics.jobs.runs import launcher

    run = launcher.start(case.dir, "scan", SMALL.model_dump(mode="json"))
    until(lambda: not run.status().active, seconds=400)
    assert run.status().state == "succeeded", run.status().message + run.log_tail()
    assert run.result()["scored"] == 40
    assert len(run.journal()[0]) == 5
    assert scan.is_scored(case, "slof", SMALL.density, SMALL.reference)


def test_density_and_caption_are_joined_from_their_own_evidence(embedded):
    """Once its parts are scored, only an addition is left; what has no direction keeps its density."""
    from clipforensics.detect.combined import Footings, combined

    asked = (K4, ReferenceSettings())
    assert not scan.is_scored(embedded, "combined", *asked)
    parts = [scan.scores(embedded, name, *asked) for name in ("scales", "clip")]
    assert scan.is_scored(embedded, "combined", *asked)
    found = scan.scores(embedded, "combined", *asked)
    outlying, odd = (one.mean for one in parts)
    np.testing.assert_allclose(found.mean, combined(outlying, odd, Footings.of(outlying, odd)))
    assert found.info["scales"] == parts[0].info["scales"]
    again = scan.scores(embedded, "combined", *asked)
    np.testing.assert_array_equal(again.mean, found.mean)


@pytest.mark.parametrize("blanks", [3, 40])
def test_a_blank_caption_says_nothing_against_its_picture(embedded, monkeypatch, blanks):
    texts = tuple(
        "  " if row < blanks else text for row, text in enumerate(embedded.pairs.captions)
    )
    pairs = dataclasses.replace(embedded.pairs, captions=texts)
    monkeypatch.setitem(embedded.__dict__, "pairs", pairs)
    asked = SMALL.model_copy(update={"detectors": ("combined", "clip", "gmm")})
    said = scan.scan(embedded, asked)
    assert said["without_caption"] == {"combined": blanks, "clip": blanks, "gmm": blanks}
    for name in ("clip", "gmm"):
        found = scan.scores(embedded, name, K4, ReferenceSettings())
        assert np.flatnonzero(np.isnan(found.mean)).tolist() == list(range(blanks))
    both, apart = (
        scan.scores(embedded, name, K4, ReferenceSettings()).mean for name in ("combined", "scales")
    )
    assert np.isfinite(both).all()
    order = np.argsort(apart[:blanks], kind="stable")
    assert (np.argsort(both[:blanks], kind="stable") == order).all()  # by density alone
