"""What every attack answers, and the generator each row draws from."""

import hashlib
from typing import Protocol

import numpy as np

Box = tuple[int, int, int, int]


class Attack(Protocol):
    """Stamps framed pictures with one trigger. At strength 0 the base comes back bit for bit."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of whatever all stamped pictures share: a pattern, a wave, a warp, a colour map."""
        ...

    def stamp(self, base: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Box | None]:
        """A stamped copy of uint8 [side, side, 3], and the half-open box (None: whole picture)."""
        ...


def row_generator(seed: int, row_id: str) -> np.random.Generator:
    """The generator of one row: independent of row order, workers and resumption.

    The released code of Huang et al. (2025) draws from the global generator in row order, so a
    shuffled table is another poisoning; ours is the same one.
    """
    return np.random.default_rng([seed, row_number(row_id)])


def row_number(row_id: str) -> int:
    """The first 8 bytes of an id's SHA-256, which seed its row's generator together with the seed."""
    return int.from_bytes(digest_of(row_id)[:8], "big")


def digest_of(text: str) -> bytes:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def hash_of_pixels(picture: np.ndarray) -> str:
    """SHA-256 of decoded pixels, or of any other array, together with their shape."""
    return hashlib.sha256(str(picture.shape).encode() + picture.tobytes()).hexdigest()


def to_levels(values: np.ndarray) -> np.ndarray:
    """Float grey levels rounded and clipped to uint8; the released codes truncate instead."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
