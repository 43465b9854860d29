"""Controls: features in which nothing was learned, to compare learned ones with."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from cdlearn.augment import to_size
from cdlearn.runtime import rng


def raw_pixels(images: Tensor, size: int) -> Tensor:
    """The control that learns nothing: uint8 (N, 3, H, W) -> float32 (N, 3 S^2), S = size, at most 16 px.

    At 32 px K-means takes four times as long and finds no more (NMI 0.115 against 0.113 on 5,000 photographs of ten
    classes), and kNN finds less (0.325 against 0.376).
    """
    side = min(size, 16)
    return torch.cat([to_size(part, side).flatten(1) for part in images.split(1024)])


def untrained_heads(model: nn.Module, h: Tensor, seed: int, reference: Tensor | None = None) -> Tensor:
    """The control of CD's output: the outputs of untrained heads, on the trained z.

    h: (N, D) of a model with ``untrained_output``, on the CPU; reference: (M, D), see there. Returns (N, heads) on the
    CPU, the same for the same seed.
    """
    device = next(model.parameters()).device
    given = [values.to(device) for values in (h, h if reference is None else reference)]
    with rng.drawing(device, seed, "weights", 1):
        return cast(Callable[..., Tensor], model.untrained_output)(*given).cpu()
