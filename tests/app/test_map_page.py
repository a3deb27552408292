"""The Map page: settings, selection by polygon, threshold, truth, picks."""

import numpy as np
import pytest

from clipforensics.jobs import scan


@pytest.fixture
def at(home, visit):
    return visit("map", case="tiny")


def lasso_all(at, case):
    """Preset the figure's state as the browser would: a box around every point."""
    places = scan.projection(case)
    (x0, y0), (x1, y1) = places.min(axis=0) - 1, places.max(axis=0) + 1
    box = {"x": [float(x0), float(x1)], "y": [float(y0), float(y1)]}
    return {"selection": {"box": [box], "lasso": [], "points": [], "point_indices": []}}


def test_it_says_what_is_drawn_and_where_scores_come_from(at):
    said = [one.value for one in at.text] + [one.value for one in at.markdown]
    assert "Density of all 240 pairs; 240 of them drawn as points." in said
    assert "Scores come from the full embedding space, never from the two map axes." in said


def test_truth_stands_beside_the_map_with_its_n(at):
    labels = [metric.label for metric in at.metric]
    assert labels == ["AUROC", "AP"]
    assert any("n = 240 pairs, 5 poisoned" in one.value for one in at.markdown)


def test_k_at_or_above_the_rows_is_one_sentence(at):
    at.number_input(key="k").set_value(240).run()
    assert not at.exception
    assert (
        at.error[0].value == "k=240 needs at least 241 embeddings, got 240. Lower k to 239 or less."
    )


def test_the_threshold_says_how_many_it_flags(at):
    at.slider(key="cut").set_value(95.0).run()
    assert any("Flags **12** of 240 pairs (**5.00%**)" in one.value for one in at.markdown)


def test_another_detector_ranks_anew(at):
    at.selectbox(key="detector").set_value("kdist").run()
    assert not at.exception
    assert not at.error


def test_a_selection_is_kept_in_the_case_and_opens_again_by_its_link(at, case, visit):
    from clipforensics.ui import mapview

    polygon = mapview.polygon_of(lasso_all(at, case))
    rows = mapview.rows_inside(np.asarray(scan.projection(case)), polygon)
    assert len(rows) == 240
    names = [case.pairs.ids[row] for row in rows[:30]]
    sel = case.store.save_selection("30 pairs", polygon, mapview.space_of(case), names)
    again = visit("map", case="tiny", sel=sel)
    assert any("selection covers 30 (of these 30 drawn)" in one.value for one in again.text)
    assert any("**30** pairs" in one.value for one in again.markdown)


def test_an_unknown_selection_says_so(home, visit):
    at = visit("map", case="tiny", sel="nonsense")
    assert "No selection 'nonsense'" in at.error[0].value


def test_a_pick_is_in_the_case_with_the_reviewer_and_can_be_undone(at, case):
    button = next(one for one in at.button if (one.key or "").startswith("page.pick.sample."))
    name = button.key.removeprefix("page.pick.sample.")
    button.click().run()
    assert not at.exception
    held = case.store.current("sample")[name]
    assert (held.verdict, held.reviewer) == ("suspicious", "reviewer")
    at.button(key="map.undo").click().run()
    assert (
        case.store.current("sample")[name].verdict is None
        if name in case.store.current("sample")
        else True
    )


def test_a_label_can_be_picked(at, case):
    button = next(one for one in at.button if (one.key or "").startswith("map.pick.label."))
    button.click().run()
    assert button.key.removeprefix("map.pick.label.") in case.store.current("label")


def test_all_of_a_selection_is_picked_only_after_a_second_click(case, visit):
    names = list(case.pairs.ids[:7])
    sel = case.store.save_selection("7 pairs", [[0, 0], [1, 0], [1, 1]], "space", names)
    at = visit("map", case="tiny", sel=sel)
    at.button(key="map.bulk").click().run()
    assert not case.store.current("sample")
    at.button(key="map.bulk.yes").click().run()
    assert not at.exception
    assert set(case.store.current("sample")) == set(names)
    assert len({entry.group for entry in case.store.entries()}) == 1


def test_neighbours_of_a_sample_are_shown(case, visit):
    at = visit("map", case="tiny", near=case.pairs.ids[3])
    assert any(one.value.startswith("#### Nearest to") for one in at.markdown)
    assert sum("distance" in one.value for one in at.caption) == 7


def test_captions_are_never_markdown(home, case, visit):
    """An attacker writes captions: they are shown as text alone."""
    at = visit("map", case="tiny")
    captions = set(case.pairs.captions)
    assert any(one.value in captions for one in at.text)
    assert not any(caption in one.value for one in at.markdown for caption in list(captions)[:50])
