"""The command `train` on 40 pairs."""

import json

import pytest

from clipforensics.config.train import TrainSettings
from clipforensics.errors import DataError, RunError
from clipforensics.jobs.attacking.train import train_pairs
from clipforensics.models.clip import load_clip

SETTINGS = TrainSettings(epochs=2, batch=16)


def go(inputs, out, **more):
    from pathlib import Path

    return train_pairs(
        Path(inputs.data), inputs.model, Path(inputs.labels), out, SETTINGS, device="cpu", **more
    )


def test_training_leaves_a_journal_a_checkpoint_and_a_result(inputs, tmp_path):
    out = tmp_path / "out"
    result = go(inputs, out)
    assert result["steps"] == 4
    assert load_clip(inputs.model, out / "checkpoints" / "final.safetensors", "cpu").dim == 16
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert {"t", "step", "total", "kind"} <= set(lines[0])
    assert json.loads((out / "result.json").read_text())["steps"] == 4


def test_a_finished_or_foreign_folder_is_refused(inputs, tmp_path):
    go(inputs, tmp_path / "out")
    with pytest.raises(RunError, match="finished"):
        go(inputs, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(RunError, match="not empty"):
        go(inputs, tmp_path / "full")


def test_a_test_table_gives_clean_accuracy(inputs, tmp_path):
    table = tmp_path / "inputs" / "test.csv"
    table.write_text("filepath,title,label\npictures/000.png,,cat\npictures/001.png,,dog\n")
    result = go(inputs, tmp_path / "out")
    assert result["n_ca"] == 2
    assert "asr" not in result


def test_a_test_table_without_labels_is_refused(inputs, tmp_path):
    table = tmp_path / "plain.csv"
    table.write_text("filepath,title\ninputs/pictures/000.png,a cat\n")
    with pytest.raises(DataError, match="no label column"):
        go(inputs, tmp_path / "out", test=table)
    assert not (tmp_path / "out").exists()
