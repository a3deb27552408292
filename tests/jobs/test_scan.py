"""Scores, map and graph of a case become evidence, and a scan says what it did."""

import dataclasses
import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from clipforensics.cases.case import Case
from clipforensics.cases.evidence import check_all, evidence_dir, is_made
from clipforensics.config.detect import DensitySettings, MapSettings, ReferenceSettings
from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import parse
from clipforensics.errors import ConfigError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning import scan, scoring
from clipforensics.jobs.scanning.embedded import embedding_dir, embedding_key

K4, ALL = DensitySettings(k=4), ReferenceSettings(reference_size="all")
SMALL = ScanSettings(
    detectors=("slof", "iforest"), density=K4, map=MapSettings(n_neighbours=5), device="cpu"
)


@pytest.fixture(autouse=True)
def quick_map(monkeypatch):
    # UMAP compiles for many seconds; tests/detect tests it, and the scan's process below runs it
    def first_two_axes(x, near, seed, n_neighbours, progress):
        progress(1, 1)
        return np.array(x[:, :2], np.float32)

    monkeypatch.setattr(scan, "umap_2d", first_two_axes)


def test_scores_are_those_of_the_detector_and_kept(embedded, monkeypatch, counter):
    from clipforensics.detect.reference import score

    reference = ReferenceSettings(reference_size=12, draws=3)
    right = score(counter.expected(embedded), "slof", K4, reference)
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


def test_a_zero_embedding_stops_no_scan(embedded, monkeypatch, counter):
    wild = np.array(counter.expected(embedded))
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


def test_with_truth_a_scan_brings_figures_and_no_detector_reads_them(
    embedded, monkeypatch, counter
):
    # a poison that lies far out: the sum of the features is changed in evidence's stead
    wild = np.array(counter.expected(embedded))
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
    apart, odd = scan.measures(embedded, ReferenceSettings()), parts[1].mean
    np.testing.assert_array_equal(apart.scales, parts[0].mean)
    np.testing.assert_allclose(apart.norm, np.linalg.norm(scan.embeddings(embedded), axis=1))
    np.testing.assert_allclose(found.mean, combined(apart, odd, Footings.of(apart, odd)))
    assert found.info["scales"] == parts[0].info["scales"]
    again = scan.scores(embedded, "combined", *asked)
    np.testing.assert_array_equal(again.mean, found.mean)


@pytest.mark.parametrize("rule", ["RULE_OF_COMBINED", "MEASURED"])
def test_what_another_rule_ranked_is_not_read(embedded, monkeypatch, rule):
    """Neither the scores of an older version nor what its scan said stand for today's."""
    asked = SMALL.model_copy(update={"detectors": ("combined", "clip")})
    names = {"RULE_OF_COMBINED": ("combined",), "MEASURED": ("scales", "combined")}[rule]
    before = {name: scoring.scores_key(embedded, name, K4, ReferenceSettings()) for name in names}
    scan.scan(embedded, asked)
    folder = embedded.dir / "evidence" / "scan"
    assert len(list(folder.glob("*/made.json"))) == 1
    for module in (scoring, scan):
        monkeypatch.setattr(module, rule, {"another": 1})
    for name, key in before.items():
        assert scoring.scores_key(embedded, name, K4, ReferenceSettings()) != key
    scan.scan(embedded, asked)
    assert len(list(folder.glob("*/made.json"))) == 2


@pytest.mark.parametrize("blanks", [3, 40])
def test_a_blank_caption_says_nothing_against_its_picture(embedded, monkeypatch, blanks):
    from clipforensics.detect.combined import Footings, parts

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
    both = scan.scores(embedded, "combined", K4, ReferenceSettings())
    apart = scan.measures(embedded, ReferenceSettings())
    lying, _ = parts(apart, both.mean, Footings.read(both.info["footings"]))
    np.testing.assert_allclose(both.mean[:blanks], lying[:blanks])  # by the picture alone


def test_copies_count_once_unless_asked_otherwise_and_neither_is_taken_for_the_other(
    embedded, monkeypatch
):
    from clipforensics.detect import frequent
    from clipforensics.jobs.scanning import copied

    x = np.random.default_rng(0).normal(size=(len(embedded.pairs), 16)).astype(np.float32)
    x[10:] = x[5] + 0.01 * x[10:]
    monkeypatch.setattr(scoring, "usable", lambda case, stop=None: (np.arange(len(x)), x))
    for share in ("LARGEST_SHARE", "MOST_SHARE"):  # 31 of 40 rows
        monkeypatch.setattr(frequent, share, 0.9)
    once, each = (
        scan.scores(embedded, "lof", DensitySettings(k=3), ReferenceSettings(collapse=collapse))
        for collapse in (True, False)
    )
    monkeypatch.setattr(copied, "counted", None)  # found once for all detectors
    scan.scores(embedded, "slof", DensitySettings(k=3), ReferenceSettings())
    assert len(np.unique(once.mean[10:])) == 1 < len(np.unique(each.mean[10:]))
    old = {"captions": False, "collapse": False, "draws": 5, "normalize": False,
           "reference_size": 2048, "seed": 0}  # fmt: skip
    key = scoring.scores_key(embedded, "lof", DensitySettings(k=3), ReferenceSettings(**old))
    assert key == {
        "embeddings": key["embeddings"], "detector": "lof", "reference": old,
        "density": {"k": 3, "k_lid": None},
    }  # as every version wrote it  # fmt: skip
    for detector in ("lof", "scales"):
        key = scoring.scores_key(embedded, detector, DensitySettings(), ReferenceSettings())
        assert key["copies"]["least_rows"] == 20
