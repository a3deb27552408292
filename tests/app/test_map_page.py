"""The Map page: settings, selection by polygon, threshold, truth, picks."""

import numpy as np
import pytest

from clipforensics.jobs.scanning import scan


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


def test_a_budget_flags_that_many(at):
    at.segmented_control(key="cut.by").set_value("Budget").run()
    at.number_input(key="budget").set_value(7).run()
    assert not at.exception
    assert any("Flags **7** of 240 pairs" in one.value for one in at.markdown)


def test_clean_pairs_are_scored_by_a_run_with_the_settings_on_screen(at, case, launched):
    at.segmented_control(key="cut.by").set_value("Clean pairs").run()
    at.number_input(key="k").set_value(5).run()
    at.button(key="clean.start").click().run()
    assert not at.exception
    (run,) = launched
    assert (run.kind, run.config["detector"], run.config["density"]["k"]) == (
        "calibrate",
        "slof",
        5,
    )
    assert run.config["data"] is None  # the test set


def test_clean_pairs_without_captions_cannot_be_started_by_both(at, launched):
    at.segmented_control(key="cut.by").set_value("Clean pairs").run()
    assert not at.button(key="clean.start").disabled
    at.selectbox(key="detector").set_value("clip").run()
    assert at.button(key="clean.start").disabled
    assert any("clean pairs have no caption, which" in one.value for one in at.text)
    at.text_input(key="clean.data").set_value("elsewhere.csv").run()
    assert not at.button(key="clean.start").disabled


@pytest.fixture
def calibrated(case):
    """The 40 test pictures as the clean reference of the default ranking."""
    from clipforensics.config.scan import CleanSettings
    from clipforensics.jobs.scanning.calibrating import calibrate

    return calibrate(case, CleanSettings(detector="slof", device="cpu"))


def test_every_cut_says_what_it_flags_among_clean_pairs(calibrated, at):
    assert (calibrated.about["source"], len(calibrated.values)) == ("the case's test set", 40)
    assert any("of clean pairs** would be flagged" in one.value for one in at.markdown)
    at.segmented_control(key="cut.by").set_value("Clean pairs").run()
    at.number_input(key="false.rate").set_value(10.0).run()
    said = " ".join(one.value for one in at.markdown)
    # (3 + 1) / 41 is the largest expected share of at most 10 %
    assert "**9.76% of clean pairs** would be flagged: about **23 of 240**" in said
    assert "from n = 40." in said
    assert "Known truth: " in said
    assert "**If nothing were wrong**" in said


def test_one_of_several_clean_references_is_chosen(calibrated, case, at):
    from clipforensics.config.scan import CleanSettings
    from clipforensics.jobs.scanning.calibrating import calibrate

    calibrate(case, CleanSettings(detector="slof", device="cpu", data=case.settings.data))
    at.segmented_control(key="cut.by").set_value("Clean pairs").run()
    assert any("from n = 240." in one.value for one in at.markdown)  # the newest
    box = next(one for one in at.selectbox if one.label == "Clean reference")
    assert len(box.options) == 2
    box.set_value("the case's test set, n = 40").run()
    at.number_input(key="false.rate").set_value(10.0).run()
    assert not at.exception
    assert any("from n = 40." in one.value for one in at.markdown)
    assert any("test set, 40 pairs" in one.value for one in at.text)


def test_too_few_clean_pairs_for_a_rate_is_one_sentence(calibrated, at):
    at.segmented_control(key="cut.by").set_value("Clean pairs").run()
    at.number_input(key="false.rate").set_value(1.0).run()
    assert at.error[0].value.startswith("false\\_rate=0.01 needs at least 99 clean rows, got 40.")


def test_a_cut_without_clean_pairs_promises_nothing(at):
    assert any("promises no rate of false alarms: cut by clean" in one.value for one in at.markdown)


