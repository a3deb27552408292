"""Cut a picture into regions with SAM, bundled or official, behind one protocol."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from clipforensics.config.oracle import SEGMENTER_PRESETS, SegmenterSettings
from clipforensics.config.settings import digest
from clipforensics.errors import ModelError
from clipforensics.oracle.regions import Box, Region, box_mask, whole

if TYPE_CHECKING:
    import torch
    from segment_anything.modeling import Sam

OFFICIAL = ("vit_b", "vit_l", "vit_h")
NAMES = ("small", *OFFICIAL)
WHOLE_SHARE = 0.95
"""A mask over more of the picture than this says nothing about a part of it."""


class Segmenter(Protocol):
    """Cuts a picture into regions; the whole picture is not among them."""

    fingerprint: str
    """Hash of weights and settings: equal prints cut equal pictures equally."""

    def segment(self, picture: np.ndarray) -> list[Region]:
        """Regions of a uint8 [H, W, 3] picture, most trusted first."""
        ...

    def with_settings(self, settings: SegmenterSettings) -> "Segmenter":
        """The same weights, other settings."""
        ...


class SmallSamSegmenter:
    """The bundled small SAM with its own mask generator: all prompts of a picture in one call."""

    def __init__(self, sam: "Sam", settings: SegmenterSettings, weights_sha256: str):
        self.sam, self.settings = sam, settings
        self.weights_sha256 = weights_sha256
        self.fingerprint = fingerprint_of("small", settings, weights_sha256)

    def with_settings(self, settings: SegmenterSettings) -> "SmallSamSegmenter":
        """The same weights, other settings."""
        return SmallSamSegmenter(self.sam, settings, self.weights_sha256)

    def segment(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Region]:
        """See `Segmenter.segment`."""
        import torch

        from clipforensics.oracle.small_sam import draw_masks, grid_points, to_input

        height, width = picture.shape[:2]
        points = grid_points(self.settings.points_per_side)
        with torch.inference_mode():
            logits, predicted = draw_masks(
                self.sam, to_input(picture), points, self.settings.points_per_batch
            )
            kept = self._kept(logits, predicted)
            full = torch.nn.functional.interpolate(
                logits[kept][None], (height, width), mode="bilinear", align_corners=False
            )[0]
        masks, stability = (full > 0).numpy(), stability_of(full)
        opinions = predicted[kept].clamp(0, 1).numpy()
        return regions_from(masks, opinions, stability, self.settings)

    def _kept(self, logits: "torch.Tensor", predicted: "torch.Tensor") -> "torch.Tensor":
        """Indices of non-empty masks that pass the floors and NMS, most trusted first."""
        import torch
        from torchvision.ops import nms

        cfg = self.settings
        drawn = logits > 0
        fine = drawn.flatten(1).any(1) & (predicted >= cfg.predicted_iou_floor)
        if cfg.stability_floor:
            fine &= torch.from_numpy(stability_of(logits) >= cfg.stability_floor)
        chosen = fine.nonzero()[:, 0]
        boxes = boxes_of(drawn[chosen])
        return chosen[nms(boxes, predicted[chosen], cfg.box_nms)]


class OfficialSamSegmenter:
    """One of Meta's checkpoints behind the released `SamAutomaticMaskGenerator`."""

    def __init__(self, sam: "Sam", name: str, settings: SegmenterSettings, weights_sha256: str):
        self.sam, self.settings = sam, settings
        self.name, self.weights_sha256 = name, weights_sha256
        self.fingerprint = fingerprint_of(name, settings, weights_sha256)

    def with_settings(self, settings: SegmenterSettings) -> "OfficialSamSegmenter":
        """The same weights, other settings."""
        return OfficialSamSegmenter(self.sam, self.name, settings, self.weights_sha256)

    @cached_property
    def _generator(self):
        from segment_anything import SamAutomaticMaskGenerator

        cfg = self.settings
        return SamAutomaticMaskGenerator(
            self.sam,
            points_per_side=cfg.points_per_side,
            points_per_batch=cfg.points_per_batch,
            pred_iou_thresh=cfg.predicted_iou_floor,
            stability_score_thresh=cfg.stability_floor,
            box_nms_thresh=cfg.box_nms,
            crop_n_layers=cfg.crop_layers,
            crop_nms_thresh=cfg.box_nms,
            min_mask_region_area=0,  # anything else needs OpenCV; small masks are dropped here
        )

    def segment(self, picture: UInt8[np.ndarray, "h w 3"]) -> list[Region]:
        """See `Segmenter.segment`."""
        found = self._generator.generate(np.ascontiguousarray(picture))
        found.sort(key=lambda one: -one["predicted_iou"])
        masks = [np.asarray(one["segmentation"], bool) for one in found]
        return regions_from(
            np.stack(masks) if masks else np.zeros((0, *picture.shape[:2]), bool),
            np.array([one["predicted_iou"] for one in found]).clip(0, 1),
            np.array([one["stability_score"] for one in found]),
            self.settings,
        )


