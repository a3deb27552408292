"""What may be imported where, proved on the code and on what really loads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ["streamlit", "torch", "faiss", "segment_anything", "umap", "sklearn", "open_clip"]
CORE = "import clipforensics.detect, clipforensics.cases.case, clipforensics.jobs.runs.launcher"


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("heavy", HEAVY)
def test_the_core_starts_light(heavy):
    done = run(f"{CORE}; import sys; sys.exit({heavy!r} in sys.modules)")
    assert done.returncode == 0, done.stderr or f"the core imports {heavy}"


@pytest.mark.parametrize("heavy", ["torch", "faiss", "umap", "sklearn", "segment_anything"])
def test_the_shell_of_every_page_starts_light(heavy):
    code = "import clipforensics.ui.shell, sys"
    done = run(f"{code}; sys.exit({heavy!r} in sys.modules)")
    assert done.returncode == 0, done.stderr or f"the shell imports {heavy}"


def test_the_probe_would_have_noticed():
    assert run("import sys, streamlit; sys.exit('streamlit' in sys.modules)").returncode == 1


def test_the_runner_never_loads_streamlit():
    code = "import clipforensics.jobs.runs.runner, clipforensics.cli.app, sys"
    done = run(f"{code}; sys.exit('streamlit' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_layers_are_kept():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_only_the_ui_names_streamlit():
    allowed = [ROOT / "app.py", ROOT / "pages", ROOT / "clipforensics" / "ui"]
    for path in [ROOT / "app.py", *ROOT.glob("pages/*.py"), *ROOT.glob("clipforensics/**/*.py")]:
        if any(path == one or one in path.parents for one in allowed):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) streamlit", text, re.MULTILINE), path


def test_nothing_is_ever_unpickled():
    for path in ROOT.glob("clipforensics/**/*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(import|from) (pickle|dill|joblib|cloudpickle)", text, re.MULTILINE
        ), path
        assert "allow_pickle=True" not in text, path
        for call in re.findall(r"torch\.load\((.*)", text):
            assert "weights_only=True" in call, path


def test_every_page_opens_through_the_one_door():
    for path in ROOT.glob("pages/*.py"):
        calls = re.findall(
            r"^(?:st\.|with |(?:shell\.)?open_page\().*",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert calls, path
        first = calls[0].removeprefix("shell.")
        assert first.startswith("open_page("), f"{path.name} begins with {first}"
