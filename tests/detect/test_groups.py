"""Nearly the same pictures, and captions that repeat."""

import numpy as np
import pytest

from clipforensics.config.detect import DensitySettings, ReferenceSettings
from clipforensics.detect.embeddings import find_copies, unit_rows
from clipforensics.detect.groups import caption_groups, near_copies, picture_groups
from clipforensics.detect.reference import score_each
from clipforensics.errors import RunError


@pytest.fixture
def copied(rng):
    """100 different rows, of which row 7 comes 30 more times, slightly changed and longer."""
    x = rng.normal(size=(100, 16))
    near = (x[7] + 0.01 * rng.normal(size=(30, 16))) * rng.uniform(0.5, 2, size=(30, 1))
    return np.vstack([x, near]).astype(np.float32)


def test_groups_are_the_components_of_the_cosine_graph(copied):
    from scipy.sparse.csgraph import connected_components

    unit = unit_rows(copied).astype(float)
    _, slow = connected_components(unit @ unit.T >= 0.97)
    found = near_copies(copied)
    assert (found.place[:, None] == found.place).tolist() == (slow[:, None] == slow).tolist()
    assert len(found.groups()[0]) == 31
    (row,) = set(found.first[found.place[100:]])
    assert row in {7, *range(100, 130)}


def test_a_stop_is_heard_while_copies_are_looked_for(copied):
    for heard in range(3):
        stop = iter([False] * heard + [True]).__next__
        with pytest.raises(RunError, match="Stopped while"):
            near_copies(copied, stop=stop)


def test_a_group_is_represented_by_the_same_row_in_any_order(copied, rng):
    order = rng.permutation(len(copied))
    found, shuffled = near_copies(copied), near_copies(copied[order])
    assert set(order[shuffled.first]) == set(found.first)


def test_more_exact_copies_than_neighbours_stay_together(rng):
    x = np.vstack([rng.normal(size=(20, 8)), np.ones((60, 8)), 3 * np.ones((5, 8))])
    assert len(near_copies(x).groups()[0]) == 65


def test_a_group_says_what_is_striking_about_it(copied):
    captions = [f"a photo of thing {i}" for i in range(100)] + ["A Photo of thing 7!"] * 30
    (group,) = picture_groups(near_copies(copied), captions, named_in)
    assert (len(group.rows), group.captions) == (31, 1)
    assert group.striking == "many copies, one caption"
    captions[100:] = [f"one {'cat dog owl'.split()[i % 3]} of {i}" for i in range(30)]
    (group,) = picture_groups(near_copies(copied), captions, named_in)
    assert (group.labels, group.agreed) == (3, 1 / 3)
    assert group.striking == "one picture, many labels"


@pytest.mark.parametrize(
    "words",
    [
        ["cat"],  # many wordings of one label
        ["cat", "dog"],  # two labels are a mistake, or a picture of both
        ["cat", "cat", "cat", "cat dog", "cat owl"],  # all agree on one label
        ["thing", "thing", "thing", "thing"],  # no label at all
    ],
)
def test_other_words_for_one_picture_are_not_striking(copied, words):
    captions = [f"{words[i % len(words)]}, wording {i}" for i in range(130)]
    (group,) = picture_groups(near_copies(copied), captions, named_in)
    assert group.captions == 31
    assert group.striking == ""


@pytest.fixture
def taught(copied, rng):
    """Among `copied`, ten exact copies of one of the 31 near ones, with captions of one label."""
    x = np.vstack([copied, copied[[7] * 10]])
    captions = [f"a cat, wording {i}" for i in range(130)]
    captions += [f"a dog, wording {i % 5}" for i in range(10)]
    return x, captions


def test_one_very_picture_under_many_captions_is_a_group_of_its_own(taught):
    x, captions = taught
    captions[7] = "a dog, wording 0"
    exact = find_copies(x, normalize=True)
    first, near = picture_groups(near_copies(x), captions, named_in, exact)
    assert first.rows.tolist() == [7, *range(130, 140)]
    assert (first.captions, first.labels, first.agreed) == (5, 1, 1.0)
    assert first.striking == "exact copies, many captions"
    assert (len(near.rows), near.striking) == (41, "")


@pytest.mark.parametrize("wordings", [1, 2])
def test_a_picture_saved_twice_is_not_striking(taught, wordings):
    x, captions = taught
    captions = [*captions[:130], *(f"a cat, wording {i % wordings}" for i in range(10))]
    captions[7] = captions[130]
    exact = find_copies(x, normalize=True)
    assert {one.striking for one in picture_groups(near_copies(x), captions, named_in, exact)} == {
        ""
    }


def test_data_with_several_captions_a_picture_has_no_striking_copies(rng):
    x = np.repeat(rng.normal(size=(40, 16)), 5, axis=0)
    captions = [f"a cat, wording {i}" for i in range(200)]
    groups = picture_groups(near_copies(x), captions, named_in, find_copies(x, normalize=True))
    assert [(len(one.rows), one.captions, one.striking) for one in groups] == [(5, 5, "")] * 40


def named_in(caption):
    return [label for label in ("cat", "dog", "owl") if label in caption.lower()]


def test_collapsed_groups_count_once_and_share_their_score(copied):
    reference = ReferenceSettings(reference_size="all")
    asked = [("slof", DensitySettings(k=8))]
    copies = near_copies(copied)
    (alone,) = score_each(copied[copies.first], asked, reference)
    (together,) = score_each(copied, asked, reference, copies=copies)
    np.testing.assert_array_equal(together.mean[copies.first], alone.mean)
    np.testing.assert_array_equal(together.mean[100:], together.mean[7])


def test_captions_repeat_but_for_case_and_punctuation():
    groups = caption_groups(["A cat.", "a dog", "a CAT", "a  cat!", "A dog?", "a bird"])
    assert [one.tolist() for one in groups] == [[0, 2, 3], [1, 4]]
