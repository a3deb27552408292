"""Repairs that are refused, each in one sentence."""

import json

import pytest
import torch

from clipforensics.errors import ConfigError, RunError
from clipforensics.jobs.repairing import repair
from clipforensics.models.clip import build_module
from clipforensics.models.tiny import TINY_CONFIG
from clipforensics.models.weights import save_state


@pytest.mark.parametrize("status", ["weak", "object", None])
def test_eftclip_without_a_verified_trigger_is_refused(case, bank, status, go, found_trigger):
    bank[:] = [found_trigger(status)] if status else []
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        go(case)


@pytest.mark.parametrize("recipe", ["safeclip", "roclip", "filter"])
def test_no_retraining_starts_from_the_suspect(case, bank, recipe, go):
    with pytest.raises(ConfigError, match="not learned the poison"):
        go(case, recipe=recipe, changes={"start": "suspect"})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"recipe": "magic"}, "magic"),
        ({"changes": {"stamped_share": 7}}, "stamped_share=7"),
        ({"changes": {"spells": 1}}, "Unknown setting spells"),
        ({"preset": "huge"}, "huge"),
    ],
)
def test_wrong_settings_are_one_sentence(case, bank, config, words, context_for):
    context = context_for(case.dir, "repair", **config)
    with pytest.raises(ConfigError, match=words):
        repair.run(context)


@pytest.mark.parametrize(
    ("recipe", "changes", "words"),
    [
        ("eftclip", {"pairs": 30, "batch": 32}, "30 are asked for. Lower the batch to 30 or less"),
        ("safeclip", {"batch": 235}, "234 are left to learn from: 6 of 240 are held out"),
        (
            "filter",
            {"batch": 212, "drop_share": 0.1},
            "212 needs .* 6 of 240 are held out .* and 23",
        ),
    ],
)
def test_less_than_one_batch_is_refused_before_anything_is_measured(
    case, bank, go, context_for, recipe, changes, words
):
    with pytest.raises(ConfigError, match=words):
        go(case, recipe=recipe, changes=changes)
    assert not context_for(case.dir, "repair").run.journal()[0]


def test_a_pool_that_turns_out_too_small_is_refused_before_the_suspect_is_measured(
    case, bank, go, context_for
):
    with pytest.raises(ConfigError, match="could be curated. Lower the batch to"):
        go(case, recipe="finetune", changes={"pairs": 200, "batch": 200})
    records = context_for(case.dir, "repair").run.journal()[0]
    assert not any(record["kind"] == "evaluation" for record in records)


def test_more_pictures_than_the_memory_holds_are_refused_with_both_sizes(
    case, bank, go, monkeypatch
):
    from types import SimpleNamespace

    from clipforensics.jobs.repairing import checking

    few = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=700_000))
    monkeypatch.setattr(checking, "psutil", few)
    with pytest.raises(RunError, match=r"234 of 32 x 32 pixels take 0\.0 GB, 0\.0 GB are free"):
        go(case, recipe="roclip", changes={"batch": 32, "epochs": 1})


def test_a_start_from_a_trusted_model_that_is_not_there_is_refused(
    world, tmp_path, bank, go, make_case
):
    bare = make_case(world, tmp_path / "bare", trusted_model=None, trusted_weights=None)
    with pytest.raises(ConfigError, match="needs one, and this case names none"):
        go(bare, recipe="safeclip", changes={"start": "trusted"})


def test_a_start_from_a_model_that_is_built_otherwise_is_refused(
    world, tmp_path, bank, go, make_case
):
    wider = {**TINY_CONFIG, "embed_dim": 2 * TINY_CONFIG["embed_dim"]}
    (tmp_path / "wide.json").write_text(json.dumps(wider))
    with torch.random.fork_rng(devices=[]):
        save_state(tmp_path / "wide.safetensors", build_module(wider).state_dict())
    other = make_case(
        world, tmp_path / "other",
        trusted_model=str(tmp_path / "wide.json"), trusted_weights=str(tmp_path / "wide.safetensors"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"wide.json\) is built otherwise than .*tiny.json"):
        go(other, recipe="roclip", changes={"start": "trusted"})