def test_it_opens_with_the_latest_scans_settings_and_says_where_it_leaves_them(home, case, visit):
    from clipforensics.config.scan import ScanSettings

    plain = visit("map", case="tiny")
    assert not any("This is of the latest scan" in one.value for one in plain.text)
    assert not [one for one in plain.toggle if one.key == "as.scan"]
    reference = {"captions": True, "seed": 3, "reference_size": 100, "draws": 2}
    scan.scan(case, ScanSettings(detectors=("lof",), density={"k": 9}, reference=reference))
    at = visit("map", case="tiny")
    assert not at.exception
    assert at.selectbox(key="detector").value == "lof"
    assert (at.number_input(key="k").value, at.number_input(key="draws").value) == (9, 2)
    assert at.toggle(key="as.scan").label.startswith("As in the latest scan: seed 3, captions in")
    assert not any("This is of the latest scan" in one.value for one in at.text)
    at.toggle(key="as.scan").set_value(False).run()
    (said,) = [one.value for one in at.text if "This is of the latest scan" in one.value]
    assert "(LOF; k = 9, reference 100, 2 draws, seed 3, captions in the reference)" in said


def test_all_scales_rank_where_they_are_chosen(home, case, visit):
    from clipforensics.config.detect import DensitySettings, ReferenceSettings

    assert visit("map", case="tiny").selectbox(key="detector").value == "slof"
    scan.scores(case, "scales", DensitySettings(), ReferenceSettings())
    at = visit("map", case="tiny", near=case.pairs.ids[3], detector="All scales (LOF)")
    assert at.selectbox(key="detector").value == "scales"
    assert any(one.value.startswith("Stands out most at reference") for one in at.markdown)
    assert any("Scale at which the flagged pairs" in one.value for one in at.markdown)
    assert not at.number_input(key="draws").disabled
    assert at.number_input(key="k").disabled  # scales have neighbours of their own


def test_density_and_caption_say_what_each_added(home, case, visit):
    from clipforensics.config.detect import DensitySettings, ReferenceSettings
    from clipforensics.detect.combined import CAP, WEIGHT, Footings, votes

    asked = DensitySettings(), ReferenceSettings()
    for part in ("scales", "clip"):
        scan.scores(case, part, *asked)
    at = visit("map", case="tiny", near=case.pairs.ids[3], detector="Density and caption")
    assert at.selectbox(key="detector").value == "combined"
    said = next(one.value for one in at.markdown if one.value.startswith("Score **"))
    score, far, odd = (float(one) for one in said.replace("*", "").split()[1:13] if _is_number(one))
    sign = 1 if " + " in said.replace("*", "") else -1
    assert score == pytest.approx(far + sign * odd, abs=0.11)
    assert odd <= WEIGHT * CAP or sign < 0
    both = scan.scores(case, "combined", *asked)
    assert score == pytest.approx(both.mean[3], abs=0.051)
    named = next(one.value for one in at.caption if one.value.startswith("Apart by "))
    each, _, total = named.replace("−", "-").partition(": ")
    added = [float(one.split()[-1]) for one in each.split(", ")]
    assert sum(added) == pytest.approx(float(total.split()[0]), abs=0.21)
    each = votes(scan.measures(case, asked[1]), Footings.read(both.info["footings"]))
    by_name = [each[name][3] for name in ("scales", "norm", "kdist", "dimension")]
    assert added == pytest.approx(by_name, abs=0.051)


def _is_number(word):
    return word.replace(".", "", 1).lstrip("-").isdigit()


def test_shared_regions_come_from_the_hunt(home, case, visit, monkeypatch):
    from clipforensics.jobs.hunting import triggers

    at = visit("map", case="tiny")
    assert any("A hunt cuts regions out" in one.value for one in at.text)
    names = case.pairs.ids[:4]
    sightings = [
        {"pair": name, "box": [2, 2, 9, 9], "label": "banana", "flip_rate": 0.9, "trigger": 0,
         "verified": True}
        for name in (*names[:3], names[0])
    ] + [
        {"pair": name, "box": [0, 0, 5, 5], "label": "car", "flip_rate": 0.8, "trigger": 1,
         "verified": False}
        for name in names[2:]
    ]  # fmt: skip
    monkeypatch.setattr(
        triggers, "latest_hunt", lambda case: {"sightings": sightings, "inspected": 20}
    )
    at = visit("map", case="tiny")
    said = [one.value for one in at.markdown if "hold a region" in one.value]
    assert len(said) == 1
    assert said[0].startswith("**3 pictures** hold a region")
    for one in sightings:
        one["verified"] = False
    at = visit("map", case="tiny")
    assert any("In 4 of 20 inspected pictures a region changes" in one.value for one in at.text)


def test_near_duplicates_have_a_part_of_their_own(at):
    assert any(one.value == "#### Near-duplicate pictures" for one in at.markdown)


