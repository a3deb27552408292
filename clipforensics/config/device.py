"""Where a model runs: one field, the same for every job."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field


def _known(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("choose auto, cpu, cuda, or one CUDA device such as cuda:1")
    return name


Device = Annotated[
    str,
    AfterValidator(_known),
    Field(title="Device", description="auto takes CUDA when there is one"),
]
