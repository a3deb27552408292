"""Augmented captions ("easy data augmentation"), drawn by (seed, epoch, stream, view, row).

The released SafeCLIP draws two fixed variants per caption for the whole run, lower-cases, drops
all but a to z, and crashes on captions without Latin letters. Ours draws afresh, keeps every
script, and is never empty. Synonyms need WordNet on disk and are left out.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

CHANGE_SHARE = 0.1


class CaptionViews:
    """Captions as words of token ids, so that a changed caption needs no new tokenization."""

    def __init__(
        self, captions: Sequence[str], tokenize: Callable[[list[str]], torch.Tensor]
    ) -> None:
        """Split and tokenize every distinct word once.

        Args:
            captions: raw captions.
            tokenize: texts to int64 [n, context] with begin and end tokens and padding by 0.
        """
        known: dict[str, list[int]] = {}
        empty = tokenize([""])[0]
        self._begin, self._end = int(empty[0]), int(empty[1])
        self._context = len(empty)
        words = sorted({word for caption in captions for word in caption.split()})
        for start in range(0, len(words), 4096):
            part = words[start : start + 4096]
            for word, ids in zip(part, tokenize(part).tolist(), strict=True):
                known[word] = ids[1 : ids.index(self._end)]
        self._words = [[known[word] for word in caption.split()] for caption in captions]

    def tokens(self, rows: np.ndarray, draws: np.ndarray) -> torch.Tensor:
        """One variant of each row's caption, int64 [len(rows), context].

        Args:
            rows: int64 [b].
            draws: float32 [b, at least 2] in [0, 1); they decide everything.
        """
        out = torch.zeros(len(rows), self._context, dtype=torch.int64)
        for i, row in enumerate(rows):
            rng = np.random.Philox(key=int(draws[i, 0] * 2**24) << 24 | int(draws[i, 1] * 2**24))
            words = changed(self._words[row], np.random.Generator(rng))
            ids = [token for word in words for token in word][: self._context - 2]
            out[i, : len(ids) + 2] = torch.tensor([self._begin, *ids, self._end])
        return out


def changed(words: list, rng: np.random.Generator) -> list:
    """Insert, swap or delete about a tenth of the words; one word or none stays as it is."""
    if len(words) < 2:
        return words
    words, n = list(words), max(1, round(CHANGE_SHARE * len(words)))
    way = rng.integers(3)
    if way == 0:
        for _ in range(n):
            words.insert(int(rng.integers(len(words) + 1)), words[int(rng.integers(len(words)))])
    elif way == 1:
        for _ in range(n):
            a, b = rng.choice(len(words), 2, replace=False)
            words[a], words[b] = words[b], words[a]
    else:
        kept = [word for word in words if rng.random() >= CHANGE_SHARE]
        words = kept or [words[int(rng.integers(len(words)))]]
    return words
