"""Which runs of a case stand in the table: those that did, and measured, what a recipe does by default."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipforensics.config.repair import RepairSettings, recipe_settings
from clipforensics.jobs.runs import launcher

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from repair import default_run

SETTINGS = recipe_settings(RepairSettings(recipe="finetune")).model_dump(mode="json")


def run(state="succeeded", config=None, **result):
    made = {"recipe": "finetune", "settings": SETTINGS, "hunt": "h1", **result}
    return SimpleNamespace(
        kind="repair", config=config or {}, status=lambda: SimpleNamespace(state=state), result=lambda: made,
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        run(state="cancelled"),
        run(config={"test_pictures": 30}),
        run(config={"retrieval_pairs": 0}),
        run(settings={**SETTINGS, "steps": 7}),
        run(recipe="eftclip"),
        run(hunt="h0"),
    ],
)
def test_the_newest_default_run_of_the_hunt_is_taken(monkeypatch, other, tmp_path):
    own = run(config={"test_pictures": 2000})
    monkeypatch.setattr(launcher, "runs", lambda folder: [other, own])
    case = SimpleNamespace(dir=tmp_path)
    assert default_run(case, "finetune", "h1") is own
    monkeypatch.setattr(launcher, "runs", lambda folder: [other])
    assert default_run(case, "finetune", "h1") is None
