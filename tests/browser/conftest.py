"""A real server, a real Chromium, and the real demo case."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
QUIET = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
"""Software graphics: WebGL without a GPU."""
BUILD_SECONDS = 1800
"""For the demo case; a minute on a quiet machine, but CI machines are shared."""


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the demo case, made by the command a user would type."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-m", "clipforensics", "demo", "--dir", str(home / "demo"), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Start a server over a home folder, as cold as after a reboot; it ends with the test."""
    started: list[subprocess.Popen] = []

    def start(home: Path) -> str:
        port = _free_port()
        log = open(tmp_path / f"server-{port}.log", "wb")
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
        environment = {**os.environ, "CLIPFORENSICS_HOME": str(home)}
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        log.close()
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, started[-1])
        return url

    yield start
    for server in started:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The distribution's own browser."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path, "Install Chromium, or set CHROMIUM to its path."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh visitor with the screen of a projector."""
    context = chromium.new_context(viewport={"width": 1280, "height": 720})
    visitor = context.new_page()
    visitor.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    yield visitor
    context.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, server: subprocess.Popen) -> None:
    until = time.time() + 180
    while time.time() < until:
        assert server.poll() is None, "The server ended before it answered."
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"No answer from {url}.")
