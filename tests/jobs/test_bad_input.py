"""What the oracle makes of odd pictures, wrong weights and useless labels: an answer, or one sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipforensics.cases.case import Case
from clipforensics.errors import CaseError, ConfigError, DataError, ModelError
from clipforensics.jobs.hunting import triggers
from clipforensics.jobs.hunting.examiner import load_examiner
from clipforensics.jobs.hunting.examining import inspect, screen
from clipforensics.models.weights import save_state


def _noise(mode: str) -> Image.Image:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _animated(path: Path) -> None:
    frames = [_noise("L").point(lambda v, by=by: (v + by) % 256) for by in (0, 90, 180)]
    frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])


ODD = {
    "1 x 1": lambda path: Image.new("RGB", (1, 1), "red").save(path, "PNG"),
    "1 x 3,000": lambda path: Image.new("RGB", (1, 3000), "red").save(path, "PNG"),
    "one colour": lambda path: Image.new("RGB", (50, 50), "white").save(path, "PNG"),
    "grey": lambda path: _noise("L").save(path, "PNG"),
    "16-bit grey": lambda path: Image.fromarray(
        np.arange(2500, dtype=np.uint16).reshape(50, 50) * 20
    ).save(path, "PNG"),
    "CMYK": lambda path: _noise("CMYK").save(path, "JPEG"),
    "alpha": lambda path: _noise("RGBA").save(path, "PNG"),
    "all transparent": lambda path: Image.new("RGBA", (40, 40)).save(path, "PNG"),
    "palette": lambda path: _noise("P").save(path, "PNG"),
    "animated": _animated,
}
HUGE = len(ODD)
"""Row of the picture of 10,000 x 10,000 pixels."""


@pytest.fixture
def settings(inputs, tmp_path, weights_folder):
    """Settings with a trusted model and a small SAM; the first pictures are odd ones."""
    import torch

    from clipforensics.oracle.small_sam import small_sam

    pictures = Path(inputs.data).parent / "pictures"
    for row, write in enumerate(ODD.values()):
        write(pictures / f"{row:03d}.png")
    Image.new("1", (10_000, 10_000)).save(pictures / f"{HUGE:03d}.png", "PNG")
    torch.manual_seed(0)
    save_state(tmp_path / "sam.safetensors", small_sam().state_dict())
    return inputs.model_copy(
        update={
            "trusted_model": inputs.model,
            "trusted_weights": str(weights_folder / "trusted.safetensors"),
            "segmenter": "small",
            "segmenter_weights": str(tmp_path / "sam.safetensors"),
        }
    )


def test_odd_pictures_are_inspected_and_screened_like_any_other(settings, tmp_path):
    case = Case.create(tmp_path / "case", settings)
    examiner = load_examiner(case)
    for row, name in enumerate(ODD):
        found = inspect(case, row, examiner)
        assert found.regions[-1].source == "whole", name
        assert np.isfinite(found.p_trusted).all(), name
        assert np.isfinite(found.p_suspect).all(), name
        shape = (examiner.suspect.side,) * 2
        assert all(region.mask.shape == shape for region in found.regions), name
    assert screen(case, 0, examiner) == []


def test_a_picture_too_large_to_decode_is_one_sentence(settings, tmp_path):
    case = Case.create(tmp_path / "case", settings)
    examiner = load_examiner(case)
    for look in (inspect, screen):
        with pytest.raises(DataError, match=r"10,000 x 10,000 pixels; at most 64,000,000"):
            look(case, HUGE, examiner)
    assert not list((case.dir / "evidence").glob("inspections/*"))


@pytest.mark.parametrize(
    ("kind", "spoil", "message"),
    [
        ("small", "clip", "does not fit the small SAM"),
        ("vit_b", None, "does not fit the vit_b SAM"),
        ("small", "cut", "damaged|refused"),
        ("small", "gone", "No SAM weights at"),
    ],
)
def test_a_wrong_segmenter_stops_the_case_at_the_door(settings, tmp_path, kind, spoil, message):
    weights = Path(settings.segmenter_weights)
    if spoil == "clip":
        weights = Path(settings.weights)
    elif spoil == "cut":
        weights.write_bytes(weights.read_bytes()[:40_000])
    elif spoil == "gone":
        weights.unlink()
    wrong = settings.model_copy(update={"segmenter": kind, "segmenter_weights": str(weights)})
    with pytest.raises(ModelError, match=message):
        Case.create(tmp_path / "case", wrong)
    assert not (tmp_path / "case" / "case.json").exists()


def test_one_label_can_be_forced_on_nobody_and_is_refused(settings, tmp_path):
    Path(settings.labels).write_text("dog\n")
    case = Case.create(tmp_path / "case", settings)
    with pytest.raises(ConfigError, match="one label"):
        load_examiner(case)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trusted_model": None, "trusted_weights": None}, CaseError, "no trusted model"),
        ({"segmenter": None, "segmenter_weights": None}, CaseError, "no segmenter"),
        ("one label", ConfigError, "one label"),
        ("gone", CaseError, "sam.safetensors is missing"),
    ],
)
def test_a_hunt_asks_for_what_it_needs_before_it_embeds(
    settings, tmp_path, monkeypatch, change, error, message
):
    monkeypatch.setattr(triggers, "embed", lambda *a: pytest.fail("it embeds first"))
    if change == "one label":
        Path(settings.labels).write_text("dog\n")
    asked = settings.model_copy(update=change) if isinstance(change, dict) else settings
    case = Case.create(tmp_path / "case", asked)
    if change == "gone":
        Path(settings.segmenter_weights).unlink()
    with pytest.raises(error, match=message):
        triggers.hunt(case)


def test_labels_that_appear_twice_are_refused(settings, tmp_path):
    Path(settings.labels).write_text("dog\ncat\nDog\n")
    with pytest.raises(DataError, match="1 label appears more than once"):
        Case.create(tmp_path / "case", settings)


def test_the_suspect_may_not_be_its_own_judge_under_another_name(settings, tmp_path):
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(Path(settings.weights).read_bytes())
    with pytest.raises(ModelError, match="is the suspect itself"):
        Case.create(tmp_path / "case", settings.model_copy(update={"trusted_weights": str(twin)}))
