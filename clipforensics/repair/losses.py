"""The losses of the recipes. Rows are unit vectors, the scale is exp(logit_scale), all float32."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def rows_to_numbers(logits: Float[Tensor, "b b"]) -> Float[Tensor, ""]:
    """CE(M): mean cross-entropy of the rows, the target of row i being column i."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def clip_loss(
    pictures: Float[Tensor, "b d"],
    texts: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
    equal: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """L_clip: both directions of the contrastive loss, averaged.

    Args:
        pictures: unit rows.
        texts: unit rows of the same pairs.
        scale: exp(logit_scale).
        equal: true where two pairs have equal captions; such false negatives leave the softmax.

    Source:
        Radford et al. (2021), figure 3; the same value as `open_clip.ClipLoss` without `equal`.
    """
    logits = scale * pictures @ texts.T
    if equal is not None:
        others = equal & ~torch.eye(len(equal), dtype=torch.bool, device=equal.device)
        logits = logits.masked_fill(others, float("-inf"))
    return (rows_to_numbers(logits) + rows_to_numbers(logits.T)) / 2


def cross_loss(
    pictures_1: Float[Tensor, "b d"],
    pictures_2: Float[Tensor, "b d"],
    texts_1: Float[Tensor, "b d"],
    texts_2: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """L_cross: SafeCLIP's CLIP loss over two views of each modality, crossed."""
    first = rows_to_numbers(scale * pictures_1 @ texts_2.T)
    return (first + rows_to_numbers(scale * texts_1 @ pictures_2.T)) / 2


def neighbour_loss(
    view_2: Float[Tensor, "b d"], neighbours: Float[Tensor, "b d"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, ""]:
    """One modality's half of L_uni: view 2 against the neighbours of view 1, which are constants.

    Rows that share a neighbour cannot be told apart, so the loss has a floor.
    """
    return rows_to_numbers(scale * view_2 @ neighbours.detach().T)


def in_modal_loss(
    pictures: Float[Tensor, "b d"],
    pictures_2: Float[Tensor, "b d"],
    texts: Float[Tensor, "b d"],
    texts_2: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """L_in: CleanCLIP's loss inside each modality, plain rows against their augmented views."""
    first = rows_to_numbers(scale * pictures @ pictures_2.T)
    return (first + rows_to_numbers(scale * texts @ texts_2.T)) / 2


def pool_loss(
    pictures: Float[Tensor, "b d"], found: Float[Tensor, "b d"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, ""]:
    """L_ro: RoCLIP's pool epoch, the CLIP loss with each caption replaced by the nearest in a pool.

    The pool's rows are constants, so the caption tower gets no gradient.
    """
    return clip_loss(pictures, found.detach(), scale)


def anchor_loss(seen: Float[Tensor, "b d"], anchors: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Mean of 1 - cosine to the frozen suspect's embedding of the un-stamped picture."""
    return (1 - (seen * anchors).sum(dim=1)).mean()


def equal_rows(tokens: Int[Tensor, "b t"]) -> Bool[Tensor, "b b"]:
    """True where two captions have the same tokens; the diagonal is true."""
    _, kind = torch.unique(tokens, dim=0, return_inverse=True)
    return kind[:, None] == kind[None, :]
