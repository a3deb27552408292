"""The screen's own small functions, without a screen."""

import numpy as np
import pytest

from clipforensics.ui import arguing, forms, gallery, live, mapcharts, mapview, pictures, state
from clipforensics.ui.ranking import ranked


def test_the_overlay_holds_every_top_score_and_every_label():
    rng = np.random.default_rng(0)
    rank, strata = rng.random(5000), rng.integers(0, 40, 5000)
    strata[:3] = 99
    drawn = mapcharts.overlay_rows(rank, strata, limit=400)
    assert len(drawn) == len(set(drawn)) == 400
    assert set(np.argsort(-rank)[:200]) <= set(drawn)
    assert set(strata) == set(strata[drawn])
    assert (np.diff(rank[drawn]) >= 0).all()
    np.testing.assert_array_equal(drawn, mapcharts.overlay_rows(rank, strata, limit=400))


def test_the_first_pair_is_one_pair_up_the_ranking():
    found = ranked(np.arange(20_000.0), np.zeros(20_000), {})
    first, second, last = found.order[[0, 1, -1]]
    assert gallery.top_share(found.rank[first], 20_000) == "0.005 %"
    assert gallery.top_share(found.rank[second], 20_000) == "0.01 %"
    assert gallery.top_share(found.rank[last], 20_000) == "100 %"
    assert gallery.score_text(found, int(first)) == "score 2e+04, top 0.005 %"


def test_a_flat_region_stands_on_a_clear_square():
    flat = np.full((4, 10, 3), 9, np.uint8)
    squared = arguing._square(flat)
    assert squared.shape == (10, 10, 4)
    assert (squared[..., 3] == 255).sum() == 40
    assert (squared[3:7, :, :3] == 9).all()
    assert pictures.webp(squared)


def test_small_data_is_drawn_whole():
    assert sorted(mapcharts.overlay_rows(np.array([0.5, np.nan, 0.1]), np.zeros(3, int))) == [
        0,
        1,
        2,
    ]


def test_the_map_is_the_same_to_the_byte():
    rng = np.random.default_rng(0)
    points, rank = rng.normal(size=(300, 2)).astype(np.float32), rng.random(300)
    ids = [f"pair {i}" for i in range(300)]
    first, second = (
        mapcharts.map_figure(points, rank, rank * 3, ids, np.arange(300)).to_json()
        for _ in range(2)
    )
    assert first == second


def test_ids_travel_with_the_points_they_name():
    points = np.array([[0, 0], [1, 1], [2, 2]], np.float32)
    figure = mapcharts.map_figure(
        points, np.array([0.2, 0.9, 0.5]), np.ones(3), ["a", "b", "c"], np.array([2, 0])
    )
    trace = figure.data[1]
    assert dict(zip(trace.customdata, trace.x, strict=True)) == {"c": 2.0, "a": 0.0}


@pytest.mark.parametrize(
    "event", [None, {}, {"selection": {}}, {"selection": {"lasso": [], "box": []}}]
)
def test_no_shape_is_no_polygon(event):
    assert mapview.polygon_of(event) is None


def test_a_lasso_and_a_box_become_corners():
    lasso = {"selection": {"lasso": [{"x": [0, 1, 1], "y": [0, 0, 1]}], "box": []}}
    assert mapview.polygon_of(lasso) == [[0, 0], [1, 0], [1, 1]]
    box = {"selection": {"box": [{"x": [0, 2], "y": [5, 3]}]}}
    assert mapview.polygon_of(box) == [[0, 5], [2, 5], [2, 3], [0, 3]]


def test_rows_without_a_score_are_listed_nowhere_but_keep_their_place():
    found = ranked(np.array([1.0, np.nan, 3.0, 2.0]), np.zeros(4), {})
    assert list(found.order) == [2, 3, 0]
    assert np.isnan(found.rank[1])
    assert list(found.sorted(np.array([0, 1, 2]))) == [2, 0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (61, "61 s"), (125, "2 min 05 s"), (7300, "2 h 01 min"), (None, "unknown")],
)
def test_seconds_are_said_as_a_person_says_them(seconds, words):
    assert live.span(seconds) == words


@pytest.mark.parametrize("text", ["[x](http://evil)", "<b>", "$x$", "`x`", "www.evil.org", "**x**"])
def test_markdown_from_data_is_defused(text):
    assert text not in state.plain(text)


@pytest.mark.parametrize(
    ("start", "step"), [(0.0003, 0.0001), (0.2, 0.1), (10.0, 1.0), (0.0, 0.1), (250.0, 10.0)]
)
def test_steps_follow_the_size_of_a_value(start, step):
    assert forms._step(start) == pytest.approx(step)


def test_masks_colour_only_what_they_cover():
    picture = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[10:20, 10:20] = True
    drawn = pictures.with_masks(picture, [mask], [0])
    factor = drawn.shape[0] // 64
    changed = (drawn != 100).any(axis=2)
    inside = mask.repeat(factor, 0).repeat(factor, 1)
    assert not changed[~inside].any()
    assert changed[inside].all()


def test_differences_are_amplified_around_grey():
    import numpy as np

    from clipforensics.ui import pictures

    before = np.full((2, 2, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0], after[1, 1] = 120, 90
    assert pictures.gain_of([before], [after]) == 6  # 127 // 20
    changed = pictures.difference(before, after, 6)
    assert changed[..., 0].tolist() == [[248, 128], [128, 68]]
    assert pictures.gain_of([before], [before]) == 16
    assert pictures.gain_of([before], [before + 155]) == 1


def test_a_few_large_changes_do_not_hide_the_small_ones(rng):
    import numpy as np

    from clipforensics.ui import pictures

    before = np.full((20, 20, 3), 100, np.uint8)
    after = before + rng.integers(1, 6, before.shape).astype(np.uint8)
    after[0] = 250  # one edge in twenty rows
    assert pictures.gain_of([before], [after]) == 16
    assert pictures.gain_of([], []) == 16


def test_a_pair_without_a_place_does_not_hide_the_others(rng):
    points = rng.normal(size=(50, 2)).astype(np.float32)
    points[3] = np.nan
    rank = np.linspace(0, 1, 50)
    figure = mapcharts.map_figure(points, rank, rank, [str(i) for i in range(50)], np.arange(50))
    assert len(figure.data) == 2
