"""Temporary folders of processes that were killed are removed; of those that live, never."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from clipforensics.cases.evidence import (
    ask_again,
    check_all,
    evidence_dir,
    is_made,
    part_of,
    writing,
)
from clipforensics.cases.left_behind import clear_left_behind, clear_once
from clipforensics.jobs.hunting.masking import KeptMasks

KEY = {"k": 16}
FILLS = """
import sys
from pathlib import Path
from clipforensics.cases.evidence import writing
with writing(Path(sys.argv[1]), {"k": 16}) as part:
    (part / "large.bin").write_bytes(bytes(5000))
    print(part, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path):
    """Of evidence of a kind that is kept in the same place as masks."""
    return evidence_dir(SimpleNamespace(dir=tmp_path), "masks", KEY)


@pytest.fixture
def filling(folder):
    """A process that fills a temporary folder until it gets a line, and that folder, a day old."""
    process = subprocess.Popen(
        [sys.executable, "-c", FILLS, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    part = folder.parent / process.stdout.readline().strip()
    assert part.is_dir()
    aged(part)
    yield process, part
    process.kill()
    process.communicate()


def aged(path, seconds=86_400.0):
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def test_what_a_killed_process_left_goes_once_its_hour_is_over(filling, folder):
    process, part = filling
    process.send_signal(signal.SIGKILL)
    process.wait()
    aged(part, 60.0)
    clear_left_behind(folder.parent)
    assert part.is_dir()  # it could have been made this minute, and not been locked yet
    aged(part)
    clear_left_behind(folder.parent)
    assert os.listdir(folder.parent) == []


def test_what_a_living_process_fills_stays_however_old_and_becomes_evidence(filling, folder):
    process, part = filling
    clear_left_behind(folder.parent)
    assert (part / "large.bin").is_file()
    process.communicate("go on\n")
    assert process.returncode == 0
    assert is_made(folder)
    assert check_all(SimpleNamespace(dir=folder.parents[2])) == []


def test_the_next_to_write_a_kind_clears_it_first(filling, folder):
    process, part = filling
    process.kill()
    process.wait()
    clear_once.cache_clear()
    other = evidence_dir(SimpleNamespace(dir=folder.parents[2]), "masks", {"k": 17})
    with writing(other, {"k": 17}):
        assert not part.exists()
    assert os.listdir(folder.parent) == [other.name]


def test_what_was_left_takes_nothing_from_the_room_for_masks(filling, folder, rng):
    process, _ = filling
    process.kill()
    process.wait()
    plain = SimpleNamespace(fingerprint="plain", segment=lambda picture: [])
    kept = KeptMasks(SimpleNamespace(dir=folder.parents[2]), plain, most_bytes=5000)
    kept.segment(rng.integers(0, 256, (8, 8, 3), dtype="uint8"))
    (made,) = folder.parent.iterdir()
    assert is_made(made)


def test_only_our_own_temporary_names_are_cleared(folder, tmp_path):
    with writing(folder, KEY) as part:
        (part / "a.txt").write_text("alpha")
    ask_again(folder)
    kind, name = folder.parent, folder.name
    part_of(folder).mkdir()
    (kind / ".DS_Store").write_text("theirs")
    (kind / ".nfs0000").mkdir()
    (kind / f".{name}.asked.ab12cd_3").write_text('"half a tim')
    (tmp_path / "elsewhere").mkdir()
    (kind / f".{name}.linked_1").symlink_to(tmp_path / "elsewhere")
    for path in kind.iterdir():
        aged(path)
    clear_left_behind(kind)
    stays = [name, f"{name}.asked", f"{name}.part", ".DS_Store", ".nfs0000"]
    assert sorted(os.listdir(kind)) == sorted(stays)
    assert (tmp_path / "elsewhere").is_dir()
    clear_left_behind(tmp_path / "no such kind")
