"""open_clip models behind the Encoder protocol."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch import nn

from clipforensics.errors import ConfigError, ModelError
from clipforensics.models.encoder import Encoder
from clipforensics.models.likeness import difference
from clipforensics.models.weights import (
    load_into,
    load_state,
    save_state,
    sha256_file,
    sha256_state,
)

# A trained CLIP's softmax tails and dead channels give denormal numbers, which the processor handles
# tens of times slower: training fell from 950 to 70 pairs/s within five epochs. Set before torch
# starts its threads, which inherit the mode.
torch.set_flush_denormal(True)

MAX_CONFIG_BYTES = 1_000_000
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


class OpenClipEncoder:
    """One open_clip model, in evaluation mode, with its tokenizer and pixel scaling."""

    def __init__(
        self,
        module: nn.Module,
        tokenizer: Callable[[list[str]], torch.Tensor],
        device: str = "cpu",
        fingerprint: str | None = None,
        mean: Sequence[float] = OPENAI_MEAN,
        std: Sequence[float] = OPENAI_STD,
    ) -> None:
        # channels last is how the pictures lie in memory; convolutions run up to twice as fast
        self.module = module.to(device).to(memory_format=torch.channels_last).eval()  # pyright: ignore
        self.tokenize = tokenizer
        self.device = device
        self.side = _side_of(module)
        self.dim = int(module.text_projection.shape[1])  # pyright: ignore
        self.fingerprint = fingerprint or sha256_state(module.state_dict())
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1)

    @property
    def scale(self) -> float:
        """exp(logit_scale), clamped to 100 as in training."""
        return min(100.0, math.exp(float(self.module.logit_scale.detach())))  # pyright: ignore

    def difference_from(self, other: Encoder) -> float:
        """See `Encoder`; neither precision, temperature nor the length of features counts."""
        return 0.0 if self.fingerprint == other.fingerprint else difference(self, other)

    def normalize(self, pictures: torch.Tensor) -> torch.Tensor:
        """uint8 [n, side, side, 3] to float32 [n, 3, side, side] with the model's mean and std."""
        planes = pictures.to(self.device).permute(0, 3, 1, 2)
        return (planes.float().div_(255) - self._mean).div_(self._std)

    @torch.inference_mode()
    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """See `Encoder`; on a CUDA device the towers run under autocast."""
        with torch.autocast("cuda", enabled=self.device.startswith("cuda")):
            planes = self.normalize(torch.from_numpy(np.ascontiguousarray(pictures)))
            features = self.module.encode_image(planes)  # pyright: ignore
        return features.float().cpu().numpy()

    def pixel_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """See `Differentiable`; pixels are not normalized yet. The answer lies on their device."""
        planes = (pixels.to(self.device) - self._mean) / self._std
        planes = planes.contiguous(memory_format=torch.channels_last)
        return self.module.encode_image(planes).float().to(pixels.device)  # pyright: ignore

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder`."""
        out = []
        for start in range(0, len(texts), 1024):
            tokens = self.tokenize(list(texts[start : start + 1024])).to(self.device)
            with torch.autocast("cuda", enabled=self.device.startswith("cuda")):
                out.append(self.module.encode_text(tokens).float().cpu().numpy())  # pyright: ignore
        return np.concatenate(out) if out else np.empty((0, self.dim), np.float32)


def load_clip(model: str, weights: Path, device: str = "auto") -> OpenClipEncoder:
    """Build the architecture empty, then load the weights into it.

    Args:
        model: an open_clip model name, or the path of an open_clip config in JSON.
        weights: safetensors, or a torch file of plain tensors.
        device: "cpu", "cuda", or "auto" for CUDA when there is one.

    Raises:
        ModelError: unknown architecture; weights missing, unsafe, damaged, or of another one.
    """
    config = read_model_config(model)
    state = load_state(Path(weights))
    module = build_module(config)
    load_into(module, state, Path(weights), f"the model {Path(model).stem}")
    return _encoder(module, config, pick_device(device), sha256_file(Path(weights)))


def new_clip(model: str, seed: int, device: str = "auto") -> OpenClipEncoder:
    """The same architecture with fresh random weights drawn from `seed`."""
    config = read_model_config(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # open_clip draws from torch's generator and takes no other
        module = build_module(config)
    return _encoder(module, config, pick_device(device), None)


def save_clip(encoder: OpenClipEncoder | nn.Module, path: Path, half: bool = False) -> None:
    """Write the weights as safetensors that open_clip loads."""
    module = encoder.module if isinstance(encoder, OpenClipEncoder) else encoder
    save_state(path, module.state_dict(), half)


def pick_device(device: str) -> str:
    """ "auto" becomes "cuda" when there is one, else "cpu".

    Raises:
        ConfigError: a CUDA device that is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    there = torch.cuda.device_count() if kind == "cuda" and torch.cuda.is_available() else 0
    if kind == "cuda" and int(number or 0) >= there:
        raise ConfigError(
            f"device={device} needs CUDA device {number or 0}, this machine has {there}. "
            "Choose auto or cpu."
        )
    return device


def read_model_config(model: str) -> dict[str, Any]:
    """The open_clip config of a model name or JSON file: `embed_dim`, `vision_cfg`, `text_cfg`.

    Raises:
        ModelError: neither a known name nor a readable config.
    """
    path = Path(model)
    if path.suffix != ".json":
        known = open_clip.get_model_config(model)
        if known is None:
            raise ModelError(
                f"open_clip knows no model {model!r}. Give one of its names (ViT-B-32, RN50, …) "
                "or the path of a JSON config."
            )
        return known
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ModelError(f"{path} is too large for a model config. Give an open_clip config.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"No model config at {path}. Give an open_clip config in JSON.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ModelError(f"{path} is no valid JSON. Give an open_clip config.") from None
    config = content.get("model_cfg", content) if isinstance(content, dict) else {}
    if not {"embed_dim", "vision_cfg", "text_cfg"} <= set(config):
        raise ModelError(
            f"{path} is no open_clip config: embed_dim, vision_cfg, text_cfg are needed."
        )
    _refuse_downloads(path, config)
    if "preprocess_cfg" in content:
        config = {**config, "preprocess_cfg": content["preprocess_cfg"]}
    return config


def _refuse_downloads(path: Path, config: dict[str, Any]) -> None:
    text, vision = config["text_cfg"], config["vision_cfg"]
    hub = [
        k for k in ("hf_model_name", "hf_tokenizer_name") if isinstance(text, dict) and text.get(k)
    ]
    hub += ["timm_model_pretrained"] * bool(
        isinstance(vision, dict) and vision.get("timm_model_pretrained")
    )
    if hub:
        raise ModelError(
            f"{path} asks for files from a hub ({', '.join(hub)}); nothing is downloaded."
        )


def build_module(config: dict[str, Any]) -> nn.Module:
    """An open_clip CLIP of this config, on the CPU.

    Raises:
        ModelError: open_clip cannot build it.
    """
    parts = {k: v for k, v in config.items() if k in _KNOWN}
    try:
        return open_clip.CLIP(**parts)
    except (
        TypeError,
        ValueError,
        AssertionError,
        AttributeError,
        RuntimeError,
        KeyError,
    ) as problem:
        raise ModelError(
            f"open_clip cannot build this model: {problem}. Check its config."
        ) from None


_KNOWN = (
    "embed_dim",
    "vision_cfg",
    "text_cfg",
    "quick_gelu",
    "init_logit_scale",
    "init_logit_bias",
)


def _encoder(
    module: nn.Module, config: dict[str, Any], device: str, fingerprint: str | None
) -> OpenClipEncoder:
    length = config["text_cfg"].get("context_length", 77)
    tokenizer = open_clip.SimpleTokenizer(context_length=length)
    pixels = config.get("preprocess_cfg", {})
    return OpenClipEncoder(
        module,
        tokenizer,
        device,
        fingerprint,
        pixels.get("mean", OPENAI_MEAN),
        pixels.get("std", OPENAI_STD),
    )


def _side_of(module: nn.Module) -> int:
    side: Any = module.visual.image_size  # pyright: ignore
    return int(side[0] if isinstance(side, (tuple, list)) else side)
