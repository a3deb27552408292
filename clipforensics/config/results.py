"""The measured attack x detector table, as `bench detection` writes it and the Attack lab reads it."""

import json
from pathlib import Path

from pydantic import Field

from clipforensics.config.settings import Settings, parse
from clipforensics.errors import ConfigError, DataError

MAX_BYTES = 5_000_000
MAX_ROWS = 5_000


class DetectionRow(Settings):
    """One detector on one attack at one rate, averaged over seeds."""

    attack: str = Field(min_length=1, max_length=60)
    rate: float = Field(ge=0, le=1, description="poisoned pairs / all pairs")
    poisons: int = Field(ge=0)
    seeds: int = Field(ge=1)
    asr_or_psr: float = Field(ge=0, le=1, description="PSR where nothing is stamped")
    asr_sd: float | None = Field(default=None, ge=0)
    ca: float = Field(ge=0, le=1)
    detector: str = Field(min_length=1, max_length=60)
    auroc: float = Field(ge=0, le=1)
    auroc_sd: float | None = Field(default=None, ge=0)
    average_precision: float = Field(ge=0, le=1)
    recall_0_001: float = Field(ge=0, le=1, alias="recall_at_0.001")
    recall_0_01: float = Field(ge=0, le=1, alias="recall_at_0.01")
    recall_0_05: float = Field(ge=0, le=1, alias="recall_at_0.05")
    working: bool = Field(description="whether ASR, or PSR, reaches 80 %")
    target_first: int | None = Field(
        default=None, ge=0, description="seeds whose first suspected label is a target"
    )


class DetectionTable(Settings):
    """All rows, and what made them."""

    rows: tuple[DetectionRow, ...] = Field(min_length=1, max_length=MAX_ROWS)
    command: str = Field(max_length=2000)
    made: str = Field(max_length=200)
    versions: dict[str, str] = Field(default={}, max_length=100)


def read_detection(path: Path) -> DetectionTable | None:
    """Read the table; None where there is no file.

    Raises:
        DataError: too large, no JSON, or not of this form.
    """
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"{path} is larger than {MAX_BYTES:,} bytes, too large for a table of results. "
                "Write it again with `bench detection`."
            )
        content = json.loads(path.read_text(encoding="utf-8"))
        return parse(DetectionTable, content)
    except (OSError, ValueError, TypeError, RecursionError, ConfigError) as problem:
        said = str(problem)[:300]
        raise DataError(
            f"{path} is no table of detection results ({said}). Write it again with "
            "`bench detection`."
        ) from None
