"""Whether the trusted model knows the labels well enough to acquit or to convict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipforensics.oracle.rates import wilson

LEAST_OF_LABEL = 20
"""Clean pictures that name a label, from which its own recall is asked for; else that of all labels."""


@dataclass(frozen=True)
class Recall:
    """On how many clean pictures, of those asked about, the trusted model names what the caption does."""

    right: int
    asked: int
    of_label: bool  # False: over all labels

    def below(self, limit: float) -> bool:
        """Whether it surely is: Wilson's upper 95 % end is under the limit; False of no pictures."""
        return wilson(self.right, self.asked)[1] < limit

    def told(self, label: str) -> str:
        """As the beginning of a sentence."""
        what = label if self.of_label else "any label"
        return (
            f"of {self.asked:,} clean pictures whose captions name {what} the trusted model names "
            f"{self.right:,} rightly"
        )


def trusted_recall(
    named: Sequence[frozenset[str]], answers: np.ndarray, names: Sequence[str], label: str
) -> Recall:
    """The trusted model's recall on clean pictures: top-1 among the labels, any named one is right.

    A model that does not know a label answers it to no paste, and would turn every crop that moves
    the suspect into a trigger. Captions are taken as true: where many are not, or name a thing that
    is hardly seen, recall comes out too low, and the limit is to be lowered.

    Args:
        named: the labels that each picture's caption names.
        answers: the trusted model's, int [n]: places in `names`.
        names: all labels.
        label: the one to be judged; its own pictures are taken where there are at least 20.
    """
    right = [
        (label in those, names[int(answer)] in those)
        for those, answer in zip(named, answers, strict=True)
        if those
    ]
    own = [hit for of_label, hit in right if of_label]
    if len(own) >= LEAST_OF_LABEL:
        return Recall(sum(own), len(own), of_label=True)
    return Recall(sum(hit for _, hit in right), len(right), of_label=False)
