"""A small scanned case on disk, and the app over a copy of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]
N_PAIRS, N_TEST, SIDE = 240, 40, 32


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with one case: a poisoned slice of the demo world, scanned by a tiny CLIP."""
    from clipforensics.config.scan import ScanSettings
    from clipforensics.jobs.scanning import scan

    home = tmp_path_factory.mktemp("home")
    case = make_case(home / "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "umap_2d", _flat)  # UMAP compiles for ten seconds and adds nothing here
        scan.scan(case, ScanSettings(detectors=("slof",)))
    return home


def make_case(folder: Path):
    """Poison, write models, open the case; everything lies inside its folder, so it can be moved."""
    import torch

    from clipforensics.attacks.poison import poison
    from clipforensics.cases.case import Case
    from clipforensics.config.attack import BadNetsSettings, PoisonSettings
    from clipforensics.config.case import CaseSettings
    from clipforensics.data.demo_world import DemoWorld, labels
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import TINY_CONFIG, tiny_clip
    from clipforensics.models.weights import save_state
    from clipforensics.oracle.small_sam import small_sam

    settings = PoisonSettings(attack=BadNetsSettings(patch_px=6), rate=0.02)
    poison(DemoWorld(0, N_PAIRS, N_TEST, SIDE), labels(), settings, folder / "data", workers=1)
    (folder / "model.json").write_text(json.dumps(TINY_CONFIG))
    for name, seed in (("suspect", 0), ("trusted", 1)):
        save_clip(tiny_clip(seed), folder / f"{name}.safetensors")
    torch.manual_seed(0)  # a segmenter that has learned nothing still returns masks
    save_state(folder / "sam.safetensors", small_sam().state_dict())
    return Case.create(folder, CaseSettings(
        name="Tiny case", data=str(folder / "data"), labels=str(folder / "data" / "labels.txt"),
        model=str(folder / "model.json"), weights=str(folder / "suspect.safetensors"),
        trusted_model=str(folder / "model.json"),
        trusted_weights=str(folder / "trusted.safetensors"),
        segmenter="small", segmenter_weights=str(folder / "sam.safetensors"),
        truth=str(folder / "data" / "manifest.json"), test=str(folder / "data" / "test.csv"),
    ))  # fmt: skip


def _flat(x: np.ndarray, *_: object) -> np.ndarray:
    return np.asarray(x[:, :2], np.float32)


@pytest.fixture
def home(made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home folder that a test may write to."""
    copied = tmp_path / "home"
    shutil.copytree(made_home, copied)
    monkeypatch.setenv("CLIPFORENSICS_HOME", str(copied))
    return copied


@pytest.fixture
def case(home: Path):
    """The case itself, to see what a click left behind."""
    from clipforensics.cases.case import Case

    return Case.open(home / "tiny")


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any case."""
    monkeypatch.setenv("CLIPFORENSICS_HOME", str(tmp_path / "empty"))
    return tmp_path / "empty"


class Launched(list):
    """The runs that were started. `do(run)`, when set, plays the process, before start returns."""

    do: Callable | None = None


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Launched:
    """A launcher that starts no process: a run stays queued, or is played at once."""
    from clipforensics.jobs.runs import launcher

    runs = Launched()

    def spawn(run) -> None:
        runs.append(run)
        if runs.do is not None:
            runs.do(run)

    monkeypatch.setattr(launcher, "_spawn", spawn)
    return runs


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch, case) -> list:
    """One verified trigger, as the newest hunt would have left it."""
    from clipforensics.cases.evidence import Listed
    from clipforensics.jobs.hunting import hunts, triggers
    from clipforensics.jobs.repairing import curating, rescanned
    from clipforensics.oracle.bank import Trigger
    from clipforensics.oracle.verify import Verification

    figures = Verification(
        label="banana", n=200, flips={"found": 0.9, "random": 0.95}, flip_rate=0.95,
        interval=(0.91, 0.97), entropy=0.12, flip_rate_trusted=0.01, p_trusted=0.02,
        labels_flipped=30, labels_tested=39, area_share=0.04, p_value=0.025, status="verified",
        large=False, controls=300, controls_as_good=0, control_pictures=40,
    )  # fmt: skip
    pair = sorted(case.truth.poisoned)[0]
    mask = np.ones((6, 6), bool)
    pixels = np.random.default_rng(0).integers(0, 255, (6, 6, 3), np.uint8)
    found = [Trigger("banana", pair, (2, 2, 8, 8), pixels, mask, mask, (pair,), False, figures,
                     np.ones(4, np.float32))]  # fmt: skip
    hunt = {
        "inspected": 20, "with_candidates": 3, "triggers": [{}], "victims": [pair],
        "carriers": [], "probable": [case.pairs.ids[0]],
        "affected_labels": [
            {"label": "banana", "flip_rate_low": 0.91, "n": 200, "triggers": 1, "victims": 1}
        ],
    }  # fmt: skip
    key = {"hunt": {"top": 20, "detector": "combined", "fast": False}}
    kept = [Listed("2026-01-01T10:00:00", case.dir / "evidence" / "hunts" / "a", {"key": key})]
    monkeypatch.setattr(hunts, "kept_hunts", lambda case: kept)
    monkeypatch.setattr(hunts, "outdated", lambda case, hunt: None)
    monkeypatch.setattr(hunts, "read_hunt", lambda folder: hunt)
    monkeypatch.setattr(hunts, "read_bank", lambda folder: list(found))
    for module in (triggers, curating):
        monkeypatch.setattr(module, "trigger_bank", lambda case: list(found))
        monkeypatch.setattr(module, "latest_hunt", lambda case: hunt)
    monkeypatch.setattr(rescanned, "latest_hunt", lambda case: hunt)
    return found


@pytest.fixture
def visit() -> Callable[..., AppTest]:
    """Visit a page as a browser would: through app.py, with a query; no exception on the way."""
    return _visit


def _visit(page: str = "case", **query: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    at.session_state["shell.reentered"] = True
    at.run()  # the first run only learns which page it is on, and would lose a click
    check(at)
    if page != "case":
        at.switch_page(f"pages/{page}.py")
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    check(at)
    return at


def check(at: AppTest) -> None:
    """Fail on an exception anywhere on the page."""
    assert not at.exception, at.exception[0].stack_trace
