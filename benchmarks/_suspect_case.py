"""A case of a suspect and the pairs it learned from last; nothing in it says what was planted."""

from pathlib import Path

from _suspects import Suspect

from clipforensics.cases.case import Case
from clipforensics.config.case import CaseSettings
from clipforensics.data.demo_case import DEMO_MODEL, SMALL_SAM_WEIGHTS, TRUSTED_WEIGHTS
from clipforensics.data.demo_world import labels
from clipforensics.data.images import write_bytes, write_png
from clipforensics.data.pairs import Pairs
from clipforensics.data.tables import write_pairs
from clipforensics.models.clip import save_clip


def suspect_case(folder: Path, made: Suspect, name: str) -> Case:
    """The case at `folder`, made now; pictures and weights lie inside, no manifest does."""
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    ids = made.pairs.ids
    paths = tuple(data / "images" / f"{one}.png" for one in ids)
    for path, frame in zip(paths, made.pairs.frames, strict=True):
        write_png(path, frame)
    write_pairs(data / "pairs.csv", Pairs(ids, made.pairs.captions, paths))
    lines = [f"template: {one}" for one in labels().templates] + list(labels().names)
    write_bytes(data / "labels.txt", ("\n".join(lines) + "\n").encode())
    save_clip(made.encoder, folder / "suspect.safetensors")
    return Case.create(folder, CaseSettings(
        name=name, data=str(data), labels=str(data / "labels.txt"),
        model=str(DEMO_MODEL), weights=str(folder / "suspect.safetensors"),
        trusted_model=str(DEMO_MODEL), trusted_weights=str(TRUSTED_WEIGHTS),
        segmenter="small", segmenter_weights=str(SMALL_SAM_WEIGHTS),
    ))  # fmt: skip
