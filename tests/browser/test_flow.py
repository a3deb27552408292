"""The main job by hand: map, lasso, triggers, pick, EftCLIP, curves to the end, before and after."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

MINUTE = 60_000
HUNT_MINUTES, REPAIR_MINUTES = 30, 40
"""A hunt takes a minute and a repair three on two quiet cores; shared ones are far slower."""


@pytest.mark.browser
@pytest.mark.weights
def test_from_the_demo_case_to_a_repaired_model(serve, demo_home, page):
    url = serve(demo_home)
    page.goto(url)
    expect(page.get_by_text("The scan is finished")).to_be_visible(timeout=2 * MINUTE)
    lasso_on_the_map(page)
    page.reload()
    expect(segment(page, "Selection")).to_be_visible(timeout=2 * MINUTE)
    pick_the_first_sample(page)
    hunt(page)
    pick_trigger_and_label(page)
    repair(page)
    everything_is_in_the_log(page)


def lasso_on_the_map(page: Page) -> None:
    """Draw a shape around the middle of the map; the server resolves it."""
    menu(page, "Map")
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    expect(plot).to_be_visible(timeout=3 * MINUTE)
    settled(page)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    corners = [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95), (0.05, 0.06)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for x, y in places[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    expect(segment(page, "Selection")).to_be_visible(timeout=3 * MINUTE)
    expect(page.get_by_text(re.compile(r"The selection covers [\d,]+"))).to_be_visible()
    expect(page).to_have_url(re.compile(r"sel="))


def pick_the_first_sample(page: Page) -> None:
    """Flag the top card of the gallery."""
    settled(page)
    page.get_by_role("button", name="Pick", exact=True).first.click()
    expect(page.get_by_role("button", name="Suspicious").first).to_be_visible()


def hunt(page: Page) -> None:
    """Inspect the top-scored pictures as a run."""
    menu(page, "Triggers")
    top = page.get_by_role("spinbutton", name="Pairs to inspect")
    top.fill("60")
    top.press("Enter")
    settled(page)
    page.get_by_role("button", name="Hunt for triggers").click()
    expect(page.get_by_text("Verified triggers")).to_be_visible(timeout=HUNT_MINUTES * MINUTE)
    expect(badge(page, "Verified trigger").first).to_be_visible()


def pick_trigger_and_label(page: Page) -> None:
    """Take the best trigger and the label it forces into the case."""
    page.get_by_role("button", name="Pick trigger").first.click()
    settled(page)
    page.get_by_role("button", name=re.compile("banana")).first.click()
    settled(page)


def repair(page: Page) -> None:
    """Start EftCLIP, watch it reach the end, read before and after."""
    menu(page, "Repair")
    page.get_by_role("button", name="Start EftCLIP").click()
    expect(page.get_by_role("button", name=re.compile("Stop"))).to_be_visible(timeout=2 * MINUTE)
    page.reload()  # the run belongs to nobody's tab
    expect(page.get_by_text("Before and after")).to_be_visible(timeout=REPAIR_MINUTES * MINUTE)
    expect(badge(page, "Finished").first).to_be_visible()
    expect(page.get_by_text("150", exact=True).first).to_be_visible()  # measured at the last step
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    expect(page.get_by_role("button", name="Download the checkpoint")).to_be_visible()


def everything_is_in_the_log(page: Page) -> None:
    """The three picks are on the Review page."""
    menu(page, "Review")
    page.get_by_role("button", name="Picks").or_(page.get_by_role("radio", name="Picks")).click()
    for kind in ("Labels", "Triggers", "Samples"):
        expect(page.get_by_role("heading", name=re.compile(rf"{kind} \(1\)"))).to_be_visible()


def menu(page: Page, name: str) -> None:
    """Go to another page by its link."""
    page.get_by_test_id("stSidebar").get_by_test_id("stPageLink").filter(has_text=name).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    settled(page)


def segment(page: Page, name: str) -> Locator:
    """One part of a segmented control."""
    return page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True)


def badge(page: Page, name: str) -> Locator:
    """A badge; its icon's name stands in its text, too."""
    return page.get_by_text(re.compile(rf"(^|\s){name}$"))


def settled(page: Page) -> None:
    """Wait until the script has run to its end."""
    page.wait_for_timeout(400)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=3 * MINUTE)
