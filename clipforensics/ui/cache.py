"""What a server keeps between reruns, each with a bound: cases, figures, models, thumbnails."""

from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.config.oracle import HuntSettings


def case(folder: Path) -> Any:
    """The opened `Case`, kept until its `case.json` is replaced.

    Raises:
        CaseError: the folder holds no case that can be opened.
    """
    return _case(str(folder), (folder / "case.json").stat().st_mtime_ns)


@st.cache_resource(max_entries=4, show_spinner=False)
def _case(folder: str, changed: int) -> Any:
    from clipforensics.cases.case import Case

    return Case.open(Path(folder))


def version(case: Any) -> str:
    """What changes with every verdict, scan and hunt of a case: for keys of what is drawn from them."""
    from clipforensics.cases.evidence import latest

    made = (latest(case, kind) for kind in ("scan", "hunts"))
    names = [folder.name if folder else "" for folder in made]
    return " ".join(
        [str(case.dir), case.store.head()[0], *sorted(case.fingerprints.values()), *names]
    )


def thumbnail(case: Any, row: int) -> bytes | None:
    """WebP of one pair's picture, longest side 192 px; None when the picture cannot be read."""
    return _thumbnail(case, str(case.dir), case.pairs.sha256, row)


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(_case: Any, folder: str, pairs_sha256: str, row: int) -> bytes | None:
    from clipforensics.data.images import read_picture, thumbnail
    from clipforensics.errors import DataError

    try:
        return thumbnail(read_picture(_case.pairs.path(row)))
    except DataError:
        return None


def data_uri(case: Any, row: int) -> str | None:
    """The thumbnail as a data URI, for a table."""
    import base64

    content = thumbnail(case, row)
    if content is None:
        return None
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def default_ranking(case: Any) -> Any:
    """The ranking of the latest scan, as it is kept and the Map opens."""
    from clipforensics.ui.scanned import defaults

    return ranking(case, *defaults(case))


def ranking(case: Any, detector: str, density: Any, reference: Any) -> Any:
    """Scores of every pair with their percentile ranks, kept per case and settings.

    Raises:
        CaseError: the case is not embedded yet.
        ConfigError: the settings do not fit the data.
    """
    return _ranking(
        case, str(case.dir), case.fingerprints.get("weights", ""), detector, density.sha256(),
        reference.sha256(), density, reference,
    )  # fmt: skip


@st.cache_resource(max_entries=8, show_spinner="Scoring every pair…")
def _ranking(
    _case: Any, folder: str, weights: str, detector: str, density_sha256: str,
    reference_sha256: str, _density: Any, _reference: Any,
) -> Any:  # fmt: skip
    from clipforensics.ui.ranking import rank

    return rank(_case, detector, _density, _reference)


def map_figure(key: str, draw: Any) -> Any:
    """The map of this key, drawn once: a selection resets whenever the figure changes."""
    return _map_figure(key, draw)


@st.cache_resource(max_entries=8, show_spinner="Drawing the map…")
def _map_figure(key: str, _draw: Any) -> Any:
    return _draw()


def examiner(case: Any, settings: HuntSettings | None) -> Any:
    """Both models, the segmenter and the clean pictures of a case; one case's at a time.

    Args:
        case: the case.
        settings: of the hunt that is looked at: only what it cut and pasted is found again. Without
            one the latest scan's ranking says which pictures are clean, so that nothing is scored.

    Raises:
        CaseError: the case has no trusted model or no segmenter.
        ModelError: a model cannot be loaded safely, or the trusted one is the suspect.
    """
    prints = case.fingerprints
    key = (str(case.dir), *(prints.get(n, "") for n in ("weights", "trusted_weights", "labels")))
    return _examiner(case, key, settings.sha256() if settings else "", settings)


@st.cache_resource(max_entries=1, show_spinner="Loading both models and the segmenter…")
def _examiner(_case: Any, key: tuple[str, ...], sha256: str, _settings: HuntSettings | None) -> Any:
    from clipforensics.jobs.hunting.triggers import load_examiner

    ranked = (
        ranking(_case, _settings.detector, _settings.density, _settings.reference)
        if _settings
        else default_ranking(_case)
    )
    return load_examiner(_case, _settings, ranked.score)


def inspection(case: Any, row: int, examiner: Any) -> Any:
    """What oracle and suspect say of one picture: read from evidence, or made now and kept there."""
    from clipforensics.jobs.hunting.triggers import inspect

    return inspect(case, row, examiner)


def pasted(case: Any, row: int, examiner: Any) -> list[Any]:
    """The picture's candidates after the paste test, from evidence or now."""
    from clipforensics.jobs.hunting.triggers import screen

    return screen(case, row, examiner)


def controls(case: Any, row: int, candidate: Any, examiner: Any) -> list[float]:
    """Flip rates of crops from clean pictures, from evidence or now."""
    from clipforensics.jobs.hunting.showing import controls

    return controls(case, row, candidate, examiner)


def side(case: Any) -> int:
    """Pixels on a side of the pictures the suspect takes; no weights are read."""
    return _side(case.settings.model, case.fingerprints.get("model", ""))


@st.cache_data(max_entries=8, show_spinner=False)
def _side(model: str, fingerprint: str) -> int:
    from clipforensics.models.clip import read_model_config

    size = read_model_config(model)["vision_cfg"]["image_size"]
    return int(size[0] if isinstance(size, list | tuple) else size)
