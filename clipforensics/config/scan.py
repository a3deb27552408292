"""What a scan computes: which detectors, against which references, and the map."""

from pydantic import Field, field_validator

from clipforensics.config.detect import (
    CaseDetectorName,
    DensitySettings,
    MapSettings,
    ReferenceSettings,
)
from clipforensics.config.device import Device
from clipforensics.config.settings import Settings


class ScanSettings(Settings):
    """Embed, neighbours, map, and one score a row from each detector; the first one ranks."""

    detectors: tuple[CaseDetectorName, ...] = Field(
        default=("combined", "scales", "clip", "slof", "lof", "dao", "kdist", "lid", "iforest"),
        min_length=1,
        title="Detectors",
        description="the first one ranks, the others are kept beside it",
    )
    density: DensitySettings = Field(default=DensitySettings(), title="Density")
    reference: ReferenceSettings = Field(default=ReferenceSettings(), title="Reference sets")
    map: MapSettings = Field(default=MapSettings(), title="Map")
    device: Device = "auto"

    @field_validator("detectors")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("Name each detector once")
        return names


class CleanSettings(Settings):
    """Clean pairs, and the detector whose scores they calibrate."""

    data: str | None = Field(
        default=None,
        title="Clean pairs",
        description="a CSV or TSV table, or a folder with pairs.csv; empty means the test set",
    )
    image_root: str | None = Field(
        default=None, title="Picture folder", description="where relative picture paths start"
    )
    detector: CaseDetectorName = Field(default="combined", title="Detector")
    density: DensitySettings = Field(default=DensitySettings(), title="Density")
    reference: ReferenceSettings = Field(default=ReferenceSettings(), title="Reference sets")
    device: Device = "auto"
