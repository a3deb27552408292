"""Settings of the detectors: density, reference sets, and the map."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from clipforensics.config.settings import Settings

DetectorName = Literal["lof", "slof", "dao", "dao_pow", "kdist", "lid", "iforest"]
DETECTORS: tuple[DetectorName, ...] = get_args(DetectorName)
CaseDetectorName = Literal[
    "lof",
    "slof",
    "dao",
    "dao_pow",
    "kdist",
    "lid",
    "iforest",
    "scales",
    "clip",
    "gmm",
    "combined",
]
CASE_DETECTORS: tuple[CaseDetectorName, ...] = get_args(CaseDetectorName)
"""All that can rank a case: `scales` tries many references, `clip` and `gmm` read captions,
`combined` joins `scales`, three more measures of `detect.apart` and `clip`."""
MANY_SCALES: tuple[CaseDetectorName, ...] = ("combined", "scales")
"""These try reference sizes and neighbours of their own."""
DETECTOR_TITLES: dict[CaseDetectorName, str] = {
    "combined": "Density and caption",
    "scales": "All scales (LOF)",
    "lof": "LOF",
    "slof": "SLOF",
    "dao": "DAO",
    "dao_pow": "DAO, power form",
    "kdist": "k-distance",
    "lid": "LID",
    "iforest": "Isolation Forest",
    "clip": "Picture against caption",
    "gmm": "Picture against caption, two Gaussians",
}
SearchMode = Literal["exact", "ivf"]
SEARCH_MODES: tuple[SearchMode, ...] = get_args(SearchMode)
"""How neighbours among the whole set are found: all compared, or the nearest cells of an inverted file."""
MIN_REFERENCE = 2


class DensitySettings(Settings):
    """How the local density of an embedding is measured."""

    k: int = Field(
        default=16, ge=1, le=4096, title="Neighbours", description="never the point itself"
    )
    k_lid: int | None = Field(
        default=None,
        ge=2,
        le=4096,
        title="Neighbours for LID",
        description="empty means as many as above; LID alone is steadier at 64",
    )

    @property
    def lid_neighbours(self) -> int:
        """The neighbours that LID reads: `k_lid`, or `k` where it is empty."""
        return self.k if self.k_lid is None else self.k_lid


class ReferenceSettings(Settings):
    """Which embeddings each one is compared with.

    A random reference set holds far fewer poisons than k, the whole set many more: there the
    poisons become each other's neighbours and look normal.
    """

    reference_size: int | Literal["all"] = Field(
        default=2048,
        title="Reference size",
        description="embeddings in a random reference set, or all (which hides frequent poison)",
    )
    draws: int = Field(
        default=5,
        ge=1,
        le=1000,
        title="Draws",
        description="random reference sets averaged per row",
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="of the random draws")
    normalize: bool = Field(
        default=False,
        title="Normalize features",
        description="score by angle alone; raw features keep the length, which a trigger raises",
    )
    captions: bool = Field(
        default=False,
        title="Captions in the reference",
        description="caption embeddings join the reference sets, as the authors' script does",
    )
    collapse: bool = Field(
        default=True,
        title="Collapse near-duplicates",
        description="a picture that comes 20 times or more, slightly changed, counts once and has one "
        "score; exact copies always do",
    )

    @field_validator("reference_size", mode="before")
    @classmethod
    def _size_or_all(cls, value: Any) -> Any:
        # a union would answer with one complaint per member
        if value == "all":
            return value
        try:
            size = 0 if isinstance(value, bool) or float(value) % 1 else int(value)
        except (TypeError, ValueError, OverflowError):
            size = 0
        if size < MIN_REFERENCE:
            raise ValueError(f"Give a whole number of at least {MIN_REFERENCE}, or all")
        return size


class ScaleSettings(Settings):
    """Which references a scan over scales tries, when the poison rate is unknown."""

    reference_sizes: tuple[int, ...] = Field(
        default=(512, 1024, 2048, 4096, 8192),
        min_length=1,
        title="Reference sizes",
        description="those that leave fewer than four sets are not tried",
    )
    neighbours: tuple[int, ...] = Field(
        default=(8, 16, 32, 64),
        min_length=1,
        title="Neighbours",
        description="at most an eighth of the reference size",
    )
    draws: int = Field(default=3, ge=1, le=1000, title="Draws", description="at every scale")
    seed: int = Field(default=0, ge=0, title="Seed", description="of the random draws")
    normalize: bool = Field(
        default=False, title="Normalize features", description="score by angle alone"
    )

    @field_validator("reference_sizes", "neighbours")
    @classmethod
    def _positive(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if min(values) < MIN_REFERENCE:
            raise ValueError(f"Give whole numbers of at least {MIN_REFERENCE}")
        return values


class MapSettings(Settings):
    """How the two-dimensional map is drawn. Scores never come from it."""

    n_neighbours: int = Field(
        default=15, ge=2, le=200, title="Neighbours on the map", description="the point included"
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="equal seeds draw equal maps")
