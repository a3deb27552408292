"""The one door for outside values."""

from typing import Literal

import pytest
from pydantic import Field, ValidationError

from clipforensics.config.settings import Settings, parse
from clipforensics.errors import ConfigError


class Example(Settings):
    """For the tests below."""

    k: int = Field(default=16, ge=1)
    name: str = Field(default="a")


def test_equal_settings_have_equal_hashes():
    assert Example().sha256() == parse(Example, {"k": 16}).sha256() != Example(k=3).sha256()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"k": 0}, "k=0: input should be greater than or equal to 1."),
        ({"k": "x"}, "k='x': input should be a valid integer"),
        ({"q": 1}, "Unknown setting q; known are k, name."),
    ],
)
def test_complaints_are_sentences(values, message):
    with pytest.raises(ConfigError) as caught:
        parse(Example, values)
    assert str(caught.value).startswith(message)


def test_a_wrong_member_is_one_complaint():
    """pydantic adds that nothing is left of the list; the wrong member is what can be mended."""

    class Many(Settings):
        names: tuple[Literal["a", "b"], ...] = Field(default=("a",), min_length=1)

    with pytest.raises(ConfigError, match=r"^names\.0='c': input should be 'a' or 'b'\.$"):
        parse(Many, {"names": ("c",)})
    with pytest.raises(ConfigError, match=r"^names=\(\): tuple should have at least 1 item"):
        parse(Many, {"names": ()})


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Example().k = 3
