"""A training run's checkpoints on screen: choose, download, load elsewhere, go on from the last."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from clipforensics.ui import following, live

MOST_DOWNLOAD_BYTES = 500_000_000


def choice(run: Any, model: str) -> None:
    """The checkpoints of a run, newest first, with what was measured at each; any to download.

    Args:
        run: the run.
        model: name or JSON file of what it trains, for who wants to load it elsewhere.
    """
    found = run.checkpoints()[::-1]
    if not found:
        return
    figures = _measured_at(run)
    chosen = found[0]
    if len(found) > 1:
        chosen = st.selectbox(
            "Checkpoint", found, key=f"checkpoint.{run.id}",
            format_func=lambda path: path.name + figures.get(path.name, ""),
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen.stat().st_size <= MOST_DOWNLOAD_BYTES:
            st.download_button(
                "Download the checkpoint", lambda: chosen.read_bytes(), chosen.name,
                "application/octet-stream", icon=":material/download:", key=f"load.{run.id}",
                on_click="ignore",
            )  # fmt: skip
        if model.endswith(".json") and Path(model).is_file():
            st.download_button(
                "Download its configuration", lambda: Path(model).read_bytes(), Path(model).name,
                "application/json", icon=":material/data_object:", key=f"configuration.{run.id}",
                on_click="ignore", help="open_clip needs it beside the weights to build the model.",
            )  # fmt: skip
        st.text(
            f"{chosen.name}: safetensors, loadable by open_clip, in {chosen.parent}",
            width="stretch",
        )
    with st.expander("Load it with open_clip", icon=":material/code:"):
        st.code(loading(chosen, model), language="python", wrap_lines=True)
        if model.endswith(".json"):
            st.caption(
                f"open_clip knows a configuration by its file's name, so keep it: {Path(model).name}. For downloads, "
                "name the places where you put them."
            )


def loading(checkpoint: Path, model: str) -> str:
    """The Python lines that load a checkpoint with open_clip alone."""
    name, lines = model, ["import open_clip", ""]
    if model.endswith(".json"):
        name = Path(model).stem
        lines.append(f"open_clip.add_model_config({model!r})")
    lines.append("model, _, preprocess = open_clip.create_model_and_transforms(")
    lines.append(f"    {name!r}, pretrained={str(checkpoint)!r})")
    return "\n".join(lines)


def chosen(run: Any) -> Any | None:
    """The checkpoint chosen above, else the newest; None where there is none."""
    found = run.checkpoints()[::-1]
    chosen = st.session_state.get(f"checkpoint.{run.id}")
    return chosen if chosen in found else found[0] if found else None


def _step_of(found: Sequence[Path]) -> int | None:
    """The step of the newest checkpoint that a run can go on from; None where there is none."""
    steps = [int(path.stem[5:]) for path in found if re.fullmatch(r"step-\d+", path.stem)]
    return max(steps, default=None)


def _measured_at(run: Any) -> dict[str, str]:
    """File name to the figures of its step."""
    own = [line for line in live.evaluations(following.records(run)) if not line.get("baseline")]
    said = {}
    for line in own:
        asr = f", ASR {line['asr']:.2%}" if line.get("asr") is not None else ""
        said[f"step-{line['step']:06d}.safetensors"] = f" · clean accuracy {line['ca']:.2%}{asr}"
    if own:
        said["final.safetensors"] = said[f"step-{own[-1]['step']:06d}.safetensors"]
    return said


def resume(run: Any) -> None:
    """Go on, and from where: the newest checkpoint, which may lie before the last step."""
    with st.container(horizontal=True, vertical_alignment="center"):
        live.resume_button(run)
        step = _step_of(run.checkpoints())
        # of the journal, since the status counts pictures while they are loaded
        reached = max((line["step"] for line in following.records(run)), default=0)
        st.text(
            f"It got to step {reached:,} and goes on from its last checkpoint, step {step:,}."
            if step is not None
            else "No checkpoint was saved, so it would begin again."
        )
