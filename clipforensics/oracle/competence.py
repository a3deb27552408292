"""Whether the trusted model knows the labels well enough to acquit or to convict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipforensics.config.oracle import JudgeSettings
from clipforensics.oracle.rates import wilson

UNDECIDED = ("untested", "unjudged")
"""Statuses of a paste test that acquit nothing: nobody could look."""
LEAST_OBJECTS = 5
"""Real objects that flip the suspect, from which the trusted model's part in them counts."""
LEAST_OF_LABEL = 20
"""Clean pictures that name a label, from which its own recall is asked for; else that of all labels."""


@dataclass(frozen=True)
class Recall:
    """On how many clean pictures, of those asked about, the trusted model names what the caption does.

    Raises:
        ValueError: the counts contradict each other.
    """

    right: int
    asked: int
    of_label: bool  # False: over all labels

    def __post_init__(self) -> None:
        _check_counts(self.right, self.asked)

    def too_low(self, limits: JudgeSettings) -> bool:
        """Whether it surely is: Wilson's upper 95 % end is under the limit; False of no pictures.

        A label's own has a lower limit, since poison of this label lowers it: its captions name what
        the pictures do not show.
        """
        limit = limits.label_recall if self.of_label else limits.judge_recall
        return wilson(self.right, self.asked)[1] < limit

    def told(self, label: str) -> str:
        """As the beginning of a sentence."""
        what = label if self.of_label else "any label"
        return (
            f"of {self.asked:,} clean pictures whose captions name {what} the trusted model names "
            f"{self.right:,} rightly"
        )


@dataclass(frozen=True)
class Objects:
    """Real objects of a label under the paste test: positive controls of the trusted model.

    Knowing a label in whole pictures is not knowing it pasted. With 10 % noise on its weights a
    trusted model named 40 of 60 hamburgers, and on the paste of a real one that flips a sound
    suspect it answered so in 6 of 13 cases only: the other seven would have been called triggers.

    Raises:
        ValueError: the counts contradict each other.
    """

    working: int  # real objects whose paste flips the suspect as often as a trigger must
    known: int  # of these, for how many the trusted model flips as well, as an object should
    left_out: int = 0  # that work, too, but are the candidate itself or do what it does

    def __post_init__(self) -> None:
        _check_counts(self.known, self.working)
        _check_counts(0, self.left_out)

    @property
    def tell(self) -> bool:
        """Whether there are enough to say anything."""
        return self.working >= LEAST_OBJECTS

    def below(self, limit: float) -> bool:
        """Whether fewer than this share are known; False where fewer than 5 work."""
        return self.tell and self.known < limit * self.working

    def told(self, label: str) -> str:
        """As the beginning of a sentence."""
        besides = f" ({self.left_out:,} more are alike to the candidate)" * (self.left_out > 0)
        if not self.tell:
            return (
                f"only {self.working:,} crops of pictures whose captions name {label} turn the suspect "
                f"when pasted likewise{besides}: too few to check the trusted model on real objects"
            )
        return (
            f"of {self.working:,} crops of pictures whose captions name {label} that turn the suspect "
            f"when pasted likewise{besides}, the trusted model knows {self.known:,}"
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
        label: the one to be judged; the pictures whose captions name it alone are taken where there
            are at least 20. (Beside another label either answer is right, which says little of one.)
    """
    right = [
        (those == {label}, names[int(answer)] in those)
        for those, answer in zip(named, answers, strict=True)
        if those
    ]
    own = [hit for of_label, hit in right if of_label]
    if len(own) >= LEAST_OF_LABEL:
        return Recall(sum(own), len(own), of_label=True)
    return Recall(sum(hit for _, hit in right), len(right), of_label=False)


def _check_counts(part: int, whole: int) -> None:
    """Kept evidence is read back into these; counts that nobody can have counted are damage."""
    if type(part) is not int or type(whole) is not int or not 0 <= part <= whole:
        raise ValueError(f"{part!r} of {whole!r} is no count")
