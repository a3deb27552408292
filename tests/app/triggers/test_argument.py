"""Why a region is suspected: lists, pictures, paste test, badge and headline."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from clipforensics.jobs.hunting import examining
from clipforensics.oracle.competence import Recall
from clipforensics.ui import arguing, pasted, verdict


def test_labels_that_are_next_to_unsaid_are_not_listed_as_said(case, monkeypatch):
    said = (("cat", 0.995), ("dog", 0.004), ("banana", 0.0))
    found = SimpleNamespace(
        said=said, suspicious=(("dog", 0.2), ("banana", 0.1)), p_trusted=np.full((2, 40), 0.1)
    )
    shown = []
    monkeypatch.setattr(arguing, "_lines", lambda rows: shown.append([one[0] for one in rows]))
    arguing.lists(case, found, None, 0.66)
    assert shown[0] == ["cat"]
    assert len(shown) == 1  # nothing is surely found, and nothing said and not found
    shown.clear()
    arguing.lists(
        case, SimpleNamespace(**vars(found) | {"suspicious": (("cat", 0.3),)}), None, 0.66
    )
    assert shown[1] == ["cat"]
    shown.clear()
    arguing.lists(case, found, SimpleNamespace(label="dog"), 0.66)  # a region makes it say so
    assert shown == [["cat", "dog"], ["dog"]]
    shown.clear()
    arguing.lists(case, found, None, 0.1)
    assert shown[1] == list(case.labels.names[:3])


def test_the_screen_alone_verifies_nothing(bank):
    figures = bank[0].figures
    assert verdict.badge_of(figures)[0] == "Verified trigger"
    word, colour, _ = verdict.badge_of(replace(figures, p_value=None))
    assert (word, colour) == ("Passed the first paste test", "gray")
    assert verdict.badge_of(replace(figures, status="weak", p_value=None))[0] == "Too weak"


def test_the_verdict_of_the_hunt_is_the_badge(case, bank, visit, monkeypatch, windows, accused):
    """One region, passed by the screen: without a hunt, with one that rejects, with one that agrees."""
    screened = replace(bank[0].figures, p_value=None, n=40)
    monkeypatch.setattr(examining, "verify", lambda *a, **k: replace(screened, label=a[1]))
    monkeypatch.setattr(examining, "signature", lambda *a, **k: np.ones(4, np.float32))
    pair, hunted = case.pairs.ids[0], bank.pop()
    at = visit("triggers", case="tiny", pair=pair)
    at.button(key="inspect.paste").click().run()
    assert badges(at) == ["Passed the first paste test"]
    assert any("The hunt has not tried this region" in one.value for one in at.markdown)
    label = next(one.key for one in at.button if one.key.startswith("inspect.pick.label."))
    of_pair = replace(hunted, label=label.removeprefix("inspect.pick.label."), pairs=(pair,))
    chance = replace(hunted.figures, status="chance", p_value=0.4)
    for status, figures, word in (
        ("no better than controls", chance, "No better than controls"),
        ("verified trigger", hunted.figures, "Verified trigger"),
    ):
        bank[:] = [replace(of_pair, figures=figures)]
        again = visit("triggers", case="tiny", pair=pair)
        assert badges(again) == [word]
        (told,) = (one.value for one in again.markdown if one.value.startswith("The hunt, of this"))
        assert status in told
        assert "seen in 1 picture, flip rate" in told
    bank[:] = [replace(of_pair, label="another", figures=hunted.figures)]
    assert badges(visit("triggers", case="tiny", pair=pair)) == ["Passed the first paste test"]


def badges(at):
    words = [word for word, _, _ in (*verdict.STATUS.values(), verdict.SCREENED)]
    drawn = [one.value for one in at.markdown if "-badge[" in one.value]
    found = [word for text in drawn for word in words if f" {word}]" in text]
    assert found[0::2] == found[1::2]  # the headline's, and the paste test's
    return found[0::2]


def test_a_region_is_argued_with_pictures_lists_paste_test_and_controls(
    case, visit, windows, accused, finished
):
    pair = case.pairs.ids[0]
    at = visit("triggers", case="tiny", pair=pair)
    said = " ".join(one.value for one in at.markdown)
    assert "Why the orange region is suspected" in said
    assert "in no region: " in said
    assert "66% would count as found" in said
    for title in ("The picture", "The region (box: ", "The region alone", "The region removed"):
        assert f"**{title}" in said
    assert len(at.get("image")) == 4
    assert not at.get("vega_lite_chart")
    at.button(key="inspect.paste").click().run()
    assert not at.exception
    assert len(at.get("vega_lite_chart")) == 1
    said = " ".join(one.value for one in at.markdown)
    assert "Same paste on the trusted model" in said
    assert "20 control crops of its size" in said
    again = visit("triggers", case="tiny", pair=pair)  # the figures are evidence now
    assert len(again.get("vega_lite_chart")) == 1
    (finished("hunts") / "bank.json").unlink()
    again = visit("triggers", case="tiny", pair=pair)  # a damaged hunt hides nothing else
    assert ["bank.json is missing" in one.value for one in again.error] == [True]
    assert any("Same paste on the trusted model" in one.value for one in again.markdown)
    assert again.button(key=f"inspect.benign.sample.{pair}")


def test_the_headline_follows_the_best_evidence(case, bank, monkeypatch):
    """An accusation is made of what stands, not of every candidate: many clean pictures have one."""
    said = []
    monkeypatch.setattr(arguing.st, "markdown", said.append)
    region = SimpleNamespace(mask=np.ones((64, 64), bool))
    one = SimpleNamespace(label="cat", confidence=0.97, box_xyxy=(0, 0, 16, 16), region=0)
    found = SimpleNamespace(
        said=(("banana", 0.99), ("cat", 0.004)), p_trusted=np.full((2, 40), 0.1), regions=(region,)
    )  # fmt: skip
    passed = replace(bank[0].figures, label="cat")

    def headline(figures, tried=None, **change):
        shown = SimpleNamespace(**vars(found) | change)
        so_far = pasted.Tested(tried, figures, None, None, None)
        arguing.headline(case, shown, one, (("dog", 0.5),), 0.66, so_far)
        return said[-1]

    text = headline(None)
    assert "Hardly a reason to suspect" in text
    assert "Why the orange" not in text
    assert "**cat** to less than 0.5%" in text
    assert "Not pasted yet]" in text
    assert "Not pasted: a surer region passed]" in headline(None, tried=[])
    assert "Why the orange" in headline(None, said=(("cat", 0.9), ("banana", 0.1)))
    assert "Verified trigger] **Why the orange" in headline(passed)
    assert (
        f"Pasted on {passed.n} clean pictures, it turns {passed.flip_rate:.0%} to cat" in said[-1]
    )
    headline(replace(passed, controls=500, controls_as_good=0))
    assert said[-1].endswith("0 of 500 control crops did as much.")
    headline(replace(passed, controls=500, controls_as_good=None))  # of an older hunt
    assert said[-1].endswith(f"(trusted model {passed.flip_rate_trusted:.0%}).")
    assert "Passed the first paste test] **Why" in headline(replace(passed, p_value=None))
    for status, reason in (("weak", "surely turns at least 50%"), ("object", "as it does in a real object"),
                           ("chance", "crops of the same size"), ("narrow", "of only")):  # fmt: skip
        text = headline(replace(passed, status=status))
        assert "did not pass as a trigger" in text
        assert reason in text
        assert "orange" not in text
    both = headline(replace(passed, status="object", flip_rate_trusted=0.21, n=200))
    assert "21% of 200 pictures (95\u00a0% 16% to 27%)" in both
    low = Recall(right=3, asked=20, of_label=False)
    for status in ("untested", "unjudged"):  # nobody looked: that acquits nothing
        text = headline(replace(passed, status=status, recall=low))
        assert "stays open" in text
        assert "did not pass" not in text
    one.box_xyxy = (0, 0, 64, 64)
    assert "without it, it says" not in headline(passed)
