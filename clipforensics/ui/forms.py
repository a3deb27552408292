"""Forms drawn from settings: label, bounds, default and help come from the fields themselves."""

import math
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo
from streamlit.errors import StreamlitAPIException

from clipforensics.config.settings import Settings, parse
from clipforensics.errors import ConfigError
from clipforensics.ui import shell

S = TypeVar("S", bound=Settings)


def settings_form(
    kind: type[S],
    key: str,
    *,
    only: Iterable[str] | None = None,
    values: Mapping[str, Any] | None = None,
    choices: Mapping[str, list[str]] | None = None,
    columns: int = 2,
) -> S:
    """Draw one widget per field and return validated settings.

    Args:
        kind: the settings class.
        key: prefix of every widget's key; the field's name follows it.
        only: fields to draw, in this order; the others keep `values` or their defaults.
        values: values that replace the defaults.
        choices: fields drawn as a choice among these strings (labels of a case, say).
        columns: widgets side by side.

    Raises:
        ConfigError: the widgets' values do not make valid settings.
    """
    given = dict(values or {})
    names = list(only) if only is not None else list(kind.model_fields)
    slots = st.columns(columns)
    for place, name in enumerate(names):
        field = kind.model_fields[name]
        start = given.get(name, _default(field))
        with slots[place % columns]:
            options = (choices or {}).get(name)
            given[name] = _widget(name, field, start, f"{key}.{name}", options)
    return parse(kind, given)


def widget(kind: type[Settings], name: str, key: str, start: Any = None, **more: Any) -> Any:
    """The widget of one field, at `start` or its default; for pages that lay a form out themselves.

    A bounded number box keeps what is out of range to itself, and the page would go on with the
    value before. So boxes have no bounds and the settings refuse, in a sentence; `bounded=True` is
    for a box that a link can fill, where Streamlit drops what is out of range.
    """
    field = kind.model_fields[name]
    return _widget(name, field, _default(field) if start is None else start, key, None, **more)


def refusal(kind: type[Settings], values: Mapping[str, Any]) -> str | None:
    """Why these values are no settings, in a sentence that is on screen already; None where they are."""
    try:
        parse(kind, values)
    except ConfigError as problem:
        shell.complain(problem)
        return str(problem)


def link_by_id(key: str, titles: Mapping[str, str]) -> None:
    """Let a link name an option by its id; call it before the widget that is bound to `key`.

    Streamlit binds what `format_func` shows, so that `?detector=lof` would be dropped. An id in the
    address becomes its title, and the page is drawn again; anything else is left to Streamlit.
    """
    title = titles.get(st.query_params.get(key, ""))
    if title is None or title == st.query_params[key]:
        return
    try:
        st.query_params[key] = title
    except StreamlitAPIException:
        return  # the widget lives already, and its value rules the address
    st.rerun()


def _default(field: FieldInfo) -> Any:
    """The field's default; None where a value must be given."""
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _widget(
    name: str,
    field: FieldInfo,
    start: Any,
    key: str,
    options: list[str] | None,
    bounded: bool = False,
    **more: Any,
) -> Any:
    label = field.title or name.replace("_", " ").capitalize()
    given: dict[str, Any] = {"key": key, "help": field.description, **more}
    kind = _kind(field.annotation)
    options = options or _options(kind)
    if options:
        at = options.index(start) if start in options else 0
        return st.selectbox(label, options, at, **given)
    if kind is bool:
        return st.toggle(label, bool(start), **given)
    low, high = _bounds(field) if bounded else (None, None)
    if kind is int:
        return st.number_input(
            label, _whole(low), _whole(high), None if start is None else int(start), 1, **given
        )
    if kind is float:
        return st.number_input(
            label, low, high, None if start is None else float(start), format="%.5g",
            step=_step(start), **given,
        )  # fmt: skip
    if kind is _ALL_OR_INT:
        return _all_or_number(label, start, given)
    if kind is Path or kind is str:
        text = st.text_input(label, "" if start is None else str(start), **given).strip()
        return text or None if _optional(field.annotation) else text
    return start  # a structured field keeps its default: forms draw plain values only


_ALL_OR_INT = object()


def _kind(annotation: Any) -> Any:
    """The plain type behind Optional, Literal and unions with "all"."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [one for one in get_args(annotation) if one is not type(None)]
        words = [one for one in inner if get_origin(one) is Literal or one is str]
        if int in inner and words:
            return _ALL_OR_INT
        return inner[0] if len(inner) == 1 else None
    return annotation


def _optional(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _options(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return []


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for limit in field.metadata:
        low = getattr(limit, "ge", low)
        high = getattr(limit, "le", high)
    return (None if low is None else float(low)), (None if high is None else float(high))


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _step(start: Any) -> float:
    """A step of at most a tenth of the value, as a power of ten."""
    size = abs(float(start or 0.1))
    return 10.0 ** (math.floor(math.log10(size)) - (1 if size >= 1 else 0))


def _all_or_number(label: str, start: Any, given: dict[str, Any]) -> int | str:
    """A number of rows, or all of them."""
    given = {**given, "help": f"{given['help'] or ''} 0 means all.".strip()}
    number = st.number_input(label, 0, None, 0 if start == "all" else int(start), 256, **given)
    return number or "all"
