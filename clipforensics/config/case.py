"""What a case is about: where the evidence lies, and which models judge it."""

from pydantic import Field

from clipforensics.config.settings import Settings


class CaseSettings(Settings):
    """The frozen question of a case. Paths inside it, or a case beside it, are stored relative."""

    name: str = Field(
        min_length=1, max_length=120, title="Name", description="how the case is called on screen"
    )
    data: str = Field(
        min_length=1, title="Pairs", description="a CSV or TSV table, or a folder with pairs.csv"
    )
    image_root: str | None = Field(
        default=None, title="Picture folder", description="where relative picture paths start"
    )
    model: str = Field(
        min_length=1, title="Suspect model", description="an open_clip name, or a JSON config"
    )
    weights: str = Field(
        min_length=1, title="Suspect weights", description="safetensors, or a .pt of plain tensors"
    )
    labels: str = Field(min_length=1, title="Labels", description="a text file, one label per line")
    trusted_model: str | None = Field(
        default=None, title="Trusted model", description="a CLIP you trust; the oracle's scorer"
    )
    trusted_weights: str | None = Field(
        default=None, title="Trusted weights", description="its weights"
    )
    segmenter: str | None = Field(
        default=None, title="Segmenter", description="small, vit_b, vit_l or vit_h"
    )
    segmenter_weights: str | None = Field(
        default=None, title="Segmenter weights", description="the SAM checkpoint of that size"
    )
    truth: str | None = Field(
        default=None,
        title="Truth",
        description="the manifest of a known attack; only metrics read it",
    )
    test: str | None = Field(
        default=None,
        title="Test set",
        description="clean labelled pictures: a table with a label column",
    )
    parent: str | None = Field(
        default=None,
        title="Repaired from",
        description="the case whose suspect was repaired into this one",
    )
    repair_run: str | None = Field(
        default=None, title="Repair run", description="the run of that case that repaired it"
    )
    reviewer: str = Field(
        default="reviewer", min_length=1, max_length=120, title="Reviewer",
        description="the name that verdicts are signed with",
    )  # fmt: skip
