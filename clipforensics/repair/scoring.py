"""Embed training rows and score pairs, in evaluation mode, un-augmented, without gradient."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipforensics.models.clip import OpenClipEncoder
from clipforensics.train.distributed import from_all, world
from clipforensics.train.recipe import TrainingData

MOST = 512


@torch.no_grad()
def embed_rows(
    encoder: OpenClipEncoder, data: TrainingData, rows: np.ndarray, batch: int
) -> tuple[Tensor, Tensor]:
    """Unit embeddings of pictures and captions, float32 [len(rows), d] each, on the CPU.

    At most `MOST` at a time: a batch too large for the device is to be met by the first training
    step, which can name the one that fits.
    """
    batch = min(batch, MOST)
    module, was_training = encoder.module, encoder.module.training
    module.eval()
    pictures, texts = [], []
    for start in range(0, len(rows), batch):
        picked = torch.from_numpy(np.asarray(rows[start : start + batch], np.int64))
        seen = module.encode_image(encoder.normalize(data.frames[picked]))  # pyright: ignore
        said = module.encode_text(data.tokens[picked].to(encoder.device))  # pyright: ignore
        pictures.append(F.normalize(seen.float()).cpu())
        texts.append(F.normalize(said.float()).cpu())
    module.train(was_training)
    return torch.cat(pictures), torch.cat(texts)


def alignment(encoder: OpenClipEncoder, data: TrainingData, batch: int) -> np.ndarray:
    """Cosine of every picture with its own caption, float64 [n].

    The released SafeCLIP scores augmented views, which is noisy and may crop the trigger away.
    Several processes score a share each, and all get the same cosines.
    """
    size, n = world().size, len(data)
    each = -(-n // size)
    # every size-th row; the last ones again where n cannot be shared evenly, for all send as many
    own = np.minimum(np.arange(each) * size + world().rank, n - 1)
    pictures, texts = embed_rows(encoder, data, own, batch)
    found = from_all((pictures.double() * texts.double()).sum(dim=1)).numpy()
    return found.reshape(size, each).T.reshape(-1)[:n]
