"""Results on stdout, everything else on stderr."""

import json
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer

from clipforensics.errors import ConfigError

STILL_SECONDS = 30.0

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def answer(result: Mapping[str, Any], as_json: bool) -> None:
    """Print a result: one JSON object, or one line per fact."""
    if as_json:
        sys.stdout.write(json.dumps(result, default=_plain, allow_nan=False) + "\n")
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        sys.stdout.write(f"{printable(name):<{width}}  {_readable(value)}\n")


def table(rows: Sequence[Mapping[str, str]]) -> None:
    """Print lines that have the same columns, each as wide as its longest entry."""
    names = list(rows[0]) if rows else []
    lines = [names, *([printable(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def printable(text: str) -> str:
    """Text with every control, format and private sign escaped: labels and ids are the attacker's.

    Printed raw they could move the cursor, rename the window, or turn what stands after them around.
    """
    return "".join(
        one if one == "\n" or unicodedata.category(one)[0] != "C"
        else one.encode("unicode_escape").decode()
        for one in text
    )  # fmt: skip


def change(text: str) -> tuple[str, Any]:
    """A setting given as name=value; the value is JSON, else text.

    Raises:
        ConfigError: there is no equals sign.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f"--set needs name=value, got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def progress_line() -> Callable[..., None]:
    """A progress callback (step, total, message) that says rate and time left, once a second.

    A stage whose length is unknown (a total of 0) is named once, and one that stands still only every
    half minute.
    """
    state = {"message": "", "began": 0.0, "from": 0, "said": float("-inf"), "step": -1}

    def tell(step: int, total: int, message: str = "", **figures: Any) -> None:
        now, is_new = time.monotonic(), message != state["message"]
        if is_new or step < state["from"]:
            state.update({"message": message, "began": now, "from": step, "said": float("-inf")})
        if not total and not figures:
            if is_new:
                sys.stderr.write(f"{message}\n")
            return
        still = step == state["step"] and not figures
        if now - state["said"] < (STILL_SECONDS if still else 1 if step < total else 0):
            return
        state.update({"said": now, "step": step})
        done, seconds = step - state["from"], now - state["began"]
        pace = (
            f", {_pace(done / seconds)}/s, {(total - step) * seconds / done:,.0f} s left"
            if done > 0 and seconds > 0
            else ""
        )
        shown = "".join(f", {name} {_readable(value)}" for name, value in figures.items())
        sys.stderr.write(f"{message}: {step:,} of {total:,}{pace}{shown}\n")

    return tell


def _pace(rate: float) -> str:
    """A rate; below 10 its tenths count."""
    return f"{rate:,.1f}" if rate < 10 else f"{rate:,.0f}"


def never() -> bool:
    """The command line is stopped by Ctrl-C, not by asking."""
    return False


def unlike_in_kind(what: str) -> str:
    """What to say of clean rows or pairs that are not like the scored ones."""
    return (
        f"These clean {what} are of another kind than the scored ones, by more than poison explains: "
        f"the rates hold for such {what}, and promise nothing here. Take clean {what} from the same "
        "source."
    )


def _readable(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_readable(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        shown = ", ".join(_readable(one) for one in value[:10])
        return f"{shown}, … ({len(value):,})" if len(value) > 10 else shown or "none"
    return printable(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)
