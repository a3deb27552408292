"""Repairs that are refused, each in one sentence."""

import pytest

from clipforensics.errors import ConfigError
from clipforensics.jobs.repairing import repair


@pytest.mark.parametrize("status", ["weak", "object", None])
def test_eftclip_without_a_verified_trigger_is_refused(case, bank, status, go, found_trigger):
    bank[:] = [found_trigger(status)] if status else []
    with pytest.raises(ConfigError, match="at least one verified trigger"):
        go(case)


def test_safeclip_from_the_suspect_is_refused(case, bank, go):
    with pytest.raises(ConfigError, match="not learned the poison"):
        go(case, recipe="safeclip", changes={"start": "suspect"})


@pytest.mark.parametrize("recipe", ["roclip", "filter"])
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
