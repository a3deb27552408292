"""One source of randomness, shape annotations that are really checked, own device locks, and a small case."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

SHAPED = ["clipforensics.detect"]
install_import_hook(SHAPED, "typeguard.typechecked")


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Device locks of this test process alone: no run of its user, and no test of another, waits for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPFORENSICS_LOCKS", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator, the same for every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def toy():
    """The toy world of `toy.py` beside this file, by path: test modules are no package."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory) -> Path:
    """The tiny CLIP's config `tiny.json`, and its weights from two seeds: suspect and trusted."""
    from clipforensics.models.clip import save_clip
    from clipforensics.models.tiny import TINY_CONFIG, tiny_clip

    folder = tmp_path_factory.mktemp("weights")
    (folder / "tiny.json").write_text(json.dumps(TINY_CONFIG))
    for seed, name in enumerate(("suspect", "trusted")):
        save_clip(tiny_clip(seed), folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def inputs(tmp_path, weights_folder):
    """Settings of a case of 40 pairs with ids p000 to p039; nothing is a case yet."""
    from clipforensics.config.case import CaseSettings
    from clipforensics.data.images import write_png

    folder = tmp_path / "inputs"
    (folder / "pictures").mkdir(parents=True)
    noise = np.random.default_rng(1).integers(0, 255, (40, 32, 32, 3), np.uint8)
    lines = ["id,filepath,title"]
    for row, picture in enumerate(noise):
        write_png(folder / "pictures" / f"{row:03d}.png", picture)
        lines.append(
            f"p{row:03d},pictures/{row:03d}.png,a photo of a {'dog' if row % 3 else 'cat'}"
        )
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    (folder / "labels.txt").write_text("dog\ncat\nbanana\n")
    return CaseSettings(
        name="small",
        data=str(folder / "pairs.csv"),
        model=str(weights_folder / "tiny.json"),
        weights=str(weights_folder / "suspect.safetensors"),
        labels=str(folder / "labels.txt"),
    )


@pytest.fixture
def case(inputs, tmp_path):
    """An open case of those 40 pairs, without trusted model, segmenter, truth or test set."""
    from clipforensics.cases.case import Case

    return Case.create(tmp_path / "case", inputs)
