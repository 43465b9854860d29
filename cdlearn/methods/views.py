"""The forward pass that the methods share: views, and the plain images where needed, through one network; its maps."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from cdlearn.backbones import TinyResNet


def forward_views(network: Callable, views: Sequence[Tensor], per_view: bool) -> list:
    """``network`` applied to every view, each (N, 3, S, S), S may differ: one result per view, in order.

    network: (M, 3, S, S) -> a tensor (M, ...) or a tuple of tensors; each result is of the same kind.
    per_view: True (as published): each view passes alone, and BatchNorm uses the statistics of that view. False: all
        views of one size pass together, which is faster, and BatchNorm cannot tell them apart.
    """
    views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    if per_view:
        return [network(view) for view in views]
    results = {}
    for size in dict.fromkeys(view.shape[-1] for view in views):
        places = [place for place, view in enumerate(views) if view.shape[-1] == size]
        found = network(torch.cat([views[place] for place in places]))
        parts = [found] if isinstance(found, Tensor) else found
        split = zip(*(part.chunk(len(places)) for part in parts), strict=True)
        for place, result in zip(places, split, strict=True):
            results[place] = result[0] if isinstance(found, Tensor) else result
    return [results[place] for place in range(len(views))]


def with_backbone(h: Tensor, output: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """What ``represent`` returns: ``backbone`` h (N, D) and ``output``, a function of h, both in float32.

    Autocast is off for the output, because bf16 has steps of 1/256 near 1.
    """
    h = h.float()
    with torch.autocast(h.device.type, enabled=False):
        return {"backbone": h, "output": output(h)}


def shrinking_parts(net: nn.Module) -> list[nn.Module]:
    """The parts of a backbone between which its maps get smaller, in order: tiny's blocks, the layers of a ResNet."""
    if isinstance(net, TinyResNet):
        return list(net.blocks)
    return [net.get_submodule(f"layer{number}") for number in range(1, 5)]


def with_maps(net: nn.Module, x: Tensor, parts: list[nn.Module]) -> tuple[Tensor, list[Tensor]]:
    """(N, 3, S, S) -> h (N, .dim), and the outputs of ``parts`` on the way, (N, C, H, W)."""
    maps: list[Tensor] = []
    hooks = [part.register_forward_hook(lambda module, given, found: maps.append(found)) for part in parts]
    try:
        return net(x), maps
    finally:
        for hook in hooks:
            hook.remove()
