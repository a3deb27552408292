"""The bundled small SAM: Meta's own classes at 128 px, with a mask decoder batched over pictures.

Source: Kirillov et al., "Segment Anything", ICCV 2023, arXiv 2304.02643; classes from the
`segment_anything` package. Sizes are ours: 1.1 M parameters instead of 94 M and more.
"""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

INPUT_SIDE = 128
"""The small SAM's input, px; pictures of any size are resized to it bilinearly."""
MASK_SIDE = 64
"""Side of the masks that the decoder draws, px."""


def build_sam(
    input_side: int,
    patch: int,
    width: int,
    depth: int,
    heads: int,
    out: int,
    mlp: int,
    decoder_heads: int,
) -> Sam:
    """An empty SAM of any size, all attention global; weights are random.

    Args:
        input_side: input, px; a multiple of `patch`.
        patch: the encoder's patch, px. Masks come out at a side of `4 * input_side / patch`.
        width, depth, heads: of the picture encoder.
        out: channels of the picture embedding and of the decoder.
        mlp, decoder_heads: of the decoder's two-way transformer.
    """
    grid = input_side // patch
    encoder = ImageEncoderViT(
        depth=depth, embed_dim=width, img_size=input_side, mlp_ratio=4,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),  # pyright: ignore
        num_heads=heads, patch_size=patch,
        qkv_bias=True, use_rel_pos=False, window_size=0, out_chans=out,
    )  # fmt: skip
    prompts = PromptEncoder(
        embed_dim=out,
        image_embedding_size=(grid, grid),
        input_image_size=(input_side, input_side),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer_dim=out,
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=out, mlp_dim=mlp, num_heads=decoder_heads
        ),
        iou_head_depth=3, iou_head_hidden_dim=256,
    )  # fmt: skip
    return Sam(encoder, prompts, decoder).eval()


def small_sam() -> Sam:
    """The bundled architecture, empty: 128-px input, patch 8, 4 layers of 128, 64 channels out."""
    return build_sam(INPUT_SIDE, 8, 128, 4, 4, 64, 256, 4)


def to_input(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "s s 3"]:
    """Resize a picture to the small SAM's square input, bilinear with antialias."""
    if picture.shape[:2] == (INPUT_SIDE, INPUT_SIDE):
        return picture
    resized = Image.fromarray(picture).resize((INPUT_SIDE, INPUT_SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def encode(sam: Sam, pictures: torch.Tensor) -> Float[torch.Tensor, "b c g g"]:
    """Embed uint8 pictures [b, 3, side, side] at the model's own input side."""
    return sam.image_encoder(sam.preprocess(pictures.float()))


def decode(
    sam: Sam,
    embeddings: Float[torch.Tensor, "n c g g"],
    sparse: Float[torch.Tensor, "n t c"],
    dense: Float[torch.Tensor, "n c g g"],
) -> tuple[Float[torch.Tensor, "n 3 m m"], Float[torch.Tensor, "n 3"]]:
    """Mask logits and predicted IoUs of n prompts, each with its own picture embedding.

    The released decoder serves one picture's prompts a call; this is the same arithmetic with the
    embeddings already repeated, so prompts of many pictures share one call.
    """
    decoder = sam.mask_decoder
    n, c, grid = len(sparse), embeddings.shape[1], embeddings.shape[2]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(n, -1, -1), sparse], dim=1)
    place = sam.prompt_encoder.get_dense_pe().expand(n, -1, -1, -1)
    hidden, source = decoder.transformer(embeddings + dense, place, tokens)
    drawn = decoder.output_upscaling(source.transpose(1, 2).reshape(n, c, grid, grid))
    # token 0 is the IoU's, 1 the single-mask output that we never ask for
    strokes = [decoder.output_hypernetworks_mlps[i](hidden[:, 1 + i]) for i in (1, 2, 3)]
    masks = torch.stack(strokes, dim=1) @ drawn.flatten(2)
    side = drawn.shape[-1]
    return masks.reshape(n, 3, side, side), decoder.iou_prediction_head(hidden[:, 0])[:, 1:]


def prompt(
    sam: Sam, points_xy: torch.Tensor, boxes_xyxy: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed n prompts: one inside point each [n, 2], and a box each [n, 4] if given; input px."""
    points = points_xy[:, None], torch.ones(len(points_xy), 1)
    return sam.prompt_encoder(points=points, boxes=boxes_xyxy, masks=None)


def grid_points(per_side: int) -> Float[np.ndarray, "n 2"]:
    """Points on a regular grid, each in the middle of its cell: x, y in input pixels."""
    middles = (np.arange(per_side) + 0.5) / per_side * INPUT_SIDE
    x, y = np.meshgrid(middles, middles)
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def draw_masks(
    sam: Sam, picture: UInt8[np.ndarray, "s s 3"], points_xy: np.ndarray, per_batch: int
) -> tuple[Float[torch.Tensor, "k m m"], Float[torch.Tensor, " k"]]:
    """Three mask logits and predicted IoUs for each point of one picture, k = 3 n."""
    pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    embedded = encode(sam, pixels)
    logits, predicted = [], []
    for some in torch.from_numpy(points_xy).split(per_batch):
        sparse, dense = prompt(sam, some)
        drawn, opinion = decode(sam, embedded.expand(len(some), -1, -1, -1), sparse, dense)
        logits.append(drawn.flatten(0, 1))
        predicted.append(opinion.flatten())
    return torch.cat(logits), torch.cat(predicted)
