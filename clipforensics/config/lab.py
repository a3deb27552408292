"""Settings of the attack lab: poison the demo world, train a suspect, open it as a case."""

from pydantic import Field

from clipforensics.config.attack import PoisonSettings
from clipforensics.config.device import Device
from clipforensics.config.settings import Settings
from clipforensics.config.train import TrainSettings


class LabSettings(Settings):
    """One experiment."""

    name: str = Field(
        default="lab", min_length=1, max_length=80, title="Case name", pattern=r"^[\w][\w .-]*$"
    )
    poison: PoisonSettings = Field(default=PoisonSettings(), title="Poisoning")
    world_seed: int = Field(
        default=2, ge=0, title="World seed", description="another seed, other pictures"
    )
    pairs: int = Field(default=20_000, ge=100, le=1_000_000, title="Training pairs")
    test_pictures: int = Field(default=2_000, ge=40, le=100_000, title="Test pictures")
    training: TrainSettings = Field(default=TrainSettings(), title="Training")
    evaluate_every: int = Field(default=78, ge=1, title="Steps between evaluations")
    folder: str | None = Field(
        default=None, title="Case folder", description="empty: beside the open case, by name"
    )
    workers: int | None = Field(
        default=None, ge=1, title="Processes", description="that write pictures; empty: one a core"
    )
    device: Device = "auto"
