"""The zero-shot label set: names and prompt templates, and which labels a caption names."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipforensics.errors import ConfigError, DataError

DEFAULT_TEMPLATES = ("a photo of a {}.", "a picture of a {}.", "an image of a {}.")
MAX_LABELS = 100_000
MAX_LABEL_LENGTH = 200


@dataclass(frozen=True)
class LabelSet:
    """Names in a fixed order, and templates with one `{}` each.

    Raises:
        DataError: no label, a duplicate, a blank one, or a template without `{}`.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = DEFAULT_TEMPLATES

    def __post_init__(self) -> None:
        if not self.names:
            raise DataError("The label set is empty. Write one label per line.")
        twice = [
            name for name, count in Counter(map(str.casefold, self.names)).items() if count > 1
        ]
        if twice:
            what = "1 label appears" if len(twice) == 1 else f"{len(twice):,} labels appear"
            raise DataError(
                f"{what} more than once (first: {twice[0]!r}). Keep each once: case does not count."
            )
        if any(template.count("{}") != 1 for template in self.templates) or not self.templates:
            raise DataError("Every prompt template needs exactly one {} for the label.")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Position of a label.

        Raises:
            ConfigError: the label is not in the set.
        """
        try:
            return self._positions[name]
        except KeyError:
            near = ", ".join(self.names[:5])
            raise ConfigError(
                f"The label {name!r} is not among the {len(self)} labels ({near}, …). "
                "Choose one of them, or add it to the labels file."
            ) from None

    def prompts(self, name: str) -> list[str]:
        """The label in every template."""
        return [template.replace("{}", name) for template in self.templates]

    def named_in(self, caption: str) -> list[str]:
        """Labels the caption names, in label order: whole words, case-folded, plural allowed."""
        return [self._folded[found] for found in dict.fromkeys(self._find(caption))]

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {name.casefold(): name for name in self.names}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # longest first, so that "traffic light" wins over "light"
        words = sorted(map(re.escape, self._folded), key=len, reverse=True)
        return re.compile(rf"(?<!\w)({'|'.join(words)})(?:s|es)?(?!\w)")

    def _find(self, caption: str) -> list[str]:
        return self._pattern.findall(caption.casefold())


def names_in(caption: str, labels: LabelSet) -> list[str]:
    """See `LabelSet.named_in`."""
    return labels.named_in(caption)


def read_labels(path: Path) -> LabelSet:
    """Read labels, one per line; lines `template: …` give prompt templates, `#` begins a comment.

    Raises:
        DataError: the file is missing, empty, not UTF-8 text, or has duplicate labels.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(
            f"No labels file at {path}. Give a text file, one label per line."
        ) from None
    except (UnicodeDecodeError, OSError):
        raise DataError(f"{path} is not UTF-8 text. Save the labels one per line.") from None
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    templates = [line.removeprefix("template:").strip() for line in lines if _is_template(line)]
    names = [line for line in lines if not _is_template(line)]
    if not names:
        raise DataError(f"{path} holds no label. Write one label per line.")
    if len(names) > MAX_LABELS or max(map(len, names)) > MAX_LABEL_LENGTH:
        raise DataError(
            f"{path} does not look like a label list: at most {MAX_LABELS:,} labels of "
            f"{MAX_LABEL_LENGTH} characters are read. Give one label per line."
        )
    return LabelSet(tuple(names), tuple(templates) or DEFAULT_TEMPLATES)


def refuse_single(labels: LabelSet) -> None:
    """Refuse a label set in which no label could be wrong.

    Raises:
        ConfigError: there is only one label.
    """
    if len(labels) < 2:
        raise ConfigError(
            f"The label set holds one label ({labels.names[0]!r}): the suspect can answer nothing "
            "else, so no trigger could show. Add labels of other things the pictures show."
        )


def _is_template(line: str) -> bool:
    return line.startswith("template:")
