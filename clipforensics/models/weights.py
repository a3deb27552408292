"""Read and write weights without executing anything: safetensors, or torch files of plain tensors."""

import hashlib
import json
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from clipforensics.errors import ModelError


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU.

    Accepts safetensors, and torch checkpoints that open with `weights_only=True`, raw or under
    `state_dict`; a `module.` prefix is removed.

    Raises:
        ModelError: the file is missing, truncated, a TorchScript archive, or would have to be unpickled.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"No weights at {path}. Give a .safetensors or .pt file.")
    state = _safetensors(path) if _looks_like_safetensors(path) else _torch_file(path)
    if isinstance(state.get("state_dict"), Mapping):
        state = dict(state["state_dict"])
    tensors = {
        str(name).removeprefix("module."): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise ModelError(f"{path} holds no weights. Give a file with a model's state_dict.")
    return tensors


def save_state(path: Path, state: Mapping[str, torch.Tensor], half: bool = False) -> None:
    """Write safetensors under a temporary name, then rename.

    Args:
        path: where to.
        state: tensors by name.
        half: store float32 tensors as float16, for weights that are shipped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: _stored(value, half) for name, value in state.items()}
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        _saved(tensors, temporary)
        os.chmod(temporary, 0o644)  # mkstemp's own 0600 would lock a colleague out
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _saved(tensors: dict[str, torch.Tensor], path: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, path)
    except SafetensorError as problem:  # says the system's error only in words
        found = re.search(r"os error (\d+)", str(problem))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), path) from None


def load_into(
    module: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, what: str
) -> None:
    """Copy the tensors into a module of exactly that architecture.

    Raises:
        ModelError: names or shapes differ; the first difference is named.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    extra = [name for name in state if name not in own]
    shapes = [n for n in own if n in state and own[n].shape != state[n].shape]
    if missing or extra or shapes:
        raise ModelError(
            f"{path} does not fit {what}: {len(missing)} weights are missing, {len(extra)} are "
            f"unknown, {len(shapes)} have another shape (first: {(shapes + missing + extra)[0]}). "
            "Choose the architecture these weights were trained with."
        )
    if any(not torch.isfinite(v).all() for v in state.values() if v.is_floating_point()):
        raise ModelError(f"{path} holds NaN or infinite weights. Use an earlier checkpoint.")
    module.load_state_dict({name: state[name].to(own[name].dtype) for name in own})


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_state(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors in memory."""
    seen = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        seen.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        seen.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return seen.hexdigest()


def _stored(value: torch.Tensor, half: bool) -> torch.Tensor:
    value = value.detach().cpu().contiguous().clone()
    return value.half() if half and value.dtype == torch.float32 else value


def _looks_like_safetensors(path: Path) -> bool:
    """A safetensors file begins with the length of its JSON header, then an opening brace."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:9] == b"{"


def _safetensors(path: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as problem:
        raise ModelError(
            f"{path} is a damaged or truncated safetensors file ({problem}). Copy it again."
        ) from None


def _torch_file(path: Path) -> dict:
    if _is_torchscript(path):
        raise ModelError(
            f"{path} is a TorchScript archive, which carries code; it is refused. "
            "Save the state_dict as safetensors instead."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch talks about pickle protocols of old files
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises nearly anything on a hostile file
        raise ModelError(
            f"{path} is refused: it holds more than plain tensors, or is damaged "
            f"({type(problem).__name__}). Nothing in it was executed. "
            "Save the weights as safetensors."
        ) from None
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} holds a {type(state).__name__}, not a state_dict of weights.")
    return dict(state)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            name.endswith("constants.pkl") or "/code/" in name for name in archive.namelist()
        )
