"""Training by several processes, one per GPU: ``torchrun --nproc_per_node=G -m cdlearn.train ...``.

Every process (rank) takes its slice of the global batch. Embeddings are gathered and BatchNorm uses the moments of the
global batch, so each rank computes the loss of the global batch. Backward of a sum over ranks adds up the gradients of
all ranks on each of them, which gives the gradient of the sum of the ranks' losses. DistributedDataParallel divides it
by the number of ranks. The result is the gradient of their mean, which is what one process computes.

Without a process group every function here does nothing.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from cdlearn.runtime.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def ranks() -> int:
    """The number of processes that train together; 1 without a group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them; 0, the one that writes and prints, without a group."""
    return dist.get_rank() if ranks() > 1 else 0


def part(rows: int) -> slice:
    """This rank's rows of a global batch of ``rows``."""
    each = rows // ranks()
    return slice(rank() * each, (rank() + 1) * each)


def check_batch(batch_size: int) -> None:
    """Raises UserError where the global batch cannot be cut into equal slices."""
    if rest := batch_size % ranks():
        less, more = batch_size - rest, batch_size - rest + ranks()
        fits = f"{less} or {more}" if less else more
        raise UserError(f"batch size {batch_size} does not divide by the {ranks()} processes; pass --batch-size {fits}")


def own_device(device: torch.device) -> torch.device:
    """The GPU of this rank if ``device`` is cuda. Raises UserError if there are more ranks than GPUs."""
    if ranks() == 1 or device.type != "cuda":
        return device
    if device.index is not None:
        raise UserError(f"device {device} is one GPU for {ranks()} processes; pass --device cuda: each takes its own")
    number, count = int(os.environ.get("LOCAL_RANK", rank())), torch.cuda.device_count()
    if number >= count:
        raise UserError(f"more processes than the {count} GPUs here; pass --nproc_per_node={count} to torchrun")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


class Sum(torch.autograd.Function):
    """x, of one shape on all ranks -> its sum over the ranks; the gradient is summed in the same way."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return Sum.apply(gradient)


def gathered(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Each (n, D_i) of a rank -> (n ranks, D_i) of the global batch, in its order, with gradient; in float32 at least.

    All tensors travel in one message: each rank puts zeros in the rows of the others, and the ranks are added up.
    """
    return tensors if ranks() == 1 else _gathered(*tensors)


# What the ranks say to each other is not compiled. Each of these functions has its question for the number of ranks
# outside, so that nothing cuts the graph of one process.
@torch.compiler.disable
def _gathered(*tensors: Tensor) -> tuple[Tensor, ...]:
    rows = torch.cat([t if t.dtype == torch.float64 else t.float() for t in tensors], dim=1)
    above, n = part(len(rows) * ranks()).start, len(rows)
    whole = Sum.apply(F.pad(rows, (0, 0, above, n * (ranks() - 1) - above)))
    return whole.split([t.shape[1] for t in tensors], dim=1)


def averaged(*means: Tensor) -> tuple[Tensor, ...]:
    """Scalars that are means over a rank's images -> the means over the global batch, with gradient."""
    return means if ranks() == 1 else _averaged(*means)


@torch.compiler.disable
def _averaged(*means: Tensor) -> tuple[Tensor, ...]:
    return (Sum.apply(torch.stack(means)) / ranks()).unbind()


def random_like(draw: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """This rank's rows of draw(the global batch); x is (n, ...), draw is rand_like or randn_like.

    All ranks share one seed, so drawing for its own images only would give every rank the same noise.
    """
    return draw(x) if ranks() == 1 else draw(torch.cat([x] * ranks()))[part(len(x) * ranks())]


class GlobalBatchNorm(_BatchNorm):
    """BatchNorm by the moments of the global batch, for CPUs, where torch.nn.SyncBatchNorm does not work.

    One sum gives the mean, a second the variance about it, which is exact where E[x^2] - E[x]^2 is not.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        """(N, C) and (N, C, ...) will do."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or ranks() == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = x if x.dtype == torch.float64 else x.float()
            over, shape = [0, *range(2, x.ndim)], [1, -1] + [1] * (x.ndim - 2)
            count = x.numel() // x.shape[1] * ranks()
            mean = Sum.apply(wide.sum(over)) / count
            centred = wide - mean.view(shape)
            variance = Sum.apply(centred.square().sum(over)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)
            scale = torch.rsqrt(variance + self.eps)
            if not self.affine:
                return (centred * scale.view(shape)).to(x.dtype)
            return (centred * (self.weight * scale).view(shape) + self.bias.view(shape)).to(x.dtype)


def synchronised(model: Network, device: torch.device) -> Network:
    """``model`` with BatchNorm over the global batch; parameters, buffers and their names stay what they are."""
    if ranks() == 1:
        return model
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = GlobalBatchNorm  # it adds no attribute, so a new class is enough
    return model


class Replica(nn.Module):
    """``model`` with ``loss`` as its forward, which is all that DistributedDataParallel sees of a module."""

    def __init__(self, model: nn.Module, loss: Callable):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *views: Tensor, x: Tensor | None) -> dict[str, Tensor]:
        return self.loss(*views, x=x)


def replicated(model: nn.Module, loss: Callable) -> Callable:
    """``loss`` such that its backward leaves the same gradient, the mean over ranks, in every rank's ``model``.

    model: a Method. If it has unused parameters, DistributedDataParallel must not wait for them.
    """
    if ranks() == 1:
        return loss
    parallel = DistributedDataParallel(Replica(model, loss), find_unused_parameters=model.has_unused_parameters)
    parallel.broadcast_buffers = False  # buffers stay equal on all ranks; the argument was renamed in torch 2.13
    return parallel


def share(model: nn.Module) -> None:
    """Give every rank the weights and buffers of rank 0."""
    if ranks() > 1:
        for value in (*model.parameters(), *model.buffers()):
            dist.broadcast(value.data, 0)


def agree(caught: list[int], finite: Tensor) -> tuple[int, bool]:
    """What the ranks agree on: the signal that any of them caught (0 for none), and whether all are finite."""
    known = torch.stack([finite.new_full((), caught[0] if caught else 0, dtype=torch.int64), (~finite).long()])
    if ranks() > 1:
        dist.all_reduce(known, dist.ReduceOp.MAX)
    number, bad = known.tolist()
    return number, not bad
