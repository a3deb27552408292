"""Several processes that train one model, each on its slice of every batch; `torchrun` starts them.

Features are gathered with their gradient, every process takes the loss of its own rows against all
columns, and gradients are averaged after the backward pass: what DistributedDataParallel does with
`open_clip.ClipLoss(local_loss=True, gather_with_grad=True)`, less its overlap with the backward
pass. DDP itself wants one forward call per step; a recipe calls the towers several times, some of
them without gradient. With one process every function here does nothing.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as group

from clipforensics.errors import ConfigError

PATIENCE = timedelta(days=1)
"""The others may wait so long for the first, which waits for its devices' turn; when one process
ends by a fault, `torchrun` ends all at once."""


@dataclass(frozen=True)
class World:
    """Which process this is, of how many."""

    rank: int = 0
    size: int = 1


def world() -> World:
    """The joined processes; one, where none were joined."""
    if group.is_available() and group.is_initialized():
        return World(group.get_rank(), group.get_world_size())
    return World()


def launched() -> World:
    """What `torchrun` said in the environment, joined or not."""
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that `torchrun` started, and yield this one's device.

    Args:
        device: "auto", "cpu" or "cuda"; under `torchrun` each process takes the CUDA device of its
            local rank. Processes speak over NCCL on CUDA, else over gloo.
    """
    from clipforensics.models.clip import pick_device

    if launched().size == 1 or world().size > 1:
        yield device
        return
    own = pick_device(device)
    if own == "cuda":
        own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(own)
    group.init_process_group("nccl" if own.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield own
    finally:
        group.destroy_process_group()


def devices_here(own: str) -> list[str]:
    """Devices of all processes that `torchrun` started on this machine; `own` is this one's."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if not own.startswith("cuda") or processes == 1:
        return [own]
    return [f"cuda:{rank}" for rank in range(processes)]


def own_share(batch: int) -> int:
    """Pairs of each process in a batch of so many.

    Raises:
        ConfigError: the batch cannot be shared evenly.
    """
    size = world().size
    if batch % size:
        raise ConfigError(
            f"batch={batch} cannot be shared by {size} processes. Choose a multiple of {size}."
        )
    return batch // size


class _Gather(torch.autograd.Function):
    """All processes' rows in rank order; the gradient of mine is summed over everyone's loss."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(group.get_world_size())]
        group.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        group.all_reduce(total)
        mine = len(total) // group.get_world_size()
        return total[group.get_rank() * mine : (group.get_rank() + 1) * mine]


def gather(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, with their gradient; each must bring as many."""
    return x if world().size == 1 else _Gather.apply(x.contiguous())  # pyright: ignore


def from_all(x: Tensor) -> Tensor:
    """Rows of all processes in rank order, without gradient; each must bring as many."""
    if world().size == 1:
        return x
    sent = x.to(_spoken()).contiguous()
    parts = [torch.empty_like(sent) for _ in range(world().size)]
    group.all_gather(parts, sent)
    return torch.cat(parts).to(x.device)


def from_first(x: Tensor) -> Tensor:
    """The first process's tensor, for everyone: what all must agree on is worked out once."""
    if world().size == 1:
        return x
    sent = x.to(_spoken()).contiguous()
    group.broadcast(sent, 0)
    return sent.to(x.device)


def _spoken() -> torch.device:
    """Where tensors must lie to be sent."""
    return torch.device("cuda" if group.get_backend() == "nccl" else "cpu")


def same_text(text: str) -> str:
    """The first process's text, for everyone; as bytes, since objects would travel pickled."""
    if world().size == 1:
        return text
    sent = text.encode()
    length = int(from_first(torch.tensor([len(sent)])).item())
    room = torch.zeros(length, dtype=torch.uint8)
    if world().rank == 0:
        room = torch.tensor(list(sent), dtype=torch.uint8)
    return bytes(from_first(room).tolist()).decode()


def same_start(module: nn.Module) -> None:
    """Give everyone the first process's weights and buffers."""
    if world().size > 1:
        for value in module.state_dict().values():
            value.copy_(from_first(value))


def average_gradients(module: nn.Module) -> None:
    """The mean of all processes' gradients, in one message."""
    if world().size == 1:
        return
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    group.all_reduce(flat)
    flat /= world().size
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view(grad.shape))


def mean_over_all(values: Mapping[str, float]) -> dict[str, float]:
    """Figures averaged over the processes; all must bring the same names."""
    if world().size == 1:
        return dict(values)
    sent = torch.tensor(list(values.values()), dtype=torch.float64, device=_spoken())
    group.all_reduce(sent)
    return dict(zip(values, (sent / world().size).tolist(), strict=True))


def agreed(answer: bool) -> bool:
    """The first process's answer."""
    return answer if world().size == 1 else bool(from_first(torch.tensor([int(answer)])).item())
