"""Whether the trusted model knows the labels well enough to acquit or to convict."""

from collections.abc import Sequence
from dataclasses import dataclass

from clipforensics.oracle.pasting import CleanSet
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


def trusted_recall(clean: CleanSet, names: Sequence[str], label: str) -> Recall:
    """The trusted model's recall on clean pictures: top-1 among the labels, any named one is right.

    A model that does not know a label answers it to no paste, and would turn every crop that moves
    the suspect into a trigger. Captions are taken as true: where many are not, or name a thing that
    is hardly seen, recall comes out too low, and the limit is to be lowered.

    Args:
        clean: with the labels that each caption names, and the trusted model's answers.
        names: all labels, in the order of the answers.
        label: the one to be judged; its own pictures are taken where there are at least 20.
    """
    right = [
        (label in named, names[int(answer)] in named)
        for named, answer in zip(clean.named, clean.trusted_before, strict=True)
        if named
    ]
    own = [hit for of_label, hit in right if of_label]
    if len(own) >= LEAST_OF_LABEL:
        return Recall(sum(own), len(own), of_label=True)
    return Recall(sum(hit for _, hit in right), len(right), of_label=False)
