"""Settings of the demonstration."""

from typing import Literal

from pydantic import Field

from clipforensics.config.scan import ScanSettings
from clipforensics.config.settings import Settings


class DemoSettings(Settings):
    """The demo case: a really poisoned CLIP on generated pairs."""

    attack: Literal["badnets"] = Field(
        default="badnets",
        title="Attack",
        description="the shipped suspect carries this one; the attack lab trains others",
    )
    scan: ScanSettings = Field(default=ScanSettings(), title="Scan")
    workers: int | None = Field(default=None, ge=1, title="Processes that draw scenes")
