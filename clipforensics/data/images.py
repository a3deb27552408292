"""Pictures at the door: decode what may be hostile, bound it, bring it into the model's frame."""

import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from clipforensics.errors import DataError

MAX_PIXELS = 64_000_000
"""Pictures larger than this (8,000 x 8,000) are refused before they are decoded."""
MAX_PICTURE_BYTES = 256_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Pillow goes by content, not by name, and knows formats that start other programs (EPS)."""


def read_picture(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode one picture file: uint8 [height, width, 3] RGB, first frame, alpha laid on white.

    Raises:
        DataError: the file is missing, truncated, no picture, or larger than `max_pixels`.
    """
    content = content_of(Path(path))
    return decode_picture(content, name=str(path), max_pixels=max_pixels)


def content_of(path: Path) -> bytes:
    """The bytes of a picture file. Raises DataError when it is none, too large or unreadable."""
    try:
        if not path.is_file():  # a named pipe would never end
            raise DataError(f"No picture at {path}. Put the file there, or remove its row.")
        if path.stat().st_size > MAX_PICTURE_BYTES:
            raise DataError(f"{path} is larger than {MAX_PICTURE_BYTES:,} bytes. Remove its row.")
        return path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}. Check the file.") from None


def decode_picture(
    content: bytes, name: str = "picture", max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decode the bytes of one picture; see `read_picture`. `name` is only for the message."""
    try:
        with warnings.catch_warnings():
            # the size is checked below, by our own and lower limit
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise _too_large(name, f"{width:,} x {height:,}", max_pixels)
                picture.seek(0)
                return np.array(_on_white(picture))
    except DataError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, reached while opening
        raise _too_large(name, "far too many", max_pixels) from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is no {', '.join(FORMATS)} picture. Remove its row.") from None
    # Pillow's decoders raise almost anything on a damaged file; each of these means just that
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError,
            MemoryError, TypeError, AttributeError, ZeroDivisionError) as problem:  # fmt: skip
        raise DataError(
            f"{name} is damaged or truncated ({type(problem).__name__}). "
            "Restore the file, or remove its row."
        ) from None


def to_frame(picture: np.ndarray, side: int) -> np.ndarray:
    """Short side to `side` (bicubic, antialiased), then the centre `side` x `side`. uint8.

    Every picture takes this road, clean or poisoned, so that the trigger is the only difference
    between them (the released code of Huang et al., 2025, squashes only the poisoned ones). A
    picture that already is `side` x `side` comes back unchanged, bit for bit.
    """
    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    short = min(height, width)
    size = max(side, round(width * side / short)), max(side, round(height * side / short))
    # a sliver like 1 x 60,000 would grow past all bounds: cut to the centre before resizing
    if max(size) > 8 * side:
        picture = _centre(picture, min(width, 8 * short), min(height, 8 * short))
        height, width = picture.shape[:2]
        size = max(side, round(width * side / short)), max(side, round(height * side / short))
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
    return np.ascontiguousarray(_centre(np.asarray(resized), side, side))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write uint8 [height, width, 3] losslessly and all at once.

    Raises:
        DataError: the name's suffix is not .png; lossy files weaken triggers.
    """
    if path.suffix.lower() != ".png":
        raise DataError(f"Pictures are stored losslessly as .png, got {path.name}. Rename it.")
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then rename it: a reader never sees a half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)  # mkstemp's own 0600 would lock a colleague out
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def thumbnail(picture: np.ndarray, longest: int = 192) -> bytes:
    """A WebP of quality 80 for the screen; small pictures are enlarged without smoothing."""
    image = Image.fromarray(picture)
    scale = longest / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    buffer = io.BytesIO()
    image.resize(size, way).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def _too_large(name: str, size: str, max_pixels: int) -> DataError:
    return DataError(
        f"{name} has {size} pixels; at most {max_pixels:,} are decoded. "
        "Shrink the picture, or remove its row."
    )


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        return Image.alpha_composite(white, layers).convert("RGB")
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        wide = np.asarray(picture, np.float64)
        span = float(np.ptp(wide)) or 1.0
        return Image.fromarray(((wide - wide.min()) / span * 255).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def _centre(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