def test_captions_that_repeat_are_listed_with_their_places(at, case):
    found = scan.latest_scan(case)["duplicates"]
    assert any(one.value == "#### Captions that repeat" for one in at.markdown)
    said = f"{found['repeated_captions']:,} captions occur more than once"
    assert any(one.value.startswith(said) for one in at.text)
    (table,) = [one.value for one in at.dataframe if "Wordings" in one.value.columns]
    first = found["captions_shown"][0]
    assert (table["Pairs"][0], table["Caption"][0]) == (first["pairs"], first["caption"])
    assert table["Middle pair above"][0] == f"{first['middle_rank']:.0%} of all"


def test_a_scan_that_only_counted_captions_still_opens():
    from clipforensics.ui import groupview

    groupview._captions({"repeated_captions": 3, "most_repeated": 2})  # draws nothing


def test_copies_are_counted_once_or_each_as_the_switch_says(at, case):
    assert at.toggle(key="collapse").value
    at.toggle(key="collapse").set_value(False).run()
    assert not at.exception
    (said,) = [one.value for one in at.text if "This is of the latest scan" in one.value]
    assert "near-copies counted each" not in said  # the scan counted them once


def test_pairs_without_a_score_are_counted(monkeypatch):
    from types import SimpleNamespace

    from clipforensics.ui import suspectview

    said = []
    monkeypatch.setattr(suspectview.st, "text", said.append)
    case = SimpleNamespace(pairs=range(9))
    suspectview.left_out(case, SimpleNamespace(order=range(9), info={}))
    assert not said
    suspectview.left_out(case, SimpleNamespace(order=range(6), info={"without_direction": 2}))
    assert said[0].startswith("3 pairs have no score, 2 of them because an embedding is zero.")
    joint = {"without_caption": 4, "detector": "combined"}
    suspectview.left_out(case, SimpleNamespace(order=range(8), info=joint))
    assert said[1].startswith("1 pairs have no score. They are in no ranking")
    assert said[2] == "4 pairs have a blank caption: they are ranked by their pictures alone."


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


def test_what_a_link_asks_in_vain_is_said_once_and_the_page_opens_without_it(home, visit):
    wrong = {
        "sel": "nonsense", "near": "nobody", "detector": "magic", "k": "many", "draws": "0",
        "reference_size": "-3", "normalize": "perhaps", "cut.by": "Lot", "cut": "nan",
        "budget": "241", "false.rate": "1e9", "as.scan": "x" * 50,
    }  # fmt: skip
    at = visit("map", case="tiny", **wrong)
    assert not at.error
    (said,) = [one.value for one in at.text if one.value.startswith("Left out of the address")]
    for name, value in wrong.items():
        assert f"{name}={value[:40]}" in said
    assert any(one.value.startswith("Density of all 240 pairs") for one in at.text)


def test_what_a_link_asks_rightly_is_said_of_nothing(home, case, visit):
    right = {"near": case.pairs.ids[3], "detector": "lof", "k": "9", "reference_size": "0",
             "normalize": "false", "cut.by": "Budget", "budget": "240", "other": "x"}  # fmt: skip
    at = visit("map", case="tiny", **right)
    assert not [one for one in at.text if "Left out of the address" in one.value]


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
    held = case.store.current("label")[button.key.removeprefix("map.pick.label.")]
    assert (held.verdict, held.reason) == ("suspicious", "map")
    again = at.button(key=button.key)
    assert again.label == f"{button.label} · suspicious"


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


@pytest.mark.parametrize("place", [0, 2])
def test_any_card_of_the_list_opens_its_argument(at, place):
    cards = [one for one in at.button if ".inspect." in (one.key or "")]
    name = cards[place].key.rsplit(".", 1)[1]
    cards[place].click().run()
    assert not at.exception
    assert at.title[0].value == "Triggers"
    assert at.query_params["pair"] == name


def test_another_case_opens_at_its_first_page_without_what_was_named_here(home, case, visit):
    import shutil

    shutil.copytree(home / "tiny", home / "other")
    at = visit("map", case="tiny", near=case.pairs.ids[3])
    at.segmented_control(key="show").set_value("All").run()
    at.session_state["page"] = 3
    at.run()
    at.selectbox(key="state.pick.tiny").set_value("other").run()
    assert not at.exception
    assert at.query_params["case"] == "other"
    assert "near" not in at.query_params
    assert at.session_state["page"] == 1
