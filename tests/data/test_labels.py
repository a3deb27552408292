"""Label sets, and which labels a caption names."""

import pytest

from clipforensics.data.labels import LabelSet, read_labels
from clipforensics.errors import ConfigError, DataError

LABELS = LabelSet(("cat", "traffic light", "light", "bus", "C++"))


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A caterpillar.", []),
        ("Two CATS, asleep", ["cat"]),
        ("a traffic light", ["traffic light"]),
        ("light by a bus, buses", ["light", "bus"]),
        ("C++ code", ["C++"]),
        ("", []),
    ],
)
def test_labels_are_named_by_whole_words(caption, named):
    assert LABELS.named_in(caption) == named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no label"),
        ("# only a remark\n", "holds no label"),
        ("a\nA\n", "1 label appears more than once"),
        ("a\nA\nb\nB\nc\n", "2 labels appear more than once"),
    ],
)
def test_useless_label_files_are_refused(tmp_path, text, message):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "labels.txt")


def test_a_missing_or_binary_label_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="No labels file"):
        read_labels(tmp_path / "none.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="UTF-8"):
        read_labels(tmp_path / "b.txt")


def test_templates_travel_in_the_file(tmp_path):
    (tmp_path / "labels.txt").write_text("template: one {}.\ndog\n# rest\ncat\n")
    labels = read_labels(tmp_path / "labels.txt")
    assert labels == LabelSet(("dog", "cat"), ("one {}.",))
    assert labels.prompts("cat") == ["one cat."]


def test_an_unknown_label_is_one_sentence():
    with pytest.raises(ConfigError, match="'dog' is not among the 5 labels"):
        LABELS.index("dog")


def test_templates_need_one_place():
    with pytest.raises(DataError, match="exactly one"):
        LabelSet(("a",), ("no place",))
