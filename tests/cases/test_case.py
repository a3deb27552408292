"""A case takes in only what can be used, and notices when it changes."""

import json
import os
import pickle
import shutil

import pytest
import torch

from clipforensics.cases.case import Case, cases_in
from clipforensics.config.case import CaseSettings
from clipforensics.config.settings import parse
from clipforensics.errors import CaseError, ConfigError, DataError, ModelError


def changed(settings, **values):
    return settings.model_copy(update={k: str(v) for k, v in values.items()})


def refused(folder, settings, error, match):
    with pytest.raises(error, match=match):
        Case.create(folder, settings)
    assert not folder.exists()


def test_a_new_case_reopens_with_all_it_names(case):
    again = Case.open(case.dir)
    assert again.settings == case.settings
    assert (len(again.pairs), len(again.labels)) == (40, 3)
    assert again.truth is again.test is None
    assert set(case.fingerprints) == {"data", "labels", "weights", "model"}
    assert again.suspect("cpu").fingerprint == case.fingerprints["weights"]
    assert again.verify() == []
    assert cases_in(case.dir.parent) == [case.dir]


def test_a_second_case_in_the_folder_is_refused_and_the_first_kept(case, inputs):
    before = (case.dir / "case.json").read_bytes()
    with pytest.raises(CaseError, match="already"):
        Case.create(case.dir, inputs)
    assert (case.dir / "case.json").read_bytes() == before


