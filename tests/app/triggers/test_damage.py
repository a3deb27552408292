"""Damaged evidence on the Triggers page and the Map: one sentence, and the rest stands."""

import pytest

NEXT = "Triggers that cover the whole picture"


@pytest.mark.parametrize("kind", ["hunts", "inverted"])
def test_damage_is_one_sentence_and_the_rest_of_the_page_stands(
    case, launched, visit, kind, finished
):
    folder = finished(kind)
    (folder / "result.json").chmod(0o644)
    (folder / "result.json").write_text('{"vict')
    at = visit("triggers", case="tiny")
    (told,) = (one.value for one in at.error)
    assert "result.json changed since it became evidence" in told
    assert "run again" in told
    at.button(key="hunt.start")
    assert any(NEXT in one.value for one in at.markdown)
    at.multiselect(key="invert.labels").set_value(["banana"]).run()
    at.button(key="invert.start").click().run()
    assert [run.kind for run in launched] == ["invert"]


def test_two_damages_are_two_sentences(case, visit, finished):
    for kind in ("hunts", "inverted"):
        (finished(kind) / "result.json").unlink()
    at = visit("triggers", case="tiny")
    assert ["result.json is missing" in one.value for one in at.error] == [True, True]


def test_a_damaged_hunt_leaves_the_map_usable(case, visit, finished):
    folder = finished("hunts")
    (folder / "bank.json").chmod(0o644)
    (folder / "bank.json").write_text('"verified"')
    at = visit("map", case="tiny")
    assert ["bank.json changed since" in one.value for one in at.error] == [True]
    assert at.segmented_control(key="show")  # the gallery, below
