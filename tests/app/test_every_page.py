"""What holds for every page."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "pages").glob("*.py"))
NAMES = [page.stem for page in PAGES]


@pytest.mark.parametrize("page", NAMES)
def test_it_opens_on_a_scanned_case(page, home, launched, visit):
    at = visit(page, case="tiny")
    assert at.title[0].value


@pytest.mark.parametrize("page", NAMES)
def test_it_opens_without_any_case(page, no_home, launched, visit):
    visit(page)


@pytest.mark.parametrize("page", NAMES)
def test_a_link_to_an_unknown_case_says_so(page, home, launched, visit):
    at = visit(page, case="../../etc")
    shown = [one.value for one in at.error]
    assert page == "lab" or any("No case named" in text for text in shown), shown


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_first_call_opens_the_page(page):
    calls = [node for node in ast.parse(page.read_text()).body if isinstance(node, ast.Expr)]
    calls = [node.value for node in calls if isinstance(node.value, ast.Call)]
    assert ast.unparse(calls[0].func) == "shell.open_page"


def test_the_menu_names_every_page(home, visit):
    from clipforensics.ui.shell import PAGES as MENU

    assert sorted(stem for stem, *_ in MENU) == NAMES


def test_the_front_page_is_drawn_without_a_model_library(home):
    """First paint must not wait for torch, faiss or umap."""
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
at = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=60)
at.session_state["shell.reentered"] = True
at.run()
assert not at.exception, at.exception
assert at.metric, "the page is empty"
loaded = [m for m in ("torch", "faiss", "umap", "sklearn", "open_clip") if m in sys.modules]
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_only_the_screen_imports_streamlit():
    """The core runs without a browser: nothing outside app.py, pages/ and ui/ names Streamlit."""
    core = ROOT / "clipforensics"
    files = [file for file in core.rglob("*.py") if core / "ui" not in file.parents]
    assert files
    named = [str(file) for file in files if "import streamlit" in file.read_text()]
    assert not named