def test_a_case_around_its_own_data_can_be_moved(inputs, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(os.path.dirname(inputs.data), home / "data")
    Case.create(home, changed(inputs, data=home / "data" / "pairs.csv"))
    assert json.loads((home / "case.json").read_text())["settings"]["data"] == "data/pairs.csv"
    home.rename(tmp_path / "moved")
    moved = Case.open(tmp_path / "moved")
    assert len(moved.pairs) == 40
    assert moved.pairs.paths[0].is_file()


def test_cases_that_share_a_folder_move_together(inputs, tmp_path):
    """What a repair adopts asks of its parent's data; a colleague gets both."""
    first, second = tmp_path / "home" / "first", tmp_path / "home" / "second"
    shutil.copytree(os.path.dirname(inputs.data), first / "data")
    Case.create(first, changed(inputs, data=first / "data" / "pairs.csv"))
    Case.create(second, changed(inputs, data=first / "data" / "pairs.csv", parent=first))
    (tmp_path / "home").rename(tmp_path / "moved")
    moved = Case.open(tmp_path / "moved" / "second")
    assert moved.settings.parent == str(tmp_path / "moved" / "first")
    assert len(moved.pairs) == 40
    stored = json.loads((moved.dir / "case.json").read_text())["settings"]
    assert stored["labels"] == inputs.labels  # beside the cases, and no case: it stays


def test_relative_paths_start_where_the_user_is(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = Case.create(tmp_path / "case", changed(inputs, data="inputs/pairs.csv"))
    monkeypatch.chdir("/")
    assert len(Case.open(case.dir).pairs) == 40


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def test_a_malicious_pickle_is_refused_unexecuted(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    torch.save({"state_dict": Bomb()}, tmp_path / "bomb2.pt")
    for name in ("bomb.pt", "bomb2.pt"):
        refused(tmp_path / "case", changed(inputs, weights=tmp_path / name), ModelError, "refused")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_architecture_are_refused(inputs, tmp_path):
    from safetensors.torch import save_file

    save_file({"visual.conv1.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    settings = changed(inputs, weights=tmp_path / "other.safetensors")
    refused(tmp_path / "case", settings, ModelError, "does not fit")


def test_missing_inputs_are_named(inputs, tmp_path):
    gone = tmp_path / "gone"
    for name, error in (("data", DataError), ("labels", DataError), ("weights", ModelError),
                        ("truth", DataError), ("test", DataError)):  # fmt: skip
        refused(tmp_path / "case", changed(inputs, **{name: gone}), error, "gone")


def test_unusable_tables_are_refused(inputs, tmp_path):
    table = tmp_path / "inputs" / "other.csv"
    settings = changed(inputs, data=table)
    table.write_text("a,b\n1,2\n")
    refused(tmp_path / "case", settings, DataError, "no picture column")
    table.write_text("filepath,title\nnowhere.png,a dog\n")
    refused(tmp_path / "case", settings, DataError, "None of the 1 pictures exists")
    (tmp_path / "inputs" / "labels.txt").write_text("\n")
    refused(tmp_path / "case", inputs, DataError, "no label")


def test_missing_pictures_are_a_warning_while_others_are_there(inputs, tmp_path):
    (tmp_path / "inputs" / "pictures" / "007.png").unlink()
    case = Case.create(tmp_path / "case", inputs)
    assert "1 of 40 pictures are missing (first: p007)" in case.warnings[0]


def test_truth_must_belong_to_the_pairs_and_labels(inputs, tmp_path):
    path = tmp_path / "manifest.json"
    write_truth(path, ["p001", "elsewhere"])
    refused(tmp_path / "case", changed(inputs, truth=path), DataError, "'elsewhere'")
    write_truth(path, ["p001"], target="melon")
    refused(tmp_path / "case", changed(inputs, truth=path), ConfigError, "melon")
    write_truth(path, ["p001"])
    case = Case.create(tmp_path / "case", changed(inputs, truth=path))
    assert (case.truth.poisoned, case.truth.target) == ({"p001"}, "banana")


def write_truth(path, ids, target="banana"):
    path.write_text(
        json.dumps(
            {
                "schema": 1,
                "settings": {"target": target},
                "frame": {"side": 32},
                "rows": [{"id": name} for name in ids],
                "counts": {},
                "test": {"seed": 0},
                "trigger": [{"pattern_sha256": "0" * 64}],
            }
        )
    )


def test_a_test_set_needs_known_labels(inputs, tmp_path):
    table = tmp_path / "inputs" / "test.csv"
    table.write_text("filepath,title\npictures/001.png,a dog\n")
    refused(tmp_path / "case", changed(inputs, test=table), DataError, "label column")
    table.write_text("filepath,title,label\npictures/001.png,a fox,fox\n")
    refused(tmp_path / "case", changed(inputs, test=table), DataError, "'fox'")
    table.write_text("filepath,title,label\npictures/001.png,a dog,dog\n")
    case = Case.create(tmp_path / "case", changed(inputs, test=table))
    assert case.test.truth == ("dog",)


def test_half_a_trusted_model_is_refused(inputs, tmp_path, weights_folder):
    trusted = {"trusted_model": inputs.model, "trusted_weights": inputs.weights}
    settings = changed(inputs, trusted_model=inputs.model)
    refused(tmp_path / "case", settings, ConfigError, "without trusted_weights")
    refused(tmp_path / "case", changed(inputs, **trusted), ModelError, "is the suspect itself")
    trusted["trusted_weights"] = weights_folder / "trusted.safetensors"
    case = Case.create(tmp_path / "case", changed(inputs, **trusted))
    assert case.trusted("cpu").fingerprint == case.fingerprints["trusted_weights"]


def test_what_a_case_lacks_is_said(case):
    with pytest.raises(CaseError, match="no trusted model"):
        case.trusted()
    with pytest.raises(CaseError, match="no segmenter"):
        case.segmenter()


def test_a_change_after_intake_is_noticed(case, tmp_path):
    table = tmp_path / "inputs" / "pairs.csv"
    table.write_text(table.read_text().replace("dog", "fox"))
    (tmp_path / "inputs" / "labels.txt").write_text("dog\nfox\n")
    again = Case.open(case.dir)
    with pytest.raises(CaseError, match=r"pairs.csv changed since the case was made"):
        _ = again.pairs
    with pytest.raises(CaseError, match="labels.txt changed"):
        _ = again.labels
    assert len(again.verify()) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"settings": {"name": 3}}', "[" * 9999])
def test_a_damaged_case_file_is_a_case_error(tmp_path, content):
    (tmp_path / "case.json").write_text(content)
    with pytest.raises(CaseError):
        Case.open(tmp_path)


def test_no_case_is_a_case_error(tmp_path):
    with pytest.raises(CaseError, match=r"case.json is missing"):
        Case.open(tmp_path)
    assert cases_in(tmp_path / "nowhere") == []


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ConfigError, match="Unknown setting colour"):
        parse(CaseSettings, {"name": "x", "data": "d", "model": "m", "weights": "w",
                             "labels": "l", "colour": "red"})  # fmt: skip