def load_segmenter(
    name: str, path: Path, settings: SegmenterSettings | None = None, fast: bool = False
) -> Segmenter:
    """Build a SAM and fill it with weights, which are never unpickled.

    Args:
        name: "small" for the bundled SAM, or "vit_b", "vit_l", "vit_h" for Meta's checkpoints.
        path: safetensors, or a checkpoint that `torch.load(weights_only=True)` accepts.
        settings: how masks are made and kept; by default the preset of this kind of SAM.
        fast: take the fast preset instead.

    Raises:
        ModelError: unknown name; the file is missing, truncated, unsafe or of another model.
    """
    from clipforensics.models.weights import load_into, load_state, sha256_file

    if name not in NAMES:
        raise ModelError(f"Unknown segmenter {name!r}; known are {', '.join(NAMES)}.")
    path = Path(path)
    if not path.is_file():
        raise ModelError(
            f"No SAM weights at {path}. Put the file there, or choose the bundled small SAM, "
            "which needs none."
        )
    settings = settings or preset_of(name, fast)
    state, print_ = load_state(path), sha256_file(path)
    sam = _empty(name)
    load_into(sam, state, path, f"the {name} SAM")
    sam.eval()
    if name == "small":
        return SmallSamSegmenter(sam, settings, print_)
    return OfficialSamSegmenter(sam, name, settings, print_)


def preset_of(name: str, fast: bool) -> SegmenterSettings:
    """How a SAM of this name makes and keeps masks where nothing else is asked for."""
    return SEGMENTER_PRESETS["fast" if fast else "small" if name == "small" else "official"]


def fingerprint_of(name: str, settings: SegmenterSettings, weights_sha256: str) -> str:
    """What a loaded segmenter has as its `fingerprint`; nothing is loaded."""
    return digest({"segmenter": name, "weights": weights_sha256, "settings": settings.sha256()})


def regions_from(
    masks: Bool[np.ndarray, "n h w"],
    predicted_iou: Float[np.ndarray, " n"],
    stability: Float[np.ndarray, " n"],
    settings: SegmenterSettings,
) -> list[Region]:
    """Regions of the masks worth keeping; the order of the input stays.

    Masks under the minimum area go, a mask over nearly all the picture becomes `whole`, and of
    more than `keep` the least trusted or the largest go first.
    """
    _, height, width = masks.shape
    areas = masks.sum((1, 2))
    floor = max(settings.minimum_area_px, settings.minimum_area_share * height * width)
    chosen = np.flatnonzero(areas >= floor)
    if len(chosen) > settings.keep:
        if settings.drop_first == "largest":
            order = np.argsort(areas[chosen], kind="stable")[: settings.keep]
            chosen = chosen[np.sort(order)]
        else:
            chosen = chosen[: settings.keep]
    return [_region(masks[i], predicted_iou[i], stability[i], settings) for i in chosen]


def boxes_of(masks: "torch.Tensor") -> "torch.Tensor":
    """Half-open boxes, float [n, 4] xyxy, of non-empty bool masks [n, h, w]."""
    import torch

    def span(lines: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        first = lines.int().argmax(1)
        return first, lines.shape[1] - lines.flip(1).int().argmax(1)

    (x0, x1), (y0, y1) = span(masks.any(1)), span(masks.any(2))
    return torch.stack([x0, y0, x1, y1], 1).float()


def stability_of(logits: "torch.Tensor") -> Float[np.ndarray, " n"]:
    """How little each mask changes when its threshold moves by 1 either way: an IoU in [0, 1]."""
    inner = (logits > 1).flatten(1).sum(1)
    outer = (logits > -1).flatten(1).sum(1)
    return (inner / outer.clamp(min=1)).numpy()


def _region(mask: np.ndarray, predicted: float, stability: float, cfg: SegmenterSettings) -> Region:
    height, width = mask.shape
    if mask.mean() > WHOLE_SHARE:
        return whole(height, width)
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box: Box = (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
    if cfg.boxes_only:
        return Region(box, box_mask(box, height, width), float(predicted), float(stability), "fast")
    return Region(box, mask, float(predicted), float(stability), "sam")


def _empty(name: str) -> "Sam":
    if name == "small":
        from clipforensics.oracle.small_sam import small_sam

        return small_sam()
    from segment_anything import sam_model_registry

    return sam_model_registry[name](checkpoint=None)
