"""The base of every settings class, and the one door outside values come through."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clipforensics.errors import ConfigError


class Settings(BaseModel):
    """Frozen settings of one component; forms, files and command lines are drawn from the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def sha256(self) -> str:
        """Hash of the canonical JSON, so that equal settings have equal names."""
        return digest(self.model_dump(mode="json"))


S = TypeVar("S", bound=Settings)


def parse(kind: type[S], values: Mapping[str, Any]) -> S:
    """Turn outside values into settings.

    Raises:
        ConfigError: one sentence per complaint, naming field, value and bound.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as problem:
        raise ConfigError("; ".join(_sentence(kind, one) for one in _causes(problem))) from None


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _causes(problem: ValidationError) -> list[Any]:
    """The complaints, without those that a list is too short only since its members are refused."""
    found = problem.errors()
    members = {one["loc"][:-1] for one in found if one["loc"]}
    return [one for one in found if one["type"] != "too_short" or one["loc"] not in members]


def _sentence(kind: type[Settings], complaint: Any) -> str:
    where = ".".join(str(part) for part in complaint["loc"]) or kind.__name__
    if complaint["type"] == "extra_forbidden":
        return f"Unknown setting {where}; known are {', '.join(kind.model_fields)}."
    if complaint["type"] in ("tuple_type", "list_type"):
        return f'{where}={complaint.get("input")!r}: input should be a list, such as [1, 2] or ["a", "b"].'
    message = complaint["msg"].removeprefix("Value error, ")
    return f"{where}={complaint.get('input')!r}: {message[0].lower()}{message[1:]}."
