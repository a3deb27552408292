"""Galleries: at most 48 thumbnails a page, each with its caption, score, neighbours and pick."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from clipforensics.ui import cache, picks

PER_PAGE = 24
COLUMNS = 6


def gallery(
    case: Any, rows: np.ndarray, ranking: Any, key: str, reason: str = "map", near: bool = True
) -> None:
    """A page of pairs, in the order given, with pagination in the URL.

    Args:
        case: the case; captions and ids come from it and are shown as plain text.
        rows: int64 [m].
        ranking: scores and percentile ranks.
        key: name of the page number in the URL.
        reason: where a pick comes from, for the log.
        near: whether the page can show a pair's neighbours.
    """
    pages = max(1, -(-len(rows) // PER_PAGE))
    if pages > 1:
        page = st.pagination(pages, key=key, bind="query-params")
    else:
        page = 1
    shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
    verdicts = case.store.current("sample")
    for start in range(0, len(shown), COLUMNS):
        for slot, row in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with slot:
                _card(case, int(row), ranking, verdicts, key, reason, near)


def strip(
    case: Any,
    rows: Sequence[int] | np.ndarray,
    notes: Sequence[str],
    below: Callable[[int], None] | None = None,
) -> None:
    """One row of pictures, each with its caption and a note, and whatever `below` draws of its row."""
    for slot, row, note in zip(st.columns(max(8, len(rows))), rows, notes, strict=False):
        with slot:
            picture(case, int(row))
            st.text(case.pairs.captions[row][:80])
            st.caption(note)
            if below is not None:
                below(int(row))


def picture(case: Any, row: int) -> None:
    """One thumbnail; a picture that cannot be read says so."""
    content = cache.thumbnail(case, row)
    if content is None:
        st.warning("Cannot be read", icon=":material/broken_image:")
    else:
        st.image(content, width="stretch", alt=f"Picture {case.pairs.ids[row]}")


def score_text(ranking: Any, row: int) -> str:
    """Score and percentile of one pair."""
    if not np.isfinite(ranking.score[row]):
        return "not scored"
    share = top_share(ranking.rank[row], len(ranking.order))
    return f"score {ranking.score[row]:.3g}, top {share}"


def top_share(rank: float, scored: int) -> str:
    """How far up the ranking, as a share of the scored pairs, this one counted: top 0.2 %.

    Args:
        rank: the share that scores lower, the pair itself counting half.
        scored: how many pairs have a score.
    """
    share = min(1.0, 1.0 - rank + 0.5 / scored) * 100
    return f"{share:.2g} %" if share < 10 else f"{share:.0f} %"


def _card(
    case: Any, row: int, ranking: Any, verdicts: dict[str, Any], key: str, reason: str, near: bool
) -> None:
    name = case.pairs.ids[row]
    with st.container(border=True, gap="xxsmall"):
        picture(case, row)
        st.text(case.pairs.captions[row][:160])
        st.caption(score_text(ranking, row))
        held = verdicts.get(name)
        with st.container(horizontal=True, gap="xxsmall"):
            picks.pick_button(case, "sample", name, held, key, reason)
            if near:
                st.button(
                    "", icon=":material/hub:", key=f"{key}.near.{name}", help="Show its neighbours",
                    on_click=_show_near, args=(name,), type="tertiary",
                )  # fmt: skip
            st.button(
                "", icon=":material/center_focus_strong:", key=f"{key}.inspect.{name}",
                help="Inspect on the Triggers page", type="tertiary",
                on_click=_inspect, args=(name,),
            )  # fmt: skip
    if st.session_state.get("gallery.inspect") == name:  # another card must not swallow it
        del st.session_state["gallery.inspect"]
        st.switch_page("pages/triggers.py", query_params={"case": case.dir.name, "pair": name})


def _show_near(name: str) -> None:
    st.query_params["near"] = name


def _inspect(name: str) -> None:
    st.session_state["gallery.inspect"] = name
