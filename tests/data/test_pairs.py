"""Tables of pairs, friendly and hostile."""

import os
from pathlib import Path

import numpy as np
import pytest

from clipforensics.data.images import write_png
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import read_pairs, read_test, write_pairs
from clipforensics.errors import DataError


def table(folder: Path, text: str, name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("filepath\ttitle\na.png\ta dog, asleep\n", "train.tsv"),
        ('image,caption\na.png,"a dog, asleep"\n', "train.csv"),
        ("file_name|text\na.png|a dog, asleep\n", "results.csv"),
    ],
)
def test_separators_and_column_names_of_the_field_are_known(tmp_path, text, name):
    pairs = read_pairs(table(tmp_path, text, name))
    assert pairs.captions == ("a dog, asleep",)
    assert pairs.paths == (tmp_path / "a.png",)


def test_a_table_comes_back_equal(tmp_path):
    paths = (tmp_path / "images" / "a.png", tmp_path / "images" / "b.png")
    pairs = Pairs(("1", "2"), ('say "hi",\nthere', "=1+1"), paths, ("dog", "cat"))
    write_pairs(tmp_path / "pairs.csv", pairs)
    assert read_pairs(tmp_path) == pairs


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(
        DataError, match="no caption column: looked for title.*found filepath, size"
    ):
        read_pairs(table(tmp_path, "filepath,size\na.png,3\n"))


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "images/../../x.png"])
def test_paths_that_escape_are_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(DataError, match="outside"):
        read_pairs(table(folder, f"filepath,title\n{name},x\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no pair"),
        ("filepath,title\n", "no pair"),
        ("filepath,title\na.png\n", "Row 2 .* has 1 fields"),
        ("id,filepath,title\n1,a.png,x\n1,b.png,y\n", "Row 3 .* repeats the id '1'"),
        ("filepath,title,Title \na.png,x,y\n", "has 2 columns named 'title'"),
    ],
)
def test_broken_tables_are_one_sentence(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_pairs(table(tmp_path, text))


def test_binary_files_are_no_tables(tmp_path, rng):
    (tmp_path / "pairs.csv").write_bytes(rng.bytes(5000))
    with pytest.raises(DataError):
        read_pairs(tmp_path)


def test_a_test_table_needs_labels_but_no_captions(tmp_path):
    test = read_test(table(tmp_path, "filepath,label\na.png,dog\nb.png,cat\n", "test.csv"))
    assert (test.truth, test.captions) == (("dog", "cat"), ("", ""))
    named = read_test(table(tmp_path, "filepath,label,title\na.png,dog,a dog\n", "named.csv"))
    assert named.captions == ("a dog",)
    with pytest.raises(DataError, match=r"bare.csv has no label column.*add one"):
        read_test(table(tmp_path, "filepath,title\na.png,a dog\n", "bare.csv"))


def test_no_table_at_all(tmp_path):
    with pytest.raises(DataError, match="No pairs at"):
        read_pairs(tmp_path / "nothing.csv")


def test_captions_may_share_a_picture(tmp_path):
    pairs = read_pairs(table(tmp_path, "filepath,title\na.png,x\na.png,y\n"))
    assert len(set(pairs.ids)) == 2


def test_the_hash_depends_on_every_field(tmp_path):
    base = Pairs(("1",), ("a",), (Path("x.png"),))
    others = [
        Pairs(("2",), ("a",), (Path("x.png"),)),
        Pairs(("1",), ("b",), (Path("x.png"),)),
        Pairs(("1",), ("a",), (Path("y.png"),)),
        Pairs(("1a",), ("",), (Path("x.png"),)),
    ]
    assert len({base.sha256, *(other.sha256 for other in others)}) == 5


def test_frames_are_the_pictures_in_order(tmp_path, rng):
    pictures = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    for i, picture in enumerate(pictures):
        write_png(tmp_path / f"{i}.png", picture)
    pairs = read_pairs(table(tmp_path, "filepath,title\n0.png,a\n1.png,b\n2.png,c\n"))
    np.testing.assert_array_equal(pairs.frames([2, 0], 16), pictures[[2, 0]])
    assert pairs.row_of("1.png") == 1
    with pytest.raises(DataError, match="No pair has the id"):
        pairs.row_of("9.png")


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    write_png(tmp_path / "secret.png", np.zeros((4, 4, 3), np.uint8))
    write_png(inside / "own.png", np.zeros((4, 4, 3), np.uint8))
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "deep" / "fine.png").symlink_to(inside / "own.png")
    (inside / "pairs.csv").write_text("filepath,title\nlink.png,a\ndeep/fine.png,b\n")
    pairs = read_pairs(inside)
    with pytest.raises(DataError, match="leads out"):
        pairs.picture(0, 4)
    assert pairs.picture(1, 4).shape == (4, 4, 3)


def test_equal_names_in_other_folders_are_other_data(tmp_path):
    hashes = set()
    for folder in ("x", "y"):
        (tmp_path / "pairs.csv").write_text(f"id,filepath,title\n1,{folder}/1.png,a\n")
        hashes.add(read_pairs(tmp_path).sha256)
    assert len(hashes) == 2


def folder_of_bad_files(folder: Path) -> Pairs:
    """A good picture, a link to itself, two links in a ring, a named pipe, and a name too long."""
    write_png(folder / "good.png", np.zeros((4, 4, 3), np.uint8))
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "there.png").symlink_to("back.png")
    (folder / "back.png").symlink_to("there.png")
    os.mkfifo(folder / "pipe.png")
    names = ("good.png", "itself.png", "there.png", "pipe.png", "x" * 300 + ".png")
    return read_pairs(table(folder, "filepath,title\n" + "".join(f"{n},a\n" for n in names)))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (1, "itself.png cannot be followed: a link leads back to itself"),
        (2, "there.png cannot be followed"),
        (3, r"No picture at .*pipe.png"),
        (4, r"x.png cannot be read: File name too long"),
    ],
)
def test_a_file_that_is_no_picture_is_one_sentence_and_never_waited_for(tmp_path, row, message):
    pairs = folder_of_bad_files(tmp_path)
    with pytest.raises(DataError, match=message):
        pairs.picture(row, 4)
    assert pairs.picture(0, 4).shape == (4, 4, 3)


def test_a_file_that_is_no_picture_is_missing_and_counts_as_empty(tmp_path):
    pairs = folder_of_bad_files(tmp_path)
    assert pairs.missing() == [1, 2, 3, 4]
    seen = pairs.pictures_sha256()
    assert seen == pairs.pictures_sha256()
    (tmp_path / "pipe.png").unlink()
    assert pairs.pictures_sha256() == seen


def test_a_picture_folder_that_leads_back_to_itself_is_one_sentence(tmp_path):
    source = table(tmp_path, "filepath,title\na.png,x\n")
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(DataError, match=r"ring cannot be followed"):
        read_pairs(source, tmp_path / "ring")
