"""What `clipforensics triggers` prints of a hunt."""

from clipforensics.cli.triggers import _lines


def hunt(**changed):
    empty = {"triggers": [], "rejected": [], "affected_labels": [], "inspected": 0, "seconds": 1.0}
    return empty | {"victims": [], "carriers": [], "probable": []} | changed


def test_one_is_not_counted_as_many():
    trigger = {
        "label": "banana", "flip_rate": 1.0, "n": 50, "interval": [0.93, 1.0], "pair": "7",
        "flip_rate_trusted": 0.0, "pairs": ["7"], "box": [0, 0, 6, 6],
    }  # fmt: skip
    one = _lines(hunt(triggers=[trigger], rejected=[trigger], inspected=1))
    assert one["verdict"] == "1 verified trigger, 1 candidate rejected, in 1 inspected picture"
    assert "seen in 1 picture, first 7" in one["trigger 1"]
    many = _lines(hunt(triggers=[trigger] * 2, inspected=1200))
    assert many["verdict"] == (
        "2 verified triggers, 0 candidates rejected, in 1,200 inspected pictures"
    )
    labels = [{"label": name, "victims": n} for name, n in (("dog", 1), ("cat", 2))]
    said = _lines(hunt(affected_labels=labels))
    assert (said["label dog"], said["label cat"]) == ("1 victim", "2 victims")


def test_each_kind_of_pair_says_what_it_means():
    said = _lines(hunt(probable=["a", "b"]))
    assert said["probable"].startswith("2 (a weaker sign, ")
    assert said["probable"].endswith("the trusted model sees nowhere): a, b")
    assert said["victims"] == "0 (carry a trigger, and the caption names its label)"
