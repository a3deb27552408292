"""Whoever changes a picture, evidence or its record after the fact is told on."""

import json

import numpy as np
import pytest

from clipforensics.cases.evidence import MADE, evidence_dir, writing
from clipforensics.jobs.scanning import scan
from clipforensics.jobs.scanning.embedded import embedding_dir
from clipforensics.jobs.verifying import verify


class Reader:
    """A stub encoder: the feature of a picture is read off its pixels."""

    side, dim, scale, fingerprint, device = 32, 8, 1.0, "stub", "cpu"

    def encode_pictures(self, pictures):
        return pictures[:, 0, : self.dim, 0].astype(np.float32)

    def encode_texts(self, texts):
        return np.array([[len(text)] * self.dim for text in texts], np.float32)


@pytest.fixture
def embedded(case):
    scan.embed(case, encoder=Reader())
    return case


def test_an_untouched_case_has_no_problem(embedded):
    assert verify(embedded) == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_changed_or_missing_picture_is_named(embedded, gone):
    path = embedded.pairs.paths[3]
    path.unlink() if gone else path.write_bytes(embedded.pairs.paths[4].read_bytes())
    [problem] = verify(embedded)
    assert "'p003'" in problem


def test_many_changed_pictures_are_counted(embedded):
    for path in embedded.pairs.paths:
        path.unlink()
    assert len(verify(embedded)) == 21
    assert verify(embedded)[-1] == "20 more pictures changed."


def test_changed_evidence_is_told(embedded):
    path = embedding_dir(embedded) / "texts.npy"
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert any("texts.npy changed" in problem for problem in verify(embedded))


@pytest.mark.parametrize("edit", ["figure", "files", "[" * 100_000])
def test_an_edited_record_is_told(embedded, edit):
    folder = evidence_dir(embedded, "figures", {"a": (1, 2)})
    with writing(folder, {"a": (1, 2)}, auroc=0.9) as part:
        (part / "x.txt").write_text("x")
    assert verify(embedded) == []
    made = json.loads((folder / MADE).read_text())
    made["auroc"] = 0.5
    if edit == "files":
        made["files"] = 5
    (folder / MADE).chmod(0o644)
    (folder / MADE).write_text(edit if edit[0] == "[" else json.dumps(made))
    [problem] = verify(embedded)
    assert str(folder / MADE) in problem
