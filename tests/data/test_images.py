"""Pictures at the door."""

import io

import numpy as np
import pytest
from PIL import Image

from clipforensics.data.images import (
    decode_picture,
    read_picture,
    thumbnail,
    to_frame,
    write_bytes,
    write_png,
)
from clipforensics.errors import DataError


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_comes_back_bit_for_bit(tmp_path, rng):
    picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), picture)


def test_alpha_lies_on_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (decode_picture(encoded(clear)) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_mode_becomes_three_channels(mode):
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    picture = decode_picture(encoded(Image.new(mode, (5, 7)), kind))
    assert picture.shape == (7, 5, 3)
    assert picture.dtype == np.uint8


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decode_picture(content)[0, 0]) == (255, 0, 0)


def test_a_missing_picture_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="No picture at .*gone.png"):
        read_picture(tmp_path / "gone.png")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_truncated_picture_is_refused(kind, share, rng):
    whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    with pytest.raises(DataError, match=r"damaged|no picture"):
        decode_picture(whole[: int(len(whole) * share)])


def test_noise_and_nothing_are_no_pictures(rng):
    for content in (b"", b"\x89PNG\r\n\x1a\n", rng.bytes(500)):
        with pytest.raises(DataError):
            decode_picture(content)


def test_a_bomb_is_refused_before_it_is_decoded():
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    with pytest.raises(DataError, match="at most 64,000,000"):
        decode_picture(bomb)


def test_a_picture_of_the_right_side_is_left_alone(rng):
    picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert to_frame(picture, 64) is picture


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (64, 96), (200, 131), (63, 64)])
def test_every_shape_is_framed(shape, rng):
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert to_frame(picture, 64).shape == (64, 64, 3)


def test_the_frame_is_the_centre():
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = 200
    assert (to_frame(wide, 64) == 200).all()


def test_lossy_names_are_refused(tmp_path):
    with pytest.raises(DataError, match="losslessly"):
        write_png(tmp_path / "a.jpg", np.zeros((4, 4, 3), np.uint8))


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(tmp_path / "a.bin", b"abc")
    assert list(tmp_path.iterdir()) == []


def test_a_thumbnail_is_small_and_webp(rng):
    content = thumbnail(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8))
    with Image.open(io.BytesIO(content)) as small:
        assert (small.format, small.size) == ("WEBP", (96, 192))


def test_a_format_that_starts_another_program_is_refused_by_content(monkeypatch):
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", started)
    for content in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    ):
        with pytest.raises(DataError, match="is no PNG"):
            decode_picture(content, name="harmless.png")
