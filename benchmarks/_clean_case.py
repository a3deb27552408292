"""A case with nothing to find: a CLIP trained on clean pairs alone, and those pairs."""

from pathlib import Path

from _suspects import suspect

from clipforensics.cases.case import Case
from clipforensics.cases.case_file import CASE_FILE
from clipforensics.config.case import CaseSettings
from clipforensics.data.demo_case import DEMO_MODEL, SMALL_SAM_WEIGHTS, TRUSTED_WEIGHTS
from clipforensics.data.demo_world import labels
from clipforensics.data.images import write_bytes, write_png
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import write_pairs
from clipforensics.models.clip import save_clip


def clean_case(folder: Path, seed: int, suspects: Path, pairs: int | None = None) -> Case:
    """The case at `folder`, made there if there is none.

    Args:
        folder: the case; pictures and weights lie inside.
        seed: of the suspect and its world, see `suspect`.
        suspects: keeps suspects.
        pairs: take the first so many; by default all that the suspect learned.
    """
    if (folder / CASE_FILE).exists():
        return Case.open(folder)
    made = suspect(None, seed, suspects)
    data, n = folder / "data", pairs or len(made.pairs.ids)
    (data / "images").mkdir(parents=True, exist_ok=True)
    ids = made.pairs.ids[:n]
    paths = tuple(data / "images" / f"{name}.png" for name in ids)
    for path, frame in zip(paths, made.pairs.frames[:n], strict=True):
        write_png(path, frame)
    write_pairs(data / "pairs.csv", Pairs(ids, made.pairs.captions[:n], paths))
    lines = [f"template: {one}" for one in labels().templates] + list(labels().names)
    write_bytes(data / "labels.txt", ("\n".join(lines) + "\n").encode())
    save_clip(made.encoder, folder / "suspect.safetensors")
    return Case.create(folder, CaseSettings(
        name="Nothing planted", data=str(data), labels=str(data / "labels.txt"),
        model=str(DEMO_MODEL), weights=str(folder / "suspect.safetensors"),
        trusted_model=str(DEMO_MODEL), trusted_weights=str(TRUSTED_WEIGHTS),
        segmenter="small", segmenter_weights=str(SMALL_SAM_WEIGHTS),
    ))  # fmt: skip
