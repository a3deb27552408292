"""Clean pairs, embedded and scored as the case's own are."""

import json

import numpy as np
import pytest

from clipforensics.cases.evidence import check_all
from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.config.scan import CleanSettings
from clipforensics.errors import ConfigError, DataError
from clipforensics.jobs.runs.run_folder import Stopped
from clipforensics.jobs.scanning import scan
from clipforensics.jobs.scanning.calibrating import calibrate, calibrations

K4 = DensitySettings(k=4)
SETS = ReferenceSettings(reference_size=16, draws=2)


def asked(case, **more):
    """The case's own table as its clean reference: every score must be the case's own."""
    values = {"detector": "lof", "density": K4, "reference": SETS, "device": "cpu"}
    return CleanSettings(**{"data": case.settings.data, **values, **more})


@pytest.mark.parametrize("detector", ["lof", "kdist", "clip", "gmm", "combined"])
def test_pairs_of_the_case_itself_get_their_own_scores(case, detector):
    found = calibrate(case, asked(case, detector=detector))
    own = scan.scores(case, detector, K4, SETS).mean
    np.testing.assert_allclose(found.values, own, rtol=1e-4)
    assert (found.about["rows"], found.about["bad"]) == (40, 0)
    assert found.about["source"].endswith("pairs.csv")


def test_it_is_evidence_made_once_and_found_by_its_settings(case, monkeypatch):
    from clipforensics.jobs.scanning import calibrating

    assert calibrations(case, "lof", K4, SETS) == []
    found = calibrate(case, asked(case))
    monkeypatch.setattr(calibrating, "embed_table", None)
    monkeypatch.setattr(calibrating, "score_clean", None)
    (again,) = calibrations(case, "lof", K4, SETS)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(calibrate(case, asked(case)).values, found.values)
    assert calibrations(case, "slof", K4, SETS) == []
    assert calibrations(case, "lof", DensitySettings(k=5), SETS) == []
    assert check_all(case) == []


def test_a_stop_keeps_no_half_evidence(case):
    with pytest.raises(Stopped):
        calibrate(case, asked(case), stop=lambda: True)
    assert calibrations(case, "lof", K4, SETS) == []


def test_what_cannot_be_followed_is_one_sentence(case, tmp_path):
    with pytest.raises(ConfigError, match="no test set to calibrate on"):
        calibrate(case, asked(case, data=None))
    joined = SETS.model_copy(update={"captions": True})
    with pytest.raises(ConfigError, match="they join no reference set"):
        calibrate(case, asked(case, reference=joined))
    blank = tmp_path / "inputs" / "blank.csv"
    blank.write_text("filepath,title\npictures/000.png,\npictures/001.png,a dog\n")
    before = sorted(case.dir.rglob("*"))
    for detector in ("clip", "gmm", "combined"):
        with pytest.raises(DataError, match="1 of 2 clean pairs have no caption"):
            calibrate(case, asked(case, data=str(blank), detector=detector))
    assert sorted(case.dir.rglob("*")) == before  # nothing was embedded for it


def test_a_bad_clean_picture_is_left_out_and_counted(case, tmp_path):
    table = tmp_path / "inputs" / "some.csv"
    (tmp_path / "inputs" / "pictures" / "torn.png").write_bytes(b"no picture")
    table.write_text("filepath,title\npictures/000.png,x\npictures/torn.png,y\n")
    found = calibrate(case, asked(case, data=str(table)))
    assert (len(found.values), found.about["bad"]) == (1, 1)


def test_the_command_says_what_is_expected_and_what_is_flagged(case, capsys):
    from clipforensics.cli.app import main

    with pytest.raises(SystemExit) as end:
        main(["calibrate", str(case.dir), "--data", case.settings.data, "--detector", "lof",
              "--k", "4", "--reference-size", "16", "--false-rate", "0.1", "--json"])  # fmt: skip
    assert end.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["clean"], said["pairs"], said["clean_flagged"]) == (40, 40, said["flagged"])
    assert said["flagged"] == 3  # (3 + 1) / 41 is at most .1
    assert said["expected"] == pytest.approx(40 * 4 / 41)


def test_the_command_says_that_unlike_pairs_promise_nothing(case, capsys, monkeypatch):
    from clipforensics.cli.app import main
    from clipforensics.detect import thresholds

    monkeypatch.setattr(thresholds, "unlike", lambda *given: thresholds.Unlike(0.1, 0.5))
    with pytest.raises(SystemExit):
        main(["calibrate", str(case.dir), "--data", case.settings.data, "--detector", "lof",
              "--k", "4", "--reference-size", "16", "--false-rate", "0.1"])  # fmt: skip
    assert "clean pairs are of another kind than the scored ones" in capsys.readouterr().out


def test_too_few_clean_pairs_are_told_before_the_work(case, capsys, monkeypatch):
    from clipforensics.cli.app import main
    from clipforensics.jobs.scanning import calibrating

    monkeypatch.setattr(calibrating, "calibrate", None)
    with pytest.raises(SystemExit) as end:
        main(["calibrate", str(case.dir), "--data", case.settings.data])
    assert end.value.code == 2
    assert "needs at least 99 clean rows, got 40" in capsys.readouterr().err


def test_other_pictures_under_the_same_names_are_another_reference(case, tmp_path):
    from PIL import Image

    table = tmp_path / "clean.csv"
    table.write_text("id,caption,image\n" + "".join(f"c{i},a dog,{i}.png\n" for i in range(3)))
    said = []
    for folder, grey in (("one", 40), ("other", 200)):
        (tmp_path / folder).mkdir()
        for i in range(3):
            Image.new("RGB", (32, 32), (grey, 10 * i, 0)).save(tmp_path / folder / f"{i}.png")
        root = {"data": str(table), "image_root": str(tmp_path / folder)}
        said.append(calibrate(case, asked(case, detector="clip", **root)).values)
    assert not np.allclose(*said)


def test_copies_of_a_clean_picture_count_once(case, tmp_path):
    whole = calibrate(case, asked(case))
    names = [*case.pairs.ids, *(f"again-{one}" for one in case.pairs.ids[:10])]
    paths = [*case.pairs.paths, *case.pairs.paths[:10]]
    table = tmp_path / "twice.csv"
    lines = [f"{name},a dog,{path}" for name, path in zip(names, paths, strict=True)]
    table.write_text("id,caption,image\n" + "\n".join(lines) + "\n")
    twice = calibrate(case, asked(case, data=str(table), image_root="/"))
    assert (twice.about["rows"], len(twice.values)) == (50, len(whole.values))
