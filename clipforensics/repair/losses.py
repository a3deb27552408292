"""The losses of the recipes. Rows are unit vectors, the scale is exp(logit_scale), all float32.

With several processes each takes its own rows against everyone's columns; the mean over processes
is the loss of the whole batch.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from clipforensics.train.distributed import gather, world


def rows_to_numbers(logits: Float[Tensor, "b all"]) -> Float[Tensor, ""]:
    """CE(M): mean cross-entropy of the rows, the target being the column of the row's own pair."""
    return F.cross_entropy(logits, own_columns(len(logits), logits.device))


def own_columns(n: int, device: torch.device) -> Int[Tensor, " n"]:
    """Columns of this process's rows among everyone's."""
    return torch.arange(n, device=device) + world().rank * n


def products(
    a: Float[Tensor, "b d"], b: Float[Tensor, "b d"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, "b all"]:
    """s·a·bᵀ, with everyone's rows of b."""
    return scale * a @ gather(b).T


def clip_loss(
    pictures: Float[Tensor, "b d"],
    texts: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
    equal: Bool[Tensor, "b all"] | None = None,
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
    logits = products(pictures, texts, scale)
    # one process has the other direction already
    turned = logits.T if world().size == 1 else products(texts, pictures, scale)
    if equal is not None:
        others = equal.clone()
        others[torch.arange(len(equal)), own_columns(len(equal), equal.device)] = False
        logits, turned = (one.masked_fill(others, float("-inf")) for one in (logits, turned))
    return (rows_to_numbers(logits) + rows_to_numbers(turned)) / 2


def cross_loss(
    pictures_1: Float[Tensor, "b d"],
    pictures_2: Float[Tensor, "b d"],
    texts_1: Float[Tensor, "b d"],
    texts_2: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """L_cross: SafeCLIP's CLIP loss over two views of each modality, crossed."""
    first = rows_to_numbers(products(pictures_1, texts_2, scale))
    return (first + rows_to_numbers(products(texts_1, pictures_2, scale))) / 2


def neighbour_loss(
    view_2: Float[Tensor, "b d"], neighbours: Float[Tensor, "b d"], scale: Float[Tensor, ""] | float
) -> Float[Tensor, ""]:
    """One modality's half of L_uni: view 2 against the neighbours of view 1, which are constants.

    Rows that share a neighbour cannot be told apart, so the loss has a floor.
    """
    return rows_to_numbers(products(view_2, neighbours.detach(), scale))


def in_modal_loss(
    pictures: Float[Tensor, "b d"],
    pictures_2: Float[Tensor, "b d"],
    texts: Float[Tensor, "b d"],
    texts_2: Float[Tensor, "b d"],
    scale: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """L_in: CleanCLIP's loss inside each modality, plain rows against their augmented views."""
    first = rows_to_numbers(products(pictures, pictures_2, scale))
    return (first + rows_to_numbers(products(texts, texts_2, scale))) / 2


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


def equal_rows(tokens: Int[Tensor, "b t"]) -> Bool[Tensor, "b all"]:
    """True where two captions have the same tokens, a row with itself too."""
    _, kind = torch.unique(gather(tokens), dim=0, return_inverse=True)
    return kind[own_columns(len(tokens), tokens.device), None] == kind[None, :]
