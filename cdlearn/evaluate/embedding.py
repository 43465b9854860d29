"""Every image through the network, once, none dropped."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from cdlearn.augment import to_size
from cdlearn.runtime.devices import autocast


@torch.no_grad()
def embed(
    model: nn.Module,
    images: Tensor,
    size: int,
    batch_size: int = 512,
    amp: bool = True,
    view: Callable[[Tensor, slice], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Both stages of every image, none dropped, in order.

    images: uint8 (N, 3, H, W) -> ``{"backbone": (N, dim), "output": (N, K)}``, float32 on the CPU. The model runs in
    evaluation mode, so the result of an image does not depend on the others in its batch. view: what the model sees of
    a batch, uint8 (n, 3, H, W) with its place among the images -> float (n, 3, size, size); None resizes only.
    """
    device = next(model.parameters()).device
    represent, training = cast(Callable[[Tensor], dict[str, Tensor]], model.represent), model.training
    model.eval()
    parts: list[dict[str, Tensor]] = []
    try:
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            batch = images[rows].to(device)
            x = view(batch, rows) if view else to_size(batch, size)
            with autocast(device, amp):
                found = represent(x.contiguous(memory_format=torch.channels_last))
            parts.append({name: value.float() for name, value in found.items()})
    finally:
        model.train(training)
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in ("backbone", "output")}
