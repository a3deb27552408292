"""The first visit after a start may go to any page, and must find the whole house there."""

import re

import pytest
from playwright.sync_api import expect

MENU = ["Case", "Map", "Triggers", "Review", "Repair", "Lab"]


@pytest.mark.browser
def test_a_cold_deep_link_shows_the_whole_menu(serve, page, tmp_path):
    url = serve(tmp_path)
    page.goto(f"{url}/repair?case=none")
    menu = page.get_by_test_id("stSidebar").get_by_test_id("stPageLink")
    expect(menu).to_have_text([re.compile(name) for name in MENU])
    expect(page.get_by_role("heading", name="Repair")).to_be_visible()
    expect(page).to_have_url(re.compile(r"case=none"))
    menu.nth(5).click()
    expect(page.get_by_role("heading", name="Attack lab")).to_be_visible()
    expect(menu).to_have_text([re.compile(name) for name in MENU])
