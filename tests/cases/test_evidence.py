"""Evidence appears whole or not at all, is never replaced, and tells when it was changed."""

import io
import json
import os
import struct
import zipfile
import zlib
from types import SimpleNamespace

import pytest

from clipforensics.cases import evidence
from clipforensics.cases.evidence import (
    check,
    check_all,
    evidence_dir,
    is_made,
    part_of,
    publish,
    read_made,
    reading,
    write_json,
    writing,
)
from clipforensics.errors import CaseError

KEY = {"k": 16, "data": "abc"}


@pytest.fixture
def owner(tmp_path):
    return SimpleNamespace(dir=tmp_path)


@pytest.fixture
def made(owner):
    folder = evidence_dir(owner, "scores", KEY)
    with writing(folder, KEY, seconds=2) as part:
        (part / "a.txt").write_text("alpha")
    return folder


def test_the_name_hangs_on_the_key_alone(owner):
    one = evidence_dir(owner, "scores", {"a": 1, "b": 2})
    assert one == evidence_dir(owner, "scores", {"b": 2, "a": 1})
    assert one != evidence_dir(owner, "scores", {"a": 1, "b": 3})
    assert not one.exists()


def test_a_new_revision_of_a_kind_leaves_its_old_evidence_alone(owner, monkeypatch):
    before = {kind: evidence_dir(owner, kind, KEY) for kind in ("scores", "map")}
    monkeypatch.setitem(evidence.REVISIONS, "scores", 7)
    assert evidence_dir(owner, "scores", KEY) != before["scores"]
    assert evidence_dir(owner, "map", KEY) == before["map"]


def test_the_record_says_what_made_it(made):
    record = read_made(made)
    assert record["key"] == KEY
    assert record["seconds"] == 2
    assert list(record["files"]) == ["a.txt"]
    assert "numpy" in record["versions"]
    assert check(made) == []


def test_a_failure_leaves_nothing(owner):
    folder = evidence_dir(owner, "scores", KEY)

    def fail():
        with writing(folder, KEY) as part:
            (part / "a.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(folder.parent) == []


def test_what_is_made_first_stays(made):
    with writing(made, KEY) as part:
        (part / "a.txt").write_text("another")
    assert (made / "a.txt").read_text() == "alpha"
    assert len(os.listdir(made.parent)) == 1


def test_files_are_read_only(made):
    assert (made / "a.txt").stat().st_mode & 0o222 == 0


def test_a_changed_and_a_missing_file_are_named(owner, made):
    (made / "a.txt").chmod(0o644)
    (made / "a.txt").write_text("changed")
    assert "changed since it became evidence" in check_all(owner)[0]
    (made / "a.txt").unlink()
    assert "missing" in check_all(owner)[0]


def test_a_part_is_no_evidence_until_published_even_after_a_crash_on_the_way(owner):
    folder = evidence_dir(owner, "embeddings", KEY)
    part = part_of(folder)
    part.mkdir(parents=True)
    (part / "x.npy").write_bytes(b"x")
    write_json(part / "made.json", {"left": "by a crash"})
    assert not is_made(folder)
    assert check_all(owner) == []
    publish(part, folder, KEY)
    assert check(folder) == []
    assert list(read_made(folder)["files"]) == ["x.npy"]


def test_missing_or_damaged_records_are_case_errors(owner, made):
    with pytest.raises(CaseError, match="No finished evidence"):
        read_made(owner.dir / "nowhere")
    (made / "made.json").chmod(0o644)
    (made / "made.json").write_text("{")
    with pytest.raises(CaseError, match="damaged"):
        read_made(made)


@pytest.mark.parametrize("record", ["{}", "null", "[]", '{"key": 1, "made": "x"}', '{"key": {}}'])
def test_a_record_that_is_none_is_damaged(owner, made, record):
    (made / "made.json").chmod(0o644)
    (made / "made.json").write_text(record)
    for read in (read_made, lambda folder: evidence.latest(owner, "scores")):
        with pytest.raises(CaseError, match="made.json is damaged. Remove"):
            read(made)
    assert "is damaged" in check_all(owner)[0]


def test_reading_needs_every_file_of_the_folder_as_it_was(made):
    with reading(made):
        pass
    (made / "a.txt").chmod(0o644)
    (made / "a.txt").write_text("changed")
    with pytest.raises(CaseError, match=r"a.txt changed since .* run again\.$"), reading(made):
        pytest.fail("it was read")
    (made / "made.json").chmod(0o644)
    content = json.loads((made / "made.json").read_text())
    (made / "made.json").write_text(json.dumps(content | {"seconds": 3}))
    with pytest.raises(CaseError, match=r"was edited\..*`verify` names 1 more"), reading(made):
        pytest.fail("it was read")


def _damaged(kind):
    if kind == "zlib":
        zlib.decompress(b"no")
    elif kind == "zip":
        zipfile.ZipFile(io.BytesIO(b"no"))
    else:
        raise kind


@pytest.mark.parametrize(
    "kind",
    [OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, EOFError,
     RecursionError, NotImplementedError, struct.error, "zlib", "zip"],
)  # fmt: skip
def test_whatever_damage_raises_becomes_one_sentence(made, kind):
    with pytest.raises(CaseError, match=r"cannot be read .* Remove the folder"), reading(made):
        _damaged(kind)


def test_a_fault_of_ours_and_a_complaint_pass_as_they_are(made):
    for problem in (AssertionError, CaseError("Another sentence."), KeyboardInterrupt):
        with pytest.raises(type(problem) if isinstance(problem, CaseError) else problem) as caught:
            with reading(made):
                raise problem
        assert "cannot be read" not in str(caught.value)


def test_json_is_replaced_whole(tmp_path):
    path = tmp_path / "status.json"
    write_json(path, {"step": 1})
    with pytest.raises(TypeError):
        write_json(path, {"step": object()})
    assert json.loads(path.read_text()) == {"step": 1}
    assert os.listdir(tmp_path) == ["status.json"]


def test_the_latest_is_what_was_asked_for_last(owner, monkeypatch):
    clock = iter(f"2026-01-01T00:00:0{n}" for n in range(9))
    monkeypatch.setattr(evidence, "utc_now", lambda: next(clock))
    folders = {}
    for name, suspect in (("one", "a"), ("two", "a"), ("other", "b")):
        key = {"name": name, "suspect": suspect}
        folders[name] = evidence_dir(owner, "hunts", key)
        with writing(folders[name], key) as part:
            (part / "x.txt").write_text(name)
    assert evidence.latest(owner, "hunts", suspect="a") == folders["two"]
    evidence.ask_again(folders["one"])
    assert evidence.latest(owner, "hunts", suspect="a") == folders["one"]
    assert evidence.latest(owner, "hunts", suspect="c") is None
    assert check_all(owner) == []
