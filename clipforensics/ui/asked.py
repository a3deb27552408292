"""What a link asks of the Map page that cannot be had: said once, since the page opens without it."""

import math
from collections.abc import Callable
from typing import Any

import streamlit as st

from clipforensics.config.detect import DETECTOR_TITLES, DensitySettings, ReferenceSettings
from clipforensics.errors import ForensicsError
from clipforensics.ui import cutview, scanned

SHOWN = 40  # characters of a value


def left_out(case: Any) -> list[str]:
    """Name the address's values that fit nothing here, in one line; call it before any widget.

    Returns:
        Their names. Values that name no setting of this page are nobody's business.
    """
    given = st.query_params.to_dict()
    bad = [name for name, fits in _fitting(case).items() if name in given and not fits(given[name])]
    if bad:
        named = ", ".join(f"{name}={_short(given[name])}" for name in bad)
        st.text(f"Left out of the address, since nothing here fits it: {named}.")
    return bad


def _fitting(case: Any) -> dict[str, Callable[[str], bool]]:
    """For each name that the page reads, whether a value can be used."""
    titles = {*DETECTOR_TITLES, *DETECTOR_TITLES.values()}
    return {
        "detector": titles.__contains__,
        "k": lambda text: _setting(DensitySettings, "k", text),
        "draws": lambda text: _setting(ReferenceSettings, "draws", text),
        "reference_size": lambda text: (
            _whole(text) == 0 or _setting(ReferenceSettings, "reference_size", text)
        ),
        **dict.fromkeys(("normalize", "collapse", "as.scan"), ("true", "false").__contains__),
        "cut.by": cutview.WAYS.__contains__,
        "cut": lambda text: _between(text, 90, 99.9),
        "budget": lambda text: 1 <= _whole(text) <= len(case.pairs),
        "false.rate": lambda text: _between(text, 0.01, 50),
        "page": lambda text: _whole(text) >= 1,
        "sel": lambda text: not text or has_selection(case, text),
        "near": lambda text: not text or scanned.row_of(case, text) is not None,
    }


def has_selection(case: Any, name: str) -> bool:
    """Whether a selection of this id is kept in the case."""
    try:
        case.store.selection(name)
    except ForensicsError:
        return False
    return True


def _setting(kind: Any, name: str, text: str) -> bool:
    from clipforensics.config.settings import parse

    try:
        parse(kind, {name: _whole(text)})
    except ForensicsError:
        return False
    return True


def _whole(text: str) -> int:
    """A whole number; -1 where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _between(text: str, low: float, high: float) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and low <= value <= high


def _short(text: str) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in text[:SHOWN])
    return shown + ("…" if len(text) > SHOWN else "")
